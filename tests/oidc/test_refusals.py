"""Who does not come in by an identity server: forgers, servers that are unwell, doors that are closed."""

from __future__ import annotations

import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client

from console.lib import audit
from console.lib.denials import Wrong
from console.models import AuditEntry
from providers import customers, enabling, identity
from providers.models import IdentityServer
from tests.factories import CustomerFactory, ProviderFactory
from tests.identity_server import (
    QUIET,
    SECRET,
    another_key,
    asked,
    back,
    inside,
    off,
    past,
    refused,
    rents,
    sign_in,
)

pytestmark = QUIET


class TestForgery:
    @pytest.fixture
    def ada(self, north):
        return rents(north)

    def test_a_token_signed_by_another_key(self, site, ada):
        site.key = another_key()
        browser = Client()
        refused(sign_in(site, browser, "c-1"), "North Cloud did not confirm who you are")
        assert inside(browser) is None

    def test_a_token_without_a_signature(self, site, ada):
        site.key, site.algorithm = "", "none"
        refused(sign_in(site, Client(), "c-1"), "did not confirm")

    def test_a_token_signed_with_the_clients_secret(self, site, ada):
        site.key, site.algorithm = SECRET * 3, "HS256"
        refused(sign_in(site, Client(), "c-1"), "did not confirm")

    @pytest.mark.parametrize(
        "change",
        [
            lambda told: told | {"nonce": "mine"},
            lambda told: {name: value for name, value in told.items() if name != "nonce"},
            lambda told: told | {"iss": "https://issuer.evil.example"},
            lambda told: told | {"aud": "somebody-else"},
            lambda told: told | {"aud": ["muster", "other"], "azp": "other"},
            lambda told: told | {"sub": ""},
            lambda told: told | {"sub": ["c-1"]},
            lambda told: {name: value for name, value in told.items() if name != "exp"},
            past,
        ],
        ids=["nonce", "no nonce", "issuer", "audience", "azp", "empty sub", "odd sub", "no end", "expired"],
    )
    def test_a_token_that_is_signed_well_and_says_the_wrong_thing(self, site, ada, change):
        site.claims = change
        browser = Client()
        refused(sign_in(site, browser, "c-1"), "did not confirm")
        assert inside(browser) is None

    @pytest.mark.parametrize("odd", [True, None, 1.5, ["c-1"], {"a": 1}, "c" * 121, "c\x00", ""])
    def test_a_customer_claim_that_is_no_id(self, site, ada, odd):
        IdentityServer.objects.update(customer_claim="customer_id")
        site.claims = lambda told: told | {"customer_id": odd}
        refused(sign_in(site, Client(), "c-1"), "no customer of that id")

    def test_an_answer_that_nobody_asked_for(self, site, ada):
        answer = site.signs_in(off(Client()), "c-1")
        victim = Client()
        refused(back(victim, answer), "over")
        assert inside(victim) is None

    def test_another_state(self, site, ada):
        browser = Client()
        off(browser)
        refused(browser.get("/enter/north/back/?code=abc&state=forged"), "over")

    def test_the_same_answer_twice(self, site, ada):
        browser = Client()
        answer = site.signs_in(off(browser), "c-1")
        assert back(browser, answer).status_code == 302
        refused(back(browser, answer), "over")

    def test_a_code_that_was_used_already(self, site, ada):
        first, second = Client(), Client()
        used = asked(site.signs_in(off(first), "c-1"))
        back(first, f"http://127.0.0.1:8000/enter/north/back/?code={used['code']}&state={used['state']}")
        state = asked(off(second))["state"]
        refused(second.get(f"/enter/north/back/?code={used['code']}&state={state}"), "did not confirm")
        assert inside(second) is None

    def test_a_person_who_says_no_there_is_told_so(self, site, ada):
        browser = Client()
        state = asked(off(browser))["state"]
        refused(
            browser.get(f"/enter/north/back/?error=access_denied&state={state}"), "You did not go on at North Cloud"
        )

    def test_words_of_a_forged_error_are_not_shown(self, site, ada):
        browser = Client()
        state = asked(off(browser))["state"]
        page = browser.get(f"/enter/north/back/?error=x&error_description=Call+0900&state={state}")
        refused(page)
        assert "0900" not in page.content.decode()


class TestServersThatAreUnwell:
    @pytest.mark.parametrize("rubbish", [
        {"token": lambda told: {"access_token": "a"}},
        {"token": lambda told: {"id_token": ["a"]}},
        {"token": lambda told: told | {"id_token": "a.b.c"}},
        {"token": lambda told: told | {"id_token": "ü"}},
        {"token": lambda told: None},
    ])  # fmt: skip
    def test_a_token_reply_that_is_rubbish_is_a_page_in_words(self, site, north, rubbish):
        rents(north)
        for name, change in rubbish.items():
            setattr(site, name, change)
        refused(sign_in(site, Client(), "c-1"))

    def test_a_server_that_is_away_is_a_page_in_words(self, north, site):
        IdentityServer.objects.update(issuer="http://127.0.0.1:9")
        refused(Client().get("/enter/north/"), "Try again in a few minutes")

    def test_its_description_is_not_read_for_each_knock(self, site, north):
        for _ in range(5):
            off(Client())
        assert site.calls.count("/.well-known/openid-configuration") == 2  # on save, and once

    def test_outside_a_sign_in_nothing_can_be_fetched(self, demo):
        from console.portal.oidc import Adapter

        with pytest.raises(LookupError):
            Adapter().get_requests_session()


class TestClosedDoors:
    def test_a_suspended_provider(self, site, north):
        rents(north)
        enabling.suspend(north, audit.SYSTEM)
        refused(Client().get("/enter/north/"), "does not sign its customers in here at present")

    def test_a_suspension_in_the_midst_of_it(self, site, north):
        rents(north)
        browser = Client()
        answer = site.signs_in(off(browser), "c-1")
        enabling.suspend(north, audit.SYSTEM)
        refused(back(browser, answer))
        assert inside(browser) is None

    def test_a_server_that_is_turned_off(self, site, north):
        identity.disable(north.identity_server, audit.SYSTEM)
        refused(Client().get("/enter/north/"), "does not sign its customers in here at present")

    def test_a_provider_without_one_and_one_that_there_is_not(self, site):
        ProviderFactory(slug="west")
        refused(Client().get("/enter/west/"))
        assert Client().get("/enter/nowhere/").status_code == 404

    def test_a_closed_customer(self, site, north):
        customers.close(rents(north), audit.SYSTEM)
        refused(sign_in(site, Client(), "c-1"), "closed this customer")

    def test_a_customer_that_nobody_belongs_to(self, site, north):
        CustomerFactory(provider=north, external_id="c-9")
        refused(sign_in(site, Client(), "c-9"), "Nobody belongs to this customer yet")


class TestSettingItUp:
    def test_the_secret_is_sealed_and_in_no_log_of_ours(self, north):
        row = IdentityServer.objects.get()
        assert SECRET not in row.sealed
        assert identity.secret_of(row) == SECRET
        assert SECRET not in str(list(AuditEntry.objects.values()))

    def test_without_a_new_secret_the_old_one_stays_but_never_for_another_issuer(self, site, north):
        identity.put(north, site.url, "muster-2", None, "sub", audit.SYSTEM)
        row = IdentityServer.objects.get()
        assert (identity.secret_of(row), row.client_id, row.enabled) == (SECRET, "muster-2", True)
        with pytest.raises(Wrong) as wrong:
            identity.put(north, "http://127.0.0.1:9", "muster-2", None, "sub", audit.SYSTEM)
        assert "secret" in wrong.value.fields

    def test_removed_it_is_gone_with_its_identities(self, site, north):
        rents(north)
        sign_in(site, Client(), "c-1")
        identity.remove(north.identity_server, audit.SYSTEM)
        assert not IdentityServer.objects.exists() and not SocialAccount.objects.exists()
        verbs = list(
            AuditEntry.objects.filter(target_kind="identityserver").order_by("pk").values_list("verb", flat=True)
        )
        assert verbs == ["identity_server.set", "identity_server.enabled", "identity_server.removed"]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"issuer": "https://other.example"}, "says that its issuer is"),
            ({"token_endpoint": "http://evil.example/token"}, "is at evil.example"),
            ({"jwks_uri": "http://10.0.0.1/keys"}, "is at 10.0.0.1"),
            ({"authorization_endpoint": None}, "names no authorization_endpoint"),
            ({"id_token_signing_alg_values_supported": ["HS256"]}, "signs by HS256"),
            ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ],
    )
    def test_a_description_that_does_not_fit_is_refused_in_words(self, site, change, words):
        site.description = lambda told: told | change
        with pytest.raises(Wrong) as wrong:
            identity.put(ProviderFactory(), site.url, "muster", "", "sub", audit.SYSTEM)
        assert words in wrong.value.fields["issuer"][0]
        assert not IdentityServer.objects.exists()

    @pytest.mark.parametrize(
        "issuer",
        ["http://127.0.0.1:9", "ftp://a", "", "http://127.0.0.1/?a=b", "http://169.254.169.254", "http://10.0.0.1"],
    )
    def test_an_address_that_answers_not_or_must_not_be_asked(self, demo, issuer):
        with pytest.raises(Wrong) as wrong:
            identity.put(ProviderFactory(), issuer, "muster", "", "sub", audit.SYSTEM)
        assert wrong.value.fields["issuer"][0]

    def test_outside_the_demo_neither_this_machine_nor_plain_http(self, site, settings):
        settings.DEMO_NETWORKS = []
        with pytest.raises(Wrong) as wrong:
            identity.put(ProviderFactory(), site.url, "muster", "", "sub", audit.SYSTEM)
        assert "not encrypted" in wrong.value.fields["issuer"][0]

    @pytest.mark.parametrize("claim", ["email", "preferred_username", "c" * 61])
    def test_a_claim_that_people_can_change_is_refused(self, site, claim):
        with pytest.raises(Wrong) as wrong:
            identity.put(ProviderFactory(), site.url, "muster", "", claim, audit.SYSTEM)
        assert "customer_claim" in wrong.value.fields

    def test_a_trailing_slash_is_as_the_server_spells_it(self, site):
        row = identity.put(ProviderFactory(), f"{site.url}/", "muster", "", "sub", audit.SYSTEM)
        assert row.issuer == site.url
