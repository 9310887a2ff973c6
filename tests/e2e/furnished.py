"""A running demo with a row of every kind that a provider's and the staff's pages show, the awkward ones too.

`furnish` runs inside the console's own process (`manage.py shell`) and prints where to look.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

from django.contrib import admin
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts import imports
from accounts.models import CloudAccount, CredentialPush, Import, ImportLine
from console.lib import audit
from console.models import User
from providers import acting, branding, customers, enabling, keys, links, sandbox, webhooks, wording
from providers import mail as mails
from providers.models import (
    ApiCall,
    ApiToken,
    Brand,
    CloudEndpoint,
    Customer,
    Delivery,
    IdentityServer,
    Mail,
    MailTemplate,
    Provider,
    ProviderKey,
    ProviderMember,
    Webhook,
)

LONG: Final = "Ångström & Daughters Precision Engineering, " * 4 + "of Essex"
SAID: Final = "550 5.1.1 <nobody@engines.example>: Recipient address rejected: User unknown in virtual mailbox table"
# What issue 4 brought to the staff's pages.
KINDS: Final = (ApiCall, Brand, CloudAccount, CloudEndpoint, Customer, Delivery, IdentityServer, Import, Mail,
                MailTemplate, Provider, ProviderKey, ProviderMember, Webhook)  # fmt: skip
DEEDS: Final = {
    "provider": ("suspend", "set_limits", "issue_key", "invite", "set_identity", "legacy_on"),
    "customer": ("act_for", "suspend", "close"),
    "brand": ("preview", "send_test"),
    "mailtemplate": ("preview", "send_test"),
    "providerkey": ("rotate", "revoke"),
    "providermember": ("change_role", "remove"),
    "identityserver": ("disable", "remove"),
    "webhook": ("ping", "turn_off"),
}
OWN: Final = ("", "customers/", "keys/", "keys/issue", "webhooks/", "webhooks/add", "calls/", "calls/?q=nothing",
              "mail/", "mail/welcome/-/", "brand/", "brand/withdraw", "images/", "sign-in/")  # fmt: skip
LIVE: Final = ("sign-in/remove", "members/", "customers/?q=nothing")
GUIDE: Final = ("", "sandbox/", "images/", "enrolment/")
TRIAL: Final = ("sandbox/mails/", "sandbox/reset")


def furnish() -> None:
    """Print the addresses, as JSON: `own` (a provider's, live and sandbox), `viewed` (by one of its viewers), `guide`
    and `staff`; and `door` and `viewer`, the ways in to the former two."""
    north = Provider.objects.get(slug="north-cloud")
    with transaction.atomic():
        here = _rows(north)
        _history(north)
    home = sandbox.twin(north)
    tried = customers.put(home, "t-1", _person("Trial Ltd"), audit.SYSTEM).customer
    own = [f"/provider/{north.slug}/{path}" for path in (*OWN, *LIVE, *here)]
    own += [f"/provider/{home.slug}/{path}" for path in (*OWN[:-1], *TRIAL, f"customers/{tried.pk}/")]
    _ada(asleep := _suspended())
    own += [f"/provider/{asleep.slug}/", f"/provider/{asleep.slug}/keys/"]
    told = {
        "own": own, "viewed": [one for one in own if f"/{asleep.slug}/" not in one], "staff": staff_addresses(),
        "guide": [f"/api/docs/guide/{one}" for one in GUIDE],
        "door": _door(_ada(north), north), "viewer": _door(_ada(north, "vera@north.example", "viewer"), north),
    }  # fmt: skip
    print(json.dumps(told))  # noqa: T201  # this is how its caller reads it


def staff_addresses() -> list[str]:
    """Each kind's list, its newest row, and the forms of its deeds."""
    found = ["/admin/", "/admin/health/", f"/admin/health/{Provider.objects.get(slug='north-cloud').pk}/"]
    for model in KINDS:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        found.append(reverse(f"admin:{name}_changelist"))
        row: Any = model._default_manager.order_by("pk").last()
        if model in (Provider, IdentityServer, ProviderMember, Webhook):
            row = model._default_manager.filter(
                **{"slug" if model is Provider else "provider__slug": "north-cloud"}
            ).first()
        if model is Customer:
            row = Customer.objects.get(external_id="long-1")
        assert admin.site.is_registered(model) and row, model
        found += [reverse(f"admin:{name}_{what}", args=[row.pk])
                  for what in ("change", *DEEDS.get(str(model._meta.model_name), ()))]  # fmt: skip
    found.append(reverse("admin:providers_provider_enable", args=[Provider.objects.get(slug="asleep").pk]))
    return [*found, reverse("admin:providers_actingfor_changelist"), reverse("admin:console_auditentry_changelist"),
            reverse(f"admin:{ApiToken._meta.app_label}_apitoken_changelist")]  # fmt: skip


def _rows(north: Provider) -> list[str]:
    """Returns the pages of these rows."""
    long = customers.put(north, "long-1", _person(LONG), audit.SYSTEM).customer
    paused = customers.put(north, "c-2", _person("Paused Ltd"), audit.SYSTEM).customer
    gone = customers.put(north, "c-" + "3" * 118, _person("Gone Ltd"), audit.SYSTEM).customer
    customers.suspend(paused, audit.SYSTEM)
    customers.close(gone, audit.SYSTEM)
    key, _ = keys.issue(north, actor=audit.SYSTEM, name="Billing", scopes=["customers:read", "customers:write"],
                        allowed_networks=["192.0.2.0/24", "2001:db8::/32"])  # fmt: skip
    keys.rotate(key, audit.SYSTEM)
    keys.revoke(keys.issue(north, actor=audit.SYSTEM, name="Portal " * 8)[0], audit.SYSTEM)
    hook, _ = webhooks.add(north, "http://127.0.0.1:9/hooks/muster/of/a/program/with/a/long/address", [], audit.SYSTEM)
    other, _ = webhooks.add(north, "http://127.0.0.1:9/other", ["account.failed", "agent.offline"], audit.SYSTEM)
    webhooks.change(other, audit.SYSTEM, enabled=False)
    ping = webhooks.ping(hook, audit.SYSTEM)
    words = {"subject": "Welcome to {{ provider }}", "greeting": "Hi {{ first_name }},", "body": "Your servers wait."}
    wording.publish(wording.save(north, "welcome", words, audit.SYSTEM), audit.SYSTEM)
    wording.save(north, "invitation", words, audit.SYSTEM, "de")
    branding.publish(branding.save(north, {"name": "North Cloud", "accent": "#ffd500"}, audit.SYSTEM), audit.SYSTEM)
    branding.save(north, {"name": "North Cloud", "accent": "#00aa77"}, audit.SYSTEM)
    IdentityServer.objects.create(provider=north, issuer="https://login.north.example/realms/customers",
                                  client_id="muster", customer_claim="customer_id", enabled=True)  # fmt: skip
    waiting = User.objects.create_user("waiting-for-the-yes@north.example")
    asked = ProviderMember.objects.create(provider=north, user=waiting)
    return [f"customers/{one.pk}/" for one in (long, paused, gone)] + [
        f"customers/{long.pk}/close", f"customers/{long.pk}/suspend", f"members/{asked.pk}/remove",
        f"webhooks/{hook.pk}/remove", f"keys/{key.pk}/rotate", f"keys/{key.pk}/revoke", f"webhooks/{hook.pk}/",
        f"webhooks/{other.pk}/", f"webhooks/{hook.pk}/change", f"webhooks/{hook.pk}/rotate", f"deliveries/{ping.pk}/",
        f"customers/{_settled(north).pk}/",
    ]  # fmt: skip


def _settled(north: Provider) -> Customer:
    """The demo's customer, whose credentials were pushed often."""
    account = CloudAccount.objects.filter(customer__provider=north).order_by("pk")[0]
    for version, outcome in enumerate(("passed", "refused", "replaced", "pending"), start=1):
        reason = "The cloud said 'Invalid user / password'." if outcome == "refused" else ""
        CredentialPush.objects.create(
            account=account, version=version, actor_name="mst_live_abc_…", outcome=outcome, reason=reason
        )
    assert account.customer is not None
    return account.customer


def _history(north: Provider) -> None:
    long = Customer.objects.get(external_id="long-1")
    now = timezone.now()
    for number, (method, status) in enumerate((("GET", 200), ("PUT", 422), ("POST", 409), ("GET", 404), ("PUT", 502))):
        ApiCall.objects.create(
            provider=north, request_id=f"req-{number}" * 5, key_name="mst_live_abc_…", method=method, status=status,
            path=f"/api/provider/v1/customers/{'long-1' * 9}/accounts/main", code="" if status < 400 else "not_valid",
            milliseconds=number * 700, address="2001:db8:85a3:8d3:1319:8a2e:370:7348",
        )  # fmt: skip
    Mail.objects.create(kind="welcome", to=long.email, customer=long, state="failed", outcome=SAID)
    Mail.objects.create(kind="welcome", to=long.email, customer=long, state="done", outcome="The mail server took it.",
                        bounced_at=now, report="It bounced: mailbox full")  # fmt: skip
    boss = User.objects.filter(is_superuser=True)[0]
    acting.end(acting.begin(long, boss, "Ticket 4711: the list stays empty", 5, audit.Actor.staff(boss)), audit.SYSTEM)
    batch = Import.objects.create(provider=north, form="csv", actor_kind="provider", actor_id="1", actor_name="Billing",
                                  total=3, state="done", outcome="1 of 3 lines was refused.")  # fmt: skip
    errors = {"email": ["Write an address such as ada@example.com."]}
    for number, outcome in enumerate(("created", "unchanged", "refused"), start=1):
        ImportLine.objects.create(batch=batch, number=number, external_id=f"c-{number}", outcome=outcome,
                                  errors=errors if outcome == "refused" else {})  # fmt: skip
    assert imports.counts(batch)["refused"] == 1
    mails.invite(ProviderMember.objects.filter(provider=north, accepted_at=None)[0])
    ProviderKey.objects.filter(provider=north, name="Billing").update(last_used_at=now - timedelta(hours=3))


def _suspended() -> Provider:
    asleep, _ = Provider.objects.get_or_create(slug="asleep", defaults={"name": "Asleep Ltd"})
    enabling.suspend(asleep, audit.SYSTEM)
    return asleep


def _door(user: User, north: Provider) -> str:
    at = links.address(links.Purpose.SIGN_IN, links.issue(user, links.Purpose.SIGN_IN))
    return f"{at}?next=/provider/{north.slug}/"


def _ada(north: Provider, email: str = "ada@north.example", role: str = "admin") -> User:
    user, _ = User.objects.get_or_create(email=email)
    ProviderMember.objects.update_or_create(
        provider=north, user=user, defaults={"role": role, "accepted_at": timezone.now()}
    )
    return user


def _person(organization: str) -> dict[str, str]:
    name = "".join(letter for letter in organization.lower() if letter.isascii() and letter.isalnum())[:40]
    return {"email": f"{name}@engines.example", "first_name": "Ada", "last_name": "Byron", "organization": organization}
