"""Customers sign in by their provider's own identity server: a real OpenID Connect server, over real HTTP."""

from __future__ import annotations

from allauth.mfa.totp.internal.auth import TOTP
from allauth.socialaccount.models import SocialAccount, SocialApp
from django.test import Client

from console.lib import audit
from console.models import AuditEntry, User
from providers import identity
from providers.models import Membership
from providers.scope import DOOR
from tests.factories import (
    AccountFactory,
    CustomerFactory,
    MembershipFactory,
    ProviderFactory,
    ServerFactory,
    UserFactory,
)
from tests.identity_server import (
    QUIET,
    asked,
    back,
    identity_server,
    inside,
    off,
    opened,
    refused,
    rents,
    sign_in,
)
from tests.provider_api.calls import ADA

pytestmark = QUIET


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
        for _ in range(2):  # the time of a code may end on its way
            if inside(browser) is None:
                browser.post("/auth/2fa/authenticate/", {"code": _code("JBSWY3DPEHPK3PXP")})
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


def _code(secret):
    from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time

    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))
