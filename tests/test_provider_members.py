"""Who works at a provider: invited by mail, in by a yes of one's own, and never without an administrator."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.models import AuditEntry, User
from providers import customers, links, mail, members
from providers.models import Mail, ProviderMember, SignInLink
from tests.desks import Desk, browser, desk
from tests.factories import ProviderFactory, UserFactory
from tests.pages import text

PASSWORD = "orchard-42-lane"


@pytest.fixture
def house(db) -> Desk:
    return desk()


def mailed(to: str) -> str:
    """The path of the link in the newest invitation to `to`, as the worker renders it."""
    row = Mail.objects.filter(kind="member", to=to).order_by("-queued_at").first()
    message = mail.compose(row)
    assert "Subject" in str(message.message()) and message.alternatives
    return re.search(r"http://127\.0\.0\.1:8000(/\S+)", message.body).group(1)


def test_who_has_no_sign_in_sets_a_password_and_lands_on_the_pages(house):
    house.post("members", email="New@North.example", role="admin")
    member = ProviderMember.objects.get(user__email="new@north.example")
    assert (member.founding, member.accepted_at) == (True, None)
    path = mailed("new@north.example")
    inside = Client()
    assert path.startswith("/welcome/") and inside.get(path).status_code == 200
    assert inside.post(path, {"password": PASSWORD})["Location"] == "/provider/"
    assert inside.get(house.at("issue-key")).status_code == 200
    again = Client().post("/auth/login/", {"login": "new@north.example", "password": PASSWORD})
    assert again["Location"] == "/provider/"


def test_who_has_a_sign_in_says_yes_by_the_link_after_signing_in(house):
    house.post("members", email=house.charlie.email, role="viewer")
    path = mailed(house.charlie.email)
    assert path.startswith("/provider/~join/")
    assert Client().get(path)["Location"].startswith("/auth/login/")
    theirs = browser(house.charlie)
    assert "Work at North Cloud" in text(theirs.get(path))
    assert theirs.get(house.at("overview")).status_code == 404
    assert theirs.post(path)["Location"] == house.at("overview")
    assert theirs.get(house.at("overview")).status_code == 200
    assert theirs.get("/servers/").status_code == 200
    assert AuditEntry.objects.filter(verb="provider_member.accepted", actor_name=house.charlie.email).count() == 1
    theirs.post(path)
    assert theirs.get(path)["Location"] == house.at("overview")
    assert AuditEntry.objects.filter(verb="provider_member.accepted").count() == 1


@pytest.mark.parametrize(("new", "days"), [(True, 3), (False, 7)], ids=["a new person", "one with a sign-in"])
def test_the_mail_says_who_asks_for_what_and_until_when_as_text_and_as_html(house, new, days):
    to = "new@north.example" if new else house.charlie.email
    members.add(house.north, to, "admin", audit.SYSTEM)
    message = mail.compose(Mail.objects.get(kind="member"))
    [(html, kind)] = message.alternatives
    until = timezone.now() + timedelta(days=days)
    link = re.search(r"http://127\.0\.0\.1:8000/\S+", message.body).group()
    assert (message.to, kind) == ([to], "text/html")
    assert message.subject == "North Cloud invites you to its pages at Muster"
    for part in (message.body, text(HttpResponse(html))):
        assert "as an administrator" in part and link in part
        assert "Set a password to sign in" in part if new else "Sign in as before and say yes there" in part
        assert f"The link works until {until:%-d %B %Y}" in part
        assert "If you do not work at North Cloud, leave this mail" in part
    assert not re.search(r"password:|your password is", message.body, re.I)
    assert f'href="{link}"' in html


def test_a_link_to_a_first_password_works_once_and_the_older_one_is_over_then(house):
    member = members.add(house.north, "new@north.example", "viewer", audit.SYSTEM)
    older = mailed("new@north.example")
    Mail.objects.update(state="done")
    members.invite_again(member, audit.SYSTEM)
    newer = mailed("new@north.example")
    assert older != newer
    assert Client().post(newer, {"password": PASSWORD}).status_code == 302
    for path in (newer, older):
        assert Client().get(path).status_code == 410
        assert Client().post(path, {"password": "another-42-lane"}).status_code == 410


@pytest.mark.parametrize(("new", "status"), [(True, 410), (False, 404)])
def test_a_link_that_is_too_old_opens_nothing(house, monkeypatch, new, status):
    to = "new@north.example" if new else house.charlie.email
    members.add(house.north, to, "admin", audit.SYSTEM)
    path = mailed(to)
    SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    monkeypatch.setattr(links, "_JOINABLE", timedelta(seconds=-1))
    inside = Client() if new else browser(house.charlie)
    assert inside.get(path).status_code == inside.post(path, {"password": PASSWORD}).status_code == status
    assert not ProviderMember.objects.filter(user__email=to, accepted_at__isnull=False).exists()


def test_the_link_is_nothing_to_anybody_else_and_after_it_was_taken_back(house):
    member = members.add(house.north, house.charlie.email, "admin", audit.SYSTEM)
    path = mailed(house.charlie.email)
    for method in ("get", "post"):
        assert getattr(browser(house.alice), method)(path).status_code == 404
    members.remove(member, audit.SYSTEM)
    assert browser(house.charlie).post(path).status_code == 404
    assert browser(house.charlie).post("/provider/~join/nonsense/").status_code == 404
    assert Mail.objects.get(kind="member").state == "canceled"


def test_a_password_link_of_an_invitation_that_was_taken_back_is_over(house):
    member = members.add(house.north, "new@north.example", "admin", audit.SYSTEM)
    path = mailed("new@north.example")
    members.remove(member, audit.SYSTEM)
    assert Client().get(path).status_code == 410


def test_a_sign_in_that_another_provider_made_does_not_accept_in_the_persons_place(house):
    """South made a person under North's address and holds the password: it must not get into North's pages by that."""
    ada = {"email": "new@north.example", "first_name": "N", "last_name": "N", "organization": "N"}
    customer = customers.put(house.south, "trap", ada, audit.SYSTEM).customer
    user = User.objects.get(email="new@north.example")
    user.set_password(PASSWORD)
    user.save()
    members.add(house.north, user.email, "admin", audit.SYSTEM)
    assert links.first_member_password(ProviderMember.objects.get(user=user)) is None
    assert browser(user).get(house.at("overview")).status_code == 404
    link = links.first_password(user, customer)
    assert link is None


def test_an_address_is_told_alike_whether_it_is_known_or_not(house):
    for address in (house.charlie.email, "nobody@else.example"):
        page = browser(house.admin).post(house.at("members"), {"email": address, "role": "viewer"}, follow=True)
        assert f"An invitation to {address} is on its way." in text(page)
    listed = text(house.get("members"))
    assert listed.count("Invited") == 2


@pytest.mark.parametrize(("email", "role", "field"), [("nobody", "admin", "email"), ("a@b.example", "king", "role")])
def test_what_cannot_be_is_refused_by_field(house, email, role, field):
    with pytest.raises(Wrong) as refused:
        members.add(house.north, email, role, audit.SYSTEM)
    assert list(refused.value.fields) == [field]
    assert house.post("members", email=email, role=role).status_code == 422


def test_nobody_is_invited_twice(house):
    assert "belongs to North Cloud already" in text(house.post("members", email=house.viewer.email, role="viewer"))


def test_the_invitation_goes_out_again_but_is_not_doubled(house):
    member = members.add(house.north, "new@north.example", "viewer", audit.SYSTEM)
    house.post("invite-again", member.pk)
    assert Mail.objects.filter(kind="member").count() == 1
    Mail.objects.update(state="done")
    house.post("invite-again", member.pk)
    assert Mail.objects.filter(kind="member").count() == 2
    with pytest.raises(Denied):
        members.invite_again(ProviderMember.objects.get(user=house.viewer), audit.SYSTEM)


def test_a_link_that_is_too_old_is_sent_again_at_the_persons_wish(house):
    members.add(house.north, "new@north.example", "viewer", audit.SYSTEM)
    path = mailed("new@north.example")
    Client().post(f"{path}again/")
    assert Mail.objects.filter(kind="member").count() == 1  # one was written a moment ago
    Mail.objects.update(queued_at="2026-01-01T00:00Z")
    Client().post(f"{path}again/")
    assert Mail.objects.filter(kind="member").count() == 2


def test_the_last_administrator_stays(house):
    seat = ProviderMember.objects.get(user=house.admin)
    members.add(house.north, "new@north.example", "admin", audit.SYSTEM)  # who did not come in does not count
    for deed in (lambda: members.remove(seat, audit.SYSTEM), lambda: members.change_role(seat, "viewer", audit.SYSTEM)):
        with pytest.raises(Denied) as denied:
            deed()
        assert denied.value.code == "last_admin"
    house.post("remove-member", seat.pk)
    assert ProviderMember.objects.filter(pk=seat.pk).exists()


def test_roles_change_and_people_go(house):
    seat = ProviderMember.objects.get(user=house.viewer)
    house.post("member-role", seat.pk, role="admin")
    assert house.get("issue-key", by=house.viewer).status_code == 200
    house.post("remove-member", ProviderMember.objects.get(user=house.admin).pk, by=house.viewer)
    assert house.get("overview", by=house.admin).status_code == 404
    verbs = set(AuditEntry.objects.filter(provider_id=house.north.pk).values_list("verb", flat=True))
    assert {"provider_member.role_changed", "provider_member.removed"} <= verbs


@pytest.mark.django_db(transaction=True)
def test_of_two_administrators_that_remove_each_other_at_once_one_stays():
    north = ProviderFactory()
    seats = [ProviderMember.objects.create(provider=north, user=UserFactory(), role="admin",
                                           accepted_at="2026-01-01T00:00Z") for _ in range(2)]  # fmt: skip
    gate = threading.Barrier(2)

    def go(seat):
        try:
            gate.wait(10)
            members.remove(seat, audit.SYSTEM)
        except Denied:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=(seat,)) for seat in seats]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert ProviderMember.objects.count() == 1


def test_staff_invite_the_first_one_by_command(house, capsys):
    call_command("add_provider_member", "north", "first@north.example")
    assert "is invited to the pages of North Cloud as Administrator" in capsys.readouterr().out
    assert Mail.objects.get(kind="member").to == "first@north.example"
