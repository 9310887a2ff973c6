"""Signing in, the second factor, sessions and one's own page, through allauth's views in our look."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail
from django.test import Client

from console.models import User
from tests.conftest import People
from tests.test_look import inline

PASSWORD = "orchard-42-lane"
pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(people: People) -> User:
    people.alice.set_password(PASSWORD)
    people.alice.save()
    return people.alice


def sign_in(browser: Client, password: str = PASSWORD, email: str = "alice@example.com") -> Any:
    return browser.post("/auth/login/", {"login": email, "password": password})


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def test_alice_signs_in_and_lands_on_her_servers(alice: User) -> None:
    answer = sign_in(Client())
    assert (answer.status_code, answer["Location"]) == (302, "/servers/")


def test_a_wrong_password_says_so_beside_the_form_and_not_whether_the_address_is_known(alice: User) -> None:
    known = sign_in(Client(), "wrong").content.decode()
    strange = sign_in(Client(), "wrong", "nobody@example.com").content.decode()
    told = [re.findall(r'class="alert-title">(.*?)</p>', html) for html in (known, strange)]
    assert told[0] == told[1] != []


@pytest.mark.parametrize(
    "path",
    [
        "/auth/login/",
        "/auth/signup/",
        "/auth/password/reset/",
        "/auth/password/reset/done/",
        "/auth/password/reset/key/x-y/",
        "/auth/inactive/",
    ],
)
def test_every_page_of_a_stranger_is_in_our_look_with_nothing_inline(path: str) -> None:
    page = Client().get(path)
    html = page.content.decode()
    assert page.status_code == 200
    assert 'class="door' in html
    assert inline(html) == []


def test_every_page_of_one_s_own_sign_in_is_in_our_look(alice: User) -> None:
    browser = Client()
    sign_in(browser)
    for path in (
        "/me/",
        "/auth/password/change/",
        "/auth/email/",
        "/auth/2fa/",
        "/auth/2fa/totp/activate/",
        "/auth/sessions/",
        "/auth/logout/",
        "/auth/reauthenticate/",
    ):
        page = browser.get(path, follow=True)
        assert page.status_code == 200, path
        assert inline(page.content.decode()) == [], path


def test_a_stranger_is_sent_to_sign_in_first() -> None:
    assert Client().get("/me/")["Location"].startswith("/auth/login/")


def test_a_second_factor_is_turned_on_asked_for_and_turned_off(alice: User, settings: Any) -> None:
    settings.MFA_TOTP_TOLERANCE = 1  # a code's time may end on its way
    browser = Client()
    sign_in(browser)
    assert browser.get("/auth/2fa/totp/activate/")["Location"].startswith("/auth/reauthenticate/")
    browser.post("/auth/reauthenticate/", {"password": PASSWORD})
    page = browser.get("/auth/2fa/totp/activate/").content.decode()
    secret = re.search(r"<code>([A-Z2-7]{16,})</code>", page)
    assert secret
    assert 'src="data:image/svg+xml' in page
    answer = browser.post("/auth/2fa/totp/activate/", {"code": code_of(secret.group(1))}, follow=True)
    codes = re.findall(r"<li>(\w{8,})</li>", browser.get("/auth/2fa/recovery-codes/").content.decode())
    assert answer.status_code == 200
    assert len(codes) == 10
    assert "10 left" in browser.get("/me/").content.decode()

    another = Client()
    assert sign_in(another)["Location"].startswith("/auth/2fa/authenticate/")
    assert "Second step" in another.get("/auth/2fa/authenticate/").content.decode()
    assert another.get("/me/").status_code == 302
    assert another.post("/auth/2fa/authenticate/", {"code": codes[0]})["Location"] == "/servers/"

    assert "stolen" not in browser.get("/auth/2fa/totp/deactivate/").content.decode()
    assert browser.post("/auth/2fa/totp/deactivate/").status_code == 302
    assert sign_in(Client())["Location"] == "/servers/"


def test_a_forgotten_password_is_set_anew_by_mail(alice: User) -> None:
    browser = Client()
    browser.post("/auth/password/reset/", {"email": alice.email})
    link = re.search(r"http\S+(/auth/password/reset/key/\S+)", mail.outbox[0].body)
    assert link
    form = browser.get(link.group(1), follow=True)
    target = form.redirect_chain[-1][0]
    answer = browser.post(target, {"password1": "another-lane-7", "password2": "another-lane-7"}, follow=True)
    assert "Password saved" in answer.content.decode()
    assert sign_in(Client(), "another-lane-7")["Location"] == "/servers/"
    again = Client().get(link.group(1), follow=True).content.decode()
    assert "This link no longer works" in again


def test_a_reset_for_an_unknown_address_answers_the_same(alice: User) -> None:
    addresses = (alice.email, "nobody@example.com")
    answers = [Client().post("/auth/password/reset/", {"email": email}) for email in addresses]
    assert {(answer.status_code, answer["Location"]) for answer in answers} == {(302, "/auth/password/reset/done/")}


def test_alice_names_herself_and_her_zone_and_a_wrong_zone_is_refused(alice: User) -> None:
    browser = Client()
    sign_in(browser)
    said = {"first_name": "Alice", "last_name": "Archer", "time_zone": "Europe/Berlin"}
    page = browser.post("/me/", said, follow=True).content.decode()
    assert "Saved." in page
    assert 'data-time-zone="Europe/Berlin"' in page
    wrong = browser.post("/me/", {**said, "time_zone": "Mars/Olympus"})
    assert wrong.status_code == 422
    alice.refresh_from_db()
    assert (alice.first_name, alice.time_zone) == ("Alice", "Europe/Berlin")


def test_her_page_names_where_she_belongs_and_not_where_others_do(alice: User) -> None:
    browser = Client()
    sign_in(browser)
    page = browser.get("/me/").content.decode()
    assert "Orchard Ltd" in page
    assert "Elsewhere" not in page


def test_other_sessions_are_signed_out_at_once(alice: User) -> None:
    here, there = Client(), Client()
    for browser in (here, there):
        sign_in(browser)
    assert here.get("/auth/sessions/").content.decode().count("since") >= 2
    here.post("/auth/sessions/")
    assert there.get("/me/").status_code == 302
    assert here.get("/me/").status_code == 200
