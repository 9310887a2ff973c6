"""One time line of what happened in a person's workspaces, and what goes on now."""

from __future__ import annotations

import re
from datetime import timedelta

from django.test import Client
from django.utils import timezone

from accounts.models import SyncRun
from console.lib import audit
from console.models import AuditEntry
from servers.installs import install
from tests.conftest import People
from tests.factories import AccountFactory, ServerFactory
from tests.pages import text


def test_deeds_are_told_newest_first_with_who_did_them(people: People) -> None:
    audit.note(audit.SYSTEM, "account.credentials_verified", target=people.account, customer_id=people.customer.pk,
               detail={"version": 3})  # fmt: skip
    audit.note(audit.Actor.of(people.bob), "account.sync_asked", target=people.account, customer_id=people.customer.pk)
    said = text(people.browser(people.alice).get("/activity/"))
    first, second = said.index("Asked to read Main account by bob@example.com"), said.index("Credentials verified for")
    assert first < second
    assert "Credentials verified for Main account version 3 by Muster" in said


def test_staff_who_act_for_a_customer_are_named_with_whom_they_act_for(people: People) -> None:
    staff = audit.Actor("staff", "1", "sam@staff.example", on_behalf_of="alice@example.com")
    audit.note(staff, "customer.resumed", target=people.customer, customer_id=people.customer.pk)
    assert "by sam@staff.example for alice@example.com" in text(people.browser(people.alice).get("/activity/"))


def test_a_deed_without_words_yet_is_told_by_its_name(people: People) -> None:
    audit.note(audit.SYSTEM, "server.painted_green", target=people.account, customer_id=people.customer.pk)
    assert "Server: painted green Main account" in text(people.browser(people.alice).get("/activity/"))


def test_charlie_sees_nothing_of_it_and_nobody_sees_other_peoples_sign_ins(people: People) -> None:
    audit.note(audit.SYSTEM, "account.linked", target=people.account, customer_id=people.customer.pk)
    for person in (people.alice, people.charlie):
        audit.note(audit.Actor.of(person), "person.signed_in", target=person)
    said = text(people.browser(people.charlie).get("/activity/"))
    assert "Main account" not in said
    assert "Signed in: charlie@example.com" in said
    assert "alice@example.com" not in said


def test_signing_in_is_told_to_the_person_and_to_nobody_else(people: People) -> None:
    people.alice.set_password("a long enough password")
    people.alice.save()
    browser = Client()
    answer = browser.post("/auth/login/", {"login": "alice@example.com", "password": "a long enough password"})
    assert answer.status_code == 302
    assert "Signed in: alice@example.com" in text(browser.get("/activity/"))
    assert "Signed in:" not in text(people.browser(people.bob).get("/activity/"))


def test_a_provider_issued_sign_in_sees_no_sign_ins_of_the_person_elsewhere(people: People) -> None:
    audit.note(audit.Actor.of(people.alice), "person.signed_in", target=people.alice)
    browser = people.browser(people.alice)
    assert "Signed in:" in text(browser.get("/activity/"))
    session = browser.session
    session["door"] = str(people.customer.pk)
    session.save()
    assert "Signed in:" not in text(browser.get("/activity/"))


def test_pages_go_on_by_the_last_entry_and_meet_each_once(people: People) -> None:
    for number in range(95):
        audit.note(audit.SYSTEM, f"deed.number_{number:02}x", target=people.account, customer_id=people.customer.pk)
    browser, address, told = people.browser(people.alice), "/activity/", []
    while address:
        content = browser.get(address).content.decode()
        told += re.findall(r"number (\d\d)x", content)
        found = re.search(r'rel="next" href="([^"]*)"', content)
        address = found[1] if found else ""
    assert told == [f"{number:02}" for number in reversed(range(95))]


def test_failed_readings_are_told_once_with_how_often_and_scheduled_ones_that_worked_are_not(people: People) -> None:
    now = timezone.now()
    for number, (state, trigger, words) in enumerate(
        [("failed", "schedule", "It did not answer.")] * 3
        + [("done", "schedule", "quiet")]
        + [("done", "person", "48 servers")]
    ):
        run = SyncRun.objects.create(account=people.account, state=state, trigger=trigger, outcome=words)
        SyncRun.objects.filter(pk=run.pk).update(
            queued_at=now - timedelta(minutes=number), ended_at=now - timedelta(minutes=number)
        )
    SyncRun.objects.create(account=AccountFactory(), state="failed", outcome="Foreign.")
    said = text(people.browser(people.alice).get("/activity/"))
    assert "Could not read Main account 3 times It did not answer." in said
    assert "48 servers Asked for." in said
    assert "quiet" not in said
    assert "Foreign." not in said


def test_an_install_under_way_stands_at_the_top_with_how_far_it_is(people: People) -> None:
    address = [{"ip": "192.0.2.7", "version": 4, "kind": "fixed", "network": "n", "mac": ""}]
    servers = [ServerFactory(account=people.account, addresses=address) for _ in range(3)]
    batch = install.start(servers, by=people.alice, customer=people.customer, user="root", password="x")
    batch.installs.filter(server=servers[0]).update(state="done")
    browser = people.browser(people.bob)
    said = text(browser.get("/activity/"))
    assert "Under way Install on 3 servers 1 done" in said
    assert "Started an install See it on 3 servers, as root by alice@example.com" in said
    install.cancel(batch, by=people.alice)
    assert "Under way" not in text(browser.get("/activity/"))


def test_an_entry_that_is_not_there_or_no_number_shows_what_there_is(people: People) -> None:
    audit.note(audit.SYSTEM, "account.linked", target=people.account, customer_id=people.customer.pk)
    browser = people.browser(people.alice)
    assert "Connected Main account" in text(browser.get("/activity/?before=999999999"))
    assert "Connected Main account" in text(browser.get("/activity/?before=rubbish"))
    assert AuditEntry.objects.filter(verb="account.linked").count() == 1
