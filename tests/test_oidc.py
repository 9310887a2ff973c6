"""Customers sign in by their provider's own identity server: a real OpenID Connect server, over real HTTP."""

from __future__ import annotations

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from allauth.socialaccount.models import SocialAccount, SocialApp
from django.core.cache import cache
from django.test import Client

from console.lib import audit
from console.lib.denials import Wrong
from console.models import AuditEntry, User
from providers import customers, enabling, identity
from providers.models import IdentityServer, Membership
from providers.scope import DOOR
from tests.factories import (
    AccountFactory,
    CustomerFactory,
    MembershipFactory,
    ProviderFactory,
    ServerFactory,
    UserFactory,
)
from tests.identity_server import another_key, asked, back, identity_server, off, past, sign_in
from tests.pages import text
from tests.provider_api.calls import ADA

pytestmark = [  # of the server's, which runs in a thread here
    pytest.mark.filterwarnings("ignore::authlib.deprecate.AuthlibDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning"),
]
SECRET = "client-secret-of-north"


@pytest.fixture
def demo(db, settings):
    settings.DEMO_NETWORKS = ["127.0.0.0/8"]
    cache.clear()


@pytest.fixture
def site(demo):
    with identity_server() as made:
        yield made


@pytest.fixture
def north(site):
    return opened("north", site)


def opened(slug, site, claim="sub", **fields):
    provider = ProviderFactory(slug=slug, name=f"{slug.title()} Cloud", **fields)
    server = identity.put(provider, site.url, "muster", SECRET, claim, audit.SYSTEM)
    identity.enable(server, audit.SYSTEM)
    return provider


def rents(provider, external_id="c-1", email=ADA["email"]):
    return customers.put(provider, external_id, {**ADA, "email": email}, audit.SYSTEM).customer


def inside(browser):
    """Whose browser this is; None when nobody is signed in."""
    return User.objects.filter(pk=browser.session.get("_auth_user_id")).first()


def refused(reply, words=""):
    assert reply.status_code in (403, 502), reply.content
    assert "You are not signed in" in text(reply)
    assert words in text(reply)


class TestSigningIn:
    def test_a_customer_who_never_had_a_password_comes_in_and_sees_its_servers(self, site, north):
        customer = rents(north)
        ServerFactory(account=AccountFactory(customer=customer), name="web-1")
        browser = Client()
        reply = sign_in(site, browser, "c-1")
        assert (reply.status_code, reply["Location"]) == (302, "/servers/")
        assert b"web-1" in browser.get("/servers/").content
        assert browser.session[DOOR] == str(customer.pk)
        assert Membership.objects.get().accepted_at
        assert SocialAccount.objects.get().uid == "c-1"
        assert AuditEntry.objects.get(verb="identity.bound").detail == {"issuer": site.url, "sub": "c-1"}

    def test_the_question_carries_state_nonce_and_a_pkce_challenge_and_the_answer_its_verifier(self, site, north):
        rents(north)
        browser = Client()
        address = off(browser)
        told = asked(address)
        assert told["code_challenge_method"] == "S256"
        assert len(told["code_challenge"]) == 43 and len(told["nonce"]) >= 32 and len(told["state"]) >= 16
        assert told["redirect_uri"] == "http://127.0.0.1:8000/enter/north/back/"
        assert "email" not in told["scope"]
        assert back(browser, site.signs_in(address, "c-1")).status_code == 302
        assert len(site.forms[0]["code_verifier"][0]) >= 43

    def test_nothing_that_the_address_says_goes_along(self, site, north):
        there = Client().get("/enter/north/?auth_params=nonce%3Dmine&scope=admin&process=connect&next=//evil.example")
        told = asked(there["Location"])
        assert told["nonce"] != "mine" and "admin" not in told["scope"]

    def test_again_it_is_the_same_person(self, site, north):
        rents(north)
        for _ in range(2):
            assert sign_in(site, Client(), "c-1").status_code == 302
        assert SocialAccount.objects.count() == User.objects.count() == 1
        assert AuditEntry.objects.filter(verb="identity.bound").count() == 1
        assert AuditEntry.objects.filter(verb="person.signed_in").count() == 2

    def test_the_claim_that_the_provider_chose_holds_the_customers_id(self, site):
        customer = rents(opened("north", site, "customer_id"), "4711")
        site.person("ada-at-north", customer_id=4711)
        browser = Client()
        assert sign_in(site, browser, "ada-at-north").status_code == 302
        assert browser.session[DOOR] == str(customer.pk)
        assert SocialAccount.objects.get().uid == "ada-at-north"

    def test_a_claim_that_only_userinfo_holds_is_read_there(self, site):
        rents(opened("north", site, "customer_id"))
        site.person("ada", customer_id="c-1")
        site.claims = lambda told: {name: value for name, value in told.items() if name != "customer_id"}
        assert sign_in(site, Client(), "ada").status_code == 302
        assert "/userinfo" in site.calls

    def test_userinfo_of_somebody_else_is_refused(self, site):
        rents(opened("north", site, "customer_id"))
        site.person("ada", customer_id="c-1")
        site.claims = lambda told: {name: value for name, value in told.items() if name != "customer_id"}
        site.userinfo = lambda told: told | {"sub": "eve"}
        refused(sign_in(site, Client(), "ada"), "did not confirm")

    def test_a_very_long_sub_is_a_person_too(self, site):
        rents(opened("north", site, "customer_id"))
        long = "s" * 250
        site.person(long, customer_id="c-1")
        for _ in range(2):
            assert sign_in(site, Client(), long).status_code == 302
        assert SocialAccount.objects.count() == 1

    def test_who_was_signed_in_before_as_another_is_signed_out_first(self, site, north):
        rents(north)
        browser = Client()
        browser.force_login(UserFactory(email="bob@example.com"))
        sign_in(site, browser, "c-1")
        assert inside(browser).email == ADA["email"]

    def test_a_second_factor_is_asked_for_and_the_sign_in_stays_the_providers(self, site, north):
        customer = rents(north)
        TOTP.activate(User.objects.get(), "JBSWY3DPEHPK3PXP")
        browser = Client()
        assert sign_in(site, browser, "c-1")["Location"].startswith("/auth/2fa/authenticate/")
        assert inside(browser) is None
        code = _code("JBSWY3DPEHPK3PXP")
        browser.post("/auth/2fa/authenticate/", {"code": code})
        assert inside(browser) is not None
        assert browser.session[DOOR] == str(customer.pk)

    def test_a_welcome_page_leads_there(self, site, north):
        from providers import links
        from providers.models import SignInLink

        customer = rents(north)
        token = links.issue(User.objects.get(), SignInLink.Purpose.SET_PASSWORD, customer)
        assert b'href="/enter/north/"' in Client().get(f"/welcome/{token}/").content
        identity.disable(north.identity_server, audit.SYSTEM)
        assert b"/enter/north/" not in Client().get(f"/welcome/{token}/").content


class TestTakeOver:
    """SECURITY.md §6: whoever controls a provider, or its identity server, reaches that provider's customer only."""

    def test_an_email_claim_equal_to_another_persons_address_gives_nothing(self, site):
        rents(opened("north", site, "customer_id"))
        victim = UserFactory(email="victim@example.com")
        secret = MembershipFactory(customer=CustomerFactory(organization="Secret Ltd"), user=victim).customer
        ServerFactory(account=AccountFactory(customer=secret), name="secret-1")
        site.person("eve", email="victim@example.com", email_verified=True, customer_id="c-1")
        browser = Client()
        assert sign_in(site, browser, "eve").status_code == 302
        assert inside(browser).email == ADA["email"]
        assert b"secret-1" not in browser.get("/servers/").content
        site.person("mallory", email="victim@example.com", email_verified=True)
        browser = Client()
        refused(sign_in(site, browser, "mallory"), "no customer of that id")
        assert inside(browser) is None

    def test_it_sees_that_customer_only_and_cannot_change_the_persons_sign_in(self, site, north):
        rents(north)
        other = MembershipFactory(customer=CustomerFactory(), user=User.objects.get()).customer
        hidden = ServerFactory(account=AccountFactory(customer=other), name="secret-1")
        browser = Client()
        sign_in(site, browser, "c-1")
        assert b"secret-1" not in browser.get("/servers/").content
        assert browser.get(f"/servers/{hidden.pk}/").status_code == 404
        for page in ("/me/", "/auth/password/change/", "/auth/2fa/", "/admin/", "/me/tokens/"):
            assert browser.get(page).status_code == 403

    def test_who_was_known_before_must_accept_by_a_sign_in_of_their_own(self, site, north):
        UserFactory(email=ADA["email"])
        rents(north)
        browser = Client()
        assert sign_in(site, browser, "c-1")["Location"].endswith("/invitations/")
        assert inside(browser) is None
        assert Membership.objects.get().accepted_at is None
        assert not SocialAccount.objects.exists()

    def test_another_providers_customer_of_the_same_id_is_not_met(self, site, north):
        south = ProviderFactory(slug="south", name="South Host")
        rents(south, "c-1", "sue@example.com")
        refused(sign_in(site, Client(), "c-1"), "no customer of that id")

    def test_the_same_sub_at_two_providers_is_two_people(self, site, north):
        with identity_server() as other:
            south = opened("south", other)
            rents(north, "c-1")
            rents(south, "c-1", "sue@example.com")
            first, second = Client(), Client()
            sign_in(site, first, "c-1")
            sign_in(other, second, "c-1", "south")
        assert inside(first).email == ADA["email"]
        assert inside(second).email == "sue@example.com"
        assert SocialAccount.objects.values("provider").distinct().count() == 2

    def test_two_providers_that_share_an_issuer_share_no_identity(self, site, north):
        south = opened("south", site)
        rents(north, "c-1")
        sign_in(site, Client(), "c-1")
        refused(sign_in(site, Client(), "c-1", "south"), "no customer of that id")
        rents(south, "c-1", "sue@example.com")
        browser = Client()
        sign_in(site, browser, "c-1", "south")
        assert inside(browser).email == "sue@example.com"

    def test_a_changed_issuer_carries_nothing_over_and_is_off_at_first(self, site, north):
        rents(north)
        sign_in(site, Client(), "c-1")
        assert SocialAccount.objects.count() == 1
        with identity_server() as other:
            server = identity.put(north, other.url, "muster", "new", "sub", audit.SYSTEM)
            assert not server.enabled
            assert not SocialAccount.objects.exists()
            refused(Client().get("/enter/north/"), "does not sign its customers in here")

    def test_an_answer_for_another_providers_door_is_not_taken(self, site, north):
        opened("south", site)
        rents(north)
        browser = Client()
        answer = site.signs_in(off(browser, "south"), "c-1")
        refused(back(browser, answer.replace("/enter/south/", "/enter/north/")), "over")
        assert inside(browser) is None

    def test_who_left_the_customer_does_not_come_in_as_they_were(self, site, north):
        customer = rents(north)
        sign_in(site, Client(), "c-1")
        gone = User.objects.get()
        MembershipFactory(customer=customer, user=UserFactory(email="bob@example.com"), role="owner")
        Membership.objects.filter(user=gone).delete()
        browser = Client()
        sign_in(site, browser, "c-1")
        assert inside(browser).email == "bob@example.com"

    def test_allauths_own_pages_for_other_sign_ins_are_not_there(self, site, north, people):
        browser = people.browser(people.alice)
        for path in ("/auth/3rdparty/", "/auth/3rdparty/signup/", "/auth/oidc/north/login/", "/auth/social/signup/"):
            assert browser.get(path).status_code == 404
        assert not SocialApp.objects.exists()


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


def _code(secret):
    from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time

    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))
