"""From a row to something that can be called: the driver of an account, behind its endpoint's guarded transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.conf import settings

from accounts import clouds
from accounts.models import CloudAccount
from console.lib.outbound import Transport
from providers import simulated
from providers.models import CloudEndpoint


def transport(endpoint: CloudEndpoint, before_call: Callable[[str], None] | None = None) -> Transport:
    """What staff approved for this endpoint, and in demo mode the simulated clouds on loopback.

    A catalog may name further hosts; those that staff registered for the same provider, on or off, may see its tokens.
    An endpoint of a sandbox reaches the simulated clouds' own listeners on this machine, whatever stands in its row.
    `before_call`: see Transport (an account's is a `pacing.Pace`).
    """
    registered = CloudEndpoint.objects.filter(provider=endpoint.provider_id)
    rows = list(registered.values_list("pk", "url", "provider__sandbox_of"))
    if any(owner is not None for _, _, owner in rows):
        return Transport(listeners=simulated.listeners(), allow_http=True, before_call=before_call)
    return Transport(
        networks=[*endpoint.networks, *settings.DEMO_NETWORKS],
        ca=endpoint.ca or None,
        allow_http=endpoint.allow_http,
        old_tls=endpoint.old_tls,
        origins=[url for pk, url, _ in rows if pk != endpoint.pk],
        before_call=before_call,
    )


def driver(
    account: CloudAccount,
    credentials: Mapping[str, str],
    before_call: Callable[[str], None] | None = None,
    through: Transport | None = None,
) -> clouds.Driver:
    """A driver that has not called yet. Raises what `clouds.open` raises.

    `through`: the endpoint's transport, where the caller made it already; then its `before_call` counts.
    """
    endpoint = account.endpoint
    return clouds.open(
        endpoint.platform,
        url=endpoint.url,
        credentials=credentials,
        version=endpoint.version or None,
        region=endpoint.region or None,
        transport=through or transport(endpoint, before_call),
    )
