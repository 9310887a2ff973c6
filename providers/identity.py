"""A provider's own identity server (OpenID Connect), by which its customers sign in.

An identity is (provider, issuer, sub) and never an e-mail address; a sign-in by it sees that provider's customer only
(SECURITY.md §6, take-over). Which customer is told by one claim, which holds the provider's own id of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.core.cache import cache
from django.db import transaction

from console.lib import audit, seal
from console.lib.denials import Denied, Wrong
from console.lib.faults import Fault
from console.lib.outbound import Transport
from providers import handoff
from providers.discovery import Discovery, read, signing_keys
from providers.handoff import Landing
from providers.models import Customer, IdentityServer, Provider

TOTAL: Final = 10.0  # seconds for one call of an identity server: a person waits
# What people can change by themselves at many servers: it says nothing of who somebody's customer is.
UNFIT: Final = frozenset({"email", "email_verified", "name", "nickname", "phone_number", "preferred_username"})
FRESH: Final = 300
LONGEST_SUB: Final = 180  # characters kept as they are; a longer one is kept as its hash


def put(
    provider: Provider,
    issuer: str,
    client_id: str,
    secret: str | None,
    claim: str,
    actor: audit.Actor,
) -> IdentityServer:
    """Set the provider's identity server, after asking it what it can. `secret` None keeps the one that is there; ""
    is none (a public client). At another issuer it is off until it is enabled, and no identity carries over.

    Wrong (`issuer`, `client_id`, `secret`, `customer_claim`) for what cannot be, with the server's own words.
    """
    issuer, client_id, claim = issuer.strip(), client_id.strip(), claim.strip() or "sub"
    standing = IdentityServer.objects.filter(provider=provider).first()
    elsewhere = standing is None or standing.issuer.rstrip("/") != issuer.rstrip("/")
    wrong: dict[str, list[str]] = {}
    if not client_id or len(client_id) > 200 or not client_id.isprintable():
        wrong["client_id"] = ["Write the id that the identity server gave to this console."]
    if claim in UNFIT or len(claim) > 60 or not claim.isprintable():
        wrong["customer_claim"] = [f"Name a claim that holds your own id of the customer; {claim[:60]} does not."]
    if secret is None and elsewhere and standing is not None and standing.sealed:
        wrong["secret"] = ["Write the secret of the new server: the one of the old server is not sent there."]
    if wrong:
        raise Wrong(wrong)
    found = _asked(provider, issuer)
    cache.delete(f"discovery-{_place(provider, found.issuer)}")
    return _kept(provider, found.issuer, client_id, secret, claim, actor)


def tried(provider: Provider, issuer: str) -> Discovery:
    """Ask a server whether it would fit: its description, and its keys. Nothing is kept.

    Wrong (`issuer`) with the server's own words when it does not.
    """
    issuer = issuer.strip()
    found = _asked(provider, issuer)
    try:
        with transport(provider).session(issuer) as session:
            keys = signing_keys(session, found)
    except Fault as fault:
        raise Wrong({"issuer": [fault.words]}) from fault
    if not keys:
        raise Wrong({"issuer": [f"The server shows no key at {found.jwks_uri} that signs by RS256 or ES256."]})
    return found


def enable(server: IdentityServer, actor: audit.Actor) -> None:
    """Customers sign in by it from now on. Twice is harmless."""
    _turn(server, True, "identity_server.enabled", actor)


def disable(server: IdentityServer, actor: audit.Actor) -> None:
    """Nobody signs in by it; who is in stays in. Twice is harmless."""
    _turn(server, False, "identity_server.disabled", actor)


def remove(server: IdentityServer, actor: audit.Actor) -> None:
    """It and its identities are gone: the same server set again starts afresh. Twice is harmless."""
    with transaction.atomic():
        held = IdentityServer.objects.select_for_update().filter(pk=server.pk).first()
        if held is not None:
            _note(actor, "identity_server.removed", held)
            _forget(held.provider)
            held.delete()


def door_of(provider: Provider | None) -> IdentityServer | None:
    """The identity server that this provider's customers may sign in by now."""
    if provider is None or provider.status != Provider.Status.ENABLED:
        return None
    return IdentityServer.objects.filter(provider=provider, enabled=True).select_related("provider").first()


def place_of(server: IdentityServer) -> str:
    """Under what its identities are kept: provider and issuer, so that neither another provider's `sub` nor another
    issuer's ever meets them."""
    return _place(server.provider, server.issuer)


def uid_of(sub: str) -> str:
    """How a `sub` (at most 255 characters by the standard) is kept."""
    return sub if len(sub) <= LONGEST_SUB else f"sha256-{sha256(sub.encode(errors='surrogatepass')).hexdigest()}"


def secret_of(server: IdentityServer) -> str:
    """The client's secret; "" for a public client. SealBroken when it does not open."""
    return seal.open_(server.sealed, server.place())["secret"] if server.sealed else ""


def transport(provider: Provider) -> Transport:
    """What its identity server may stand at: the public internet by HTTPS, and the networks that staff approved for
    the provider's webhooks. In demo mode this machine too, by plain HTTP."""
    return Transport(
        [*(provider.sandbox_of or provider).webhook_networks, *settings.DEMO_NETWORKS],
        allow_http=bool(settings.DEMO_NETWORKS),
        deadline=TOTAL,
    )


def discovered(server: IdentityServer) -> Discovery:
    """What the server says of itself, read anew every FRESH seconds: whoever opens a door must not make us knock each
    time. Raises the transport's faults, and Unexpected when it fits no longer."""
    key = f"discovery-{place_of(server)}"
    found: Discovery | None = cache.get(key)
    if found is None:
        found = read(transport(server.provider), server.issuer)
        cache.set(key, found, FRESH)
    return found


def arrive(server: IdentityServer, claims: Mapping[str, Any]) -> Landing:
    """Who comes in by these claims, which were verified already (`sub` is among them), and where to.

    Denied in words for a customer that this provider has not, that is closed, or that nobody belongs to.
    """
    external_id = _text(claims.get(server.customer_claim))
    with transaction.atomic():
        customer = Customer.objects.filter(provider=server.provider_id, external_id=external_id).first()
        if not external_id or customer is None:
            raise Denied(
                f"{server.provider} confirmed who you are, but no customer of that id is known here. "
                f"Ask {server.provider} to set it up.",
                "customer_unknown",
            )
        if customer.status == Customer.Status.CLOSED:
            raise Denied(f"{server.provider} closed this customer. Ask there to reopen it.", "customer_closed")
        identities = SocialAccount.objects.select_for_update().filter(provider=place_of(server))
        known = identities.filter(uid=uid_of(str(claims["sub"]))).first()
        inside = customer.memberships.filter(accepted_at__isnull=False, user__is_active=True).select_related("user")
        membership = inside.filter(user=known.user_id).first() if known else None
        membership = membership or handoff.owner_of(customer)
        if membership is None:
            raise Denied(
                f"Nobody belongs to this customer yet. Ask {server.provider} to send the invitation again.",
                "nobody_there",
            )
        landing = handoff.land(membership)
        if landing.arrival is not None and (known is None or known.user_id != membership.user_id):
            _bind(server, str(claims["sub"]), landing.arrival.user, customer)
    return landing


def _asked(provider: Provider, issuer: str) -> Discovery:
    try:
        return read(transport(provider), issuer)
    except Fault as fault:
        raise Wrong({"issuer": [fault.words]}) from fault


def _place(provider: Provider, issuer: str) -> str:
    return f"{provider.pk.hex}-{sha256(issuer.encode()).hexdigest()[:32]}"


def _bind(server: IdentityServer, sub: str, user: Any, customer: Customer) -> None:
    SocialAccount.objects.update_or_create(
        provider=place_of(server), uid=uid_of(sub), defaults={"user": user, "extra_data": {}}
    )
    audit.note(audit.Actor.of(user), "identity.bound", target=customer, customer_id=customer.pk,
               provider_id=server.provider_id, detail={"issuer": server.issuer, "sub": sub[:255]})  # fmt: skip


def _kept(
    provider: Provider, issuer: str, client_id: str, secret: str | None, claim: str, actor: audit.Actor
) -> IdentityServer:
    with transaction.atomic():
        Provider.objects.select_for_update(no_key=True).get(pk=provider.pk)  # or two at once make two
        server = IdentityServer.objects.filter(provider=provider).first() or IdentityServer(provider=provider)
        moved = server.issuer != issuer
        told = {"issuer": issuer, "client_id": client_id, "customer_claim": claim}
        changed = sorted(name for name, value in told.items() if getattr(server, name) != value)
        for name in changed:
            setattr(server, name, told[name])
        if secret is not None or moved:
            server.sealed = seal.close({"secret": secret}, server.place()) if secret else ""
            changed += ["secret"]
        if moved:
            server.enabled = False
            _forget(provider)
        if changed:
            server.save()
            _note(actor, "identity_server.set", server, {"issuer": issuer, "fields": changed})
    return server


def _turn(server: IdentityServer, on: bool, verb: str, actor: audit.Actor) -> None:
    with transaction.atomic():
        if IdentityServer.objects.filter(pk=server.pk).exclude(enabled=on).update(enabled=on):
            _note(actor, verb, server)
    server.enabled = on


def _forget(provider: Provider) -> None:
    SocialAccount.objects.filter(provider__startswith=f"{provider.pk.hex}-").delete()


def _note(actor: audit.Actor, verb: str, server: IdentityServer, detail: dict[str, Any] | None = None) -> None:
    audit.note(actor, verb, target=server, provider_id=server.provider_id, detail=detail)


def _text(value: Any) -> str:
    """A claim as an external id; "" for what can be none."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if len(text) <= 120 and text.isprintable() else ""
