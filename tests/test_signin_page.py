"""A provider sets its own identity server: alice is North's administrator, bob looks, charlie works at South."""

from __future__ import annotations

import pytest
from allauth.socialaccount.models import SocialAccount
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from console.models import AuditEntry
from providers import identity, sandbox
from providers.models import IdentityServer
from tests.desks import browser, member
from tests.factories import ProviderFactory
from tests.identity_server import SECRET, identity_server, inside, rents, sign_in
from tests.pages import text

pytestmark = [  # of the server's, which runs in a thread here
    pytest.mark.filterwarnings("ignore::authlib.deprecate.AuthlibDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning"),
]


@pytest.fixture
def north(db):
    return ProviderFactory(slug="north", name="North Cloud")


@pytest.fixture
def alice(north):
    return browser(member(north, "alice@north.example", "admin"))


@pytest.fixture
def bob(north):
    return browser(member(north, "bob@north.example", "viewer"))


@pytest.fixture
def charlie(north):
    return browser(member(ProviderFactory(slug="south", name="South Host"), "charlie@south.example", "admin"))


@pytest.fixture
def site(db, settings):
    settings.DEMO_NETWORKS = ["127.0.0.0/8"]
    cache.clear()
    with identity_server() as made:
        yield made


def at(name="sign-in", slug="north"):
    return reverse(f"provider:{name}", args=[slug])


def form(site, **change):
    return {"issuer": site.url, "client_id": "muster", "secret": SECRET, "customer_claim": "sub", **change}


class TestSetting:
    def test_it_is_set_turned_on_and_then_a_customer_comes_in_by_it(self, site, north, alice):
        page = alice.post(at(), form(site), follow=True)
        assert "Saved, and it fits. Nobody signs in by it until you turn it on." in text(page)
        row = IdentityServer.objects.get()
        assert (row.provider, row.enabled, identity.secret_of(row)) == (north, False, SECRET)
        rents(north)
        assert Client().get("/enter/north/").status_code == 403
        assert "Your customers sign in by it now." in text(alice.post(at("turn-sign-in"), {"on": "1"}, follow=True))
        visitor = Client()
        assert sign_in(site, visitor, "c-1").status_code == 302
        assert inside(visitor) is not None
        alice.post(at("turn-sign-in"))
        assert Client().get("/enter/north/").status_code == 403
        told = AuditEntry.objects.filter(verb__startswith="identity_server.").order_by("pk")
        assert [one.verb for one in told] == [f"identity_server.{what}" for what in ("set", "enabled", "disabled")]
        assert {one.actor_name for one in told} == {"alice@north.example"}

    def test_its_secret_is_on_no_page_and_an_empty_one_leaves_it(self, site, alice):
        alice.post(at(), form(site))
        for page in (alice.get(at()), alice.get(at("remove-sign-in")), alice.post(at(), form(site, issuer="x"))):
            assert SECRET not in page.content.decode()
        alice.post(at(), form(site, secret="", client_id="other"))
        row = IdentityServer.objects.get()
        assert (row.client_id, identity.secret_of(row)) == ("other", SECRET)
        alice.post(at(), form(site, secret="", no_secret="on"))
        assert identity.secret_of(IdentityServer.objects.get()) == ""

    def test_at_another_issuer_it_is_off_and_starts_afresh(self, site, north, alice):
        alice.post(at(), form(site))
        alice.post(at("turn-sign-in"), {"on": "1"})
        rents(north)
        sign_in(site, Client(), "c-1")
        assert SocialAccount.objects.exists()
        with identity_server() as other:
            page = alice.post(at(), form(other, secret=""))
            assert "Write the secret of the new server" in text(page)
            alice.post(at(), form(other))
        row = IdentityServer.objects.get()
        assert (row.issuer, row.enabled) == (other.url, False)
        assert not SocialAccount.objects.exists()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"issuer": ""}, "required"),
            ({"client_id": ""}, "required"),
            ({"customer_claim": "email"}, "Name a claim that holds your own id of the customer"),
            ({"issuer": "https://10.0.0.1/"}, "10.0.0.1"),
            ({"issuer": "not an address"}, "address"),
        ],
    )
    def test_what_cannot_be_stands_beside_its_field(self, site, alice, change, words):
        page = alice.post(at(), form(site, **change))
        assert page.status_code == 422 and "invalid-feedback" in page.content.decode()
        assert words in text(page)
        assert not IdentityServer.objects.exists()

    def test_removing_asks_first_and_takes_the_identities(self, site, north, alice):
        assert alice.get(at("remove-sign-in")).status_code == 404
        alice.post(at(), form(site))
        alice.post(at("turn-sign-in"), {"on": "1"})
        rents(north)
        sign_in(site, Client(), "c-1")
        assert "btn-danger" in alice.get(at("remove-sign-in")).content.decode()
        alice.post(at("remove-sign-in"))
        assert not IdentityServer.objects.exists() and not SocialAccount.objects.exists()

    def test_the_sandbox_has_one_of_its_own(self, site, north, alice, settings):
        settings.SANDBOX = True
        twin = sandbox.twin(north)
        alice.post(at(slug=twin.slug), form(site))
        assert IdentityServer.objects.get().provider == twin
        assert f"/enter/{twin.slug}/back/" in alice.get(at(slug=twin.slug)).content.decode()


class TestTrying:
    def test_a_server_is_asked_and_nothing_is_kept(self, site, alice):
        page = alice.post(at(), form(site, **{"try": "1"}))
        assert page.status_code == 200
        assert "It answers, and it fits" in text(page) and f"{site.url}/jwks" in text(page)
        assert not IdentityServer.objects.exists()
        assert site.calls == ["/.well-known/openid-configuration", "/jwks"]

    def test_what_does_not_fit_is_said_in_words(self, site, alice):
        site.description = lambda told: told | {"issuer": "https://evil.example"}
        page = alice.post(at(), form(site, **{"try": "1"}))
        assert page.status_code == 422
        assert "says that its issuer is https://evil.example" in text(page)
        site.description = lambda told: told | {"jwks_uri": f"{site.url}/users"}
        assert "its keys" in text(alice.post(at(), form(site, **{"try": "1"})))
        site.description = lambda told: told | {"jwks_uri": f"{site.url}/.well-known/openid-configuration"}
        assert "shows no key" in text(alice.post(at(), form(site, **{"try": "1"})))

    def test_it_goes_through_the_guard(self, site, alice, settings):
        settings.DEMO_NETWORKS = []
        page = alice.post(at(), form(site, **{"try": "1"}))
        assert page.status_code == 422 and "invalid-feedback" in page.content.decode()
        assert site.calls == []


class TestWhoMay:
    def test_a_viewer_reads_it_and_changes_nothing(self, site, north, alice, bob):
        alice.post(at(), form(site))
        page = bob.get(at())
        assert site.url in text(page) and 'name="secret"' not in page.content.decode()
        for name, given in (("sign-in", form(site)), ("turn-sign-in", {"on": "1"}), ("remove-sign-in", {})):
            assert bob.post(at(name), given).status_code == 403
        assert not IdentityServer.objects.get().enabled

    def test_another_provider_finds_nothing(self, site, charlie):
        for name in ("sign-in", "turn-sign-in", "remove-sign-in"):
            assert charlie.post(at(name), form(site)).status_code == 404
        assert charlie.get(at()).status_code == 404
        assert site.calls == []
