"""A provider's own pages × everybody × every method: own, another provider's, and nobody's."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse

from accounts.models import CredentialPush
from console.lib import audit
from console.models import AuditEntry
from providers import branding, customers, enabling, handoff, keys, sandbox, webhooks, wording
from providers.models import Delivery, IdentityServer, ProviderMember
from providers.scope import DOOR
from tests.desks import Desk, browser, desk
from tests.factories import AccountFactory, CustomerFactory
from tests.pages import text
from tests.test_look import inline

TEXTS = {"subject": "Welcome", "body": "Hello."}
BRAND = {"name": "North", "accent": "#ffd500"}
# Each address with the methods that it answers; "admin": a viewer gets 403 there for looking too.
LOOK, ASK, ACT = "get", "get post admin", "post"
METHODS = {
    "overview": LOOK, "customers": LOOK, "customer": LOOK, "keys": LOOK, "webhooks": LOOK, "webhook": LOOK,
    "delivery": LOOK, "calls": LOOK, "mail": LOOK, "mail-one": "get post", "brand": "get post",
    "images": LOOK, "image": LOOK, "members": "get post", "frame": LOOK, "brand-look": LOOK, "sandbox": "get post",
    "sign-in": "get post", "turn-sign-in": ACT, "remove-sign-in": ASK,
    "issue-key": ASK, "rotate-key": ASK, "revoke-key": ASK, "suspend-customer": ASK, "close-customer": ASK,
    "add-webhook": ASK, "change-webhook": ASK, "rotate-webhook": ASK, "remove-webhook": ASK,
    "withdraw-brand": ASK, "remove-member": ASK,
    "resend-mail": ACT, "resume-customer": ACT, "turn-webhook": ACT, "test-webhook": ACT, "redeliver": ACT,
    "preview-mail": ACT, "withdraw-mail": ACT, "publish-mail": ACT, "test-mail": ACT, "publish-brand": ACT,
    "member-role": ACT, "invite-again": ACT,
}  # fmt: skip
OF_SANDBOXES = ("sandbox-mails", "reset-sandbox")  # tests/sandbox/test_pages.py


@pytest.fixture
def house(db, settings) -> Desk:
    settings.SANDBOX = True
    return desk()


@pytest.fixture
def rows(house):
    """One row of every kind at North; for each address, what it needs besides the provider."""
    hook, _ = webhooks.add(house.north, "http://127.0.0.1:9/hook", [], audit.SYSTEM)
    delivery = webhooks.ping(hook, audit.SYSTEM)
    key, _ = keys.issue(house.north, actor=audit.SYSTEM, name="billing")
    template = wording.save(house.north, "welcome", TEXTS, audit.SYSTEM)
    brand = branding.save(house.north, BRAND, audit.SYSTEM)
    IdentityServer.objects.create(provider=house.north, issuer="https://login.north.example", client_id="muster")
    seat = ProviderMember.objects.get(user=house.viewer)
    slot = {
        "image": ["shell"],
        "mail-one": ["welcome", "-"],
        "preview-mail": ["welcome", "-"],
        "withdraw-mail": ["welcome", "-"],
    }
    ids = {"key": key, "customer": house.customer, "webhook": hook, "mail": template, "brand": brand, "member": seat}
    ids |= {"redeliver": delivery, "delivery": delivery, "resend-mail": house.customer, "invite-again": seat}

    def needed(name):
        if name in slot:
            return slot[name]
        if name == "brand-look":
            return [brand.pk, "door", "dark"]
        if name == "frame":
            return ["0" * 32]
        if name in ("issue-key", "add-webhook", "withdraw-brand", "mail", "brand", "remove-sign-in"):
            return []
        row = ids.get(name) or next((ids[kind] for kind in ids if name.endswith(f"-{kind}")), None)
        row = row or (ids["member"] if name == "member-role" else None)
        row = row or (ids[name] if name in ("customer", "webhook") else None)
        return [row.pk] if row else []

    return {name: needed(name) for name in METHODS}


def test_every_address_has_a_case():
    [mounted] = [one for one in get_resolver().url_patterns if isinstance(one, URLResolver)
                 and one.app_name == "provider"]  # fmt: skip
    assert sorted(one.name for one in mounted.url_patterns) == sorted([*METHODS, *OF_SANDBOXES, "home", "join"])


@pytest.mark.parametrize("name", METHODS)
def test_members_may_viewers_look_and_everybody_else_finds_nothing(house, rows, name):
    address = house.at(name, *rows[name])
    for method in ("get", "post"):
        asked = {person: getattr(browser(getattr(house, person)), method)(address).status_code
                 for person in ("viewer", "stranger", "alice", "charlie", "staff", "admin")}  # fmt: skip
        asked["nobody"] = getattr(Client(), method)(address).status_code
        if method not in METHODS[name].split():
            assert set(asked.values()) == {302, 405}, (method, asked)
            continue
        assert {asked[one] for one in ("stranger", "alice", "charlie", "staff")} == {404}, asked
        assert asked["nobody"] == 302
        looks = method == "get" and "admin" not in METHODS[name]
        missing = name == "frame"
        assert asked["viewer"] == (404 if missing else 200 if looks else 403)
        assert asked["admin"] in ((404,) if missing else (200,) if method == "get" else (200, 302, 422))


@pytest.mark.parametrize("name", [name for name, methods in METHODS.items() if "post" in methods])
def test_a_post_without_the_token_of_the_page_is_refused(house, rows, name):
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(house.admin, backend="django.contrib.auth.backends.ModelBackend")
    assert careful.post(house.at(name, *rows[name])).status_code == 403


@pytest.mark.parametrize("name", [name for name, methods in METHODS.items() if "get" in methods and name != "frame"])
def test_no_page_has_anything_inline_and_none_is_kept(house, rows, name):
    page = house.get(name, *rows[name])
    if name != "brand-look":
        assert inline(page.content.decode()) == []
    assert "no-store" in page["Cache-Control"]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("overview", "image")])  # a kind is nobody's
def test_another_providers_rows_are_not_found_under_ones_own_address(house, rows, name):
    if not rows[name] or name in ("mail-one", "preview-mail", "withdraw-mail", "frame"):
        return
    address = reverse(f"provider:{name}", args=["south", *rows[name]])
    method = "post" if METHODS[name] == ACT else "get"
    assert getattr(browser(house.stranger), method)(address).status_code == 404


def test_a_sign_in_that_came_by_a_providers_door_never_gets_in(house):
    customers.put(house.north, "own", {"email": house.admin.email}, audit.SYSTEM)
    inside = browser(house.admin)
    session = inside.session
    session[DOOR] = str(house.customer.pk)
    session.save()
    for path in ("/provider/", house.at("overview"), house.at("keys")):
        page = inside.get(path)
        assert page.status_code == 403
        assert "This needs your own sign-in" in text(page)
    assert "own pages" not in text(inside.get("/servers/"))


def test_a_hand_off_of_a_member_that_is_a_customer_too_stays_outside(house):
    address = handoff.offer(house.customer, audit.SYSTEM).url.removeprefix("http://127.0.0.1:8000")
    ProviderMember.objects.create(provider=house.south, user=house.alice, role="admin", accepted_at="2026-01-01T00:00Z")
    inside = Client()
    inside.post(address)
    assert inside.get("/servers/").status_code == 200
    assert inside.get("/provider/south/").status_code == 403


def test_who_works_at_one_provider_lands_there_and_who_works_at_two_chooses(house):
    assert browser(house.viewer).get("/provider/")["Location"] == "/provider/north/"
    ProviderMember.objects.create(provider=house.south, user=house.viewer, accepted_at="2026-01-01T00:00Z")
    page = browser(house.viewer).get("/provider/")
    assert "North Cloud" in text(page) and "South Host" in text(page)
    assert browser(house.alice).get("/provider/").status_code == 404


def test_who_is_both_can_switch(house):
    ProviderMember.objects.create(provider=house.north, user=house.alice, accepted_at="2026-01-01T00:00Z")
    inside = browser(house.alice)
    assert 'href="/provider/"' in inside.get("/servers/").content.decode()
    assert "Your servers" in text(inside.get(house.at("overview")))
    assert "Your servers" not in text(house.get("overview"))
    assert 'href="/provider/"' not in browser(house.charlie).get("/servers/").content.decode()


def test_an_invitation_that_nobody_answered_opens_nothing(house):
    ProviderMember.objects.create(provider=house.north, user=house.charlie, role="admin")
    assert browser(house.charlie).get(house.at("overview")).status_code == 404


def test_a_viewer_reads_who_can_act(house):
    page = text(house.get("issue-key", by=house.viewer))
    assert "Only administrators of North Cloud can do this. Ask ada@north.example." in page
    assert "Ask ada@north.example" in house.get("keys", by=house.viewer).content.decode()


def test_no_page_shows_a_secret(house, rows):
    account = house.customer.accounts.get()
    account.close_pending({"username": "ada", "password": "correct horse"}, 1)
    account.promote_pending()
    account.save()
    CredentialPush.objects.create(account=account, version=1, actor_name="billing")
    key, key_text = keys.issue(house.north, actor=audit.SYSTEM)
    hook, secret = webhooks.add(house.north, "http://127.0.0.1:9/other?token=receivers", [], audit.SYSTEM)
    hidden = ["correct horse", account.sealed, key_text, key.digest, secret, hook.sealed, "receivers"]
    for name, methods in METHODS.items():
        if "get" in methods and name not in ("frame", "change-webhook"):
            body = house.get(name, *rows[name]).content.decode()
            assert not [one for one in hidden if one in body], name


def test_pages_cost_a_bounded_number_of_queries(house, rows, django_assert_max_num_queries):
    for number in range(60):
        customer = CustomerFactory(provider=house.north, external_id=f"many-{number}")
        AccountFactory(customer=customer, endpoint=house.customer.accounts.get().endpoint)
        keys.issue(house.north, actor=audit.SYSTEM)
        Delivery.objects.create(webhook_id=rows["webhook"][0], event=Delivery.objects.first().event)
    inside = browser(house.admin)
    for name, most in (("overview", 16), ("customers", 12), ("customer", 12), ("keys", 8), ("webhooks", 8),
                       ("webhook", 8), ("calls", 8), ("members", 8), ("mail", 8), ("brand", 10), ("sign-in", 8),
                       ("images", 8)):  # fmt: skip
        address = house.at(name, *rows[name])
        inside.get(address)
        with django_assert_max_num_queries(most):
            assert inside.get(address).status_code == 200


def test_staff_find_the_link_and_cannot_open_it(house):
    page = browser(house.staff).get(reverse("admin:providers_provider_change", args=[house.north.pk]))
    assert re.search(r"Open its pages", page.content.decode())
    assert browser(house.staff).get(house.at("overview")).status_code == 404


def test_members_of_a_suspended_provider_look_and_are_refused_in_words_to_act(house, rows):
    enabling.suspend(house.north, audit.SYSTEM)
    before = AuditEntry.objects.count()
    for name, methods in METHODS.items():
        args = rows.get(name, [])
        for person in (house.admin, house.viewer):
            if "get" in methods and "admin" not in methods and name != "frame":
                assert house.get(name, *args, by=person).status_code == 200, name
            if "post" in methods:
                refused = house.post(name, *args, by=person)
                assert refused.status_code == 403, name
                assert "North Cloud is suspended at this console" in text(refused), name
    assert AuditEntry.objects.count() == before
    assert "North Cloud is suspended" in house.get("keys").content.decode()  # why its buttons do nothing
    enabling.enable(house.north, audit.SYSTEM)
    assert house.post("suspend-customer", house.customer.pk).status_code == 302


def test_a_suspended_providers_sandbox_is_for_looking_too(house):
    home = sandbox.twin(house.north)
    enabling.suspend(house.north, audit.SYSTEM)
    desk = browser(house.admin)
    assert desk.get(f"/provider/{home.slug}/").status_code == 200
    assert "is suspended" in text(desk.post(f"/provider/{home.slug}/sandbox/reset"))
