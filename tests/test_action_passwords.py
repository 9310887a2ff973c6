"""First passwords: sealed, told once and to one person, and gone after a day or with the account."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts import linking
from accounts.models import CloudAccount
from console.demo.openstack import Site
from console.lib import audit, seal
from console.lib.denials import Denied
from console.lib.faults import Unexpected
from console.models import AuditEntry
from providers import customers
from servers.actions import creating, passwords
from servers.actions.models import Action
from tests.acting import served, settle
from tests.conftest import People

pytestmark = pytest.mark.django_db


@pytest.fixture
def far(people: People) -> Iterator[tuple[Site, CloudAccount]]:
    with served(people, 0) as made:
        yield made


def created(people: People, far: Any) -> Action:
    site, account = far
    order = {"name": "shop", "image": next(iter(site.cloud.images)), "size": next(iter(site.cloud.flavors))}
    batch = creating.create(account, order=order, by=people.alice, customer=people.customer)
    settle(batch.actions)
    row: Action = batch.actions.get()
    assert row.state == "done", row.outcome
    return row


def refused(row: Action, by: Any) -> str:
    with pytest.raises(Denied) as caught:
        passwords.reveal(row, by=by)
    return caught.value.code


def test_the_clouds_first_password_is_sealed_and_told_once_to_who_asked(people: People, far: Any) -> None:
    row = created(people, far)
    assert passwords.has_one(row)
    assert row.password_sealed.startswith("v1:")
    assert refused(row, people.bob) == "password_of_another"
    assert refused(row, people.charlie) == "password_of_another"
    password = passwords.reveal(row, by=people.alice)
    assert len(password) >= 8
    row.refresh_from_db()
    assert not passwords.has_one(row)
    assert row.password_sealed == ""
    assert refused(row, people.alice) == "password_gone"
    entry = AuditEntry.objects.get(verb="password.told")
    assert (entry.actor_name, entry.target_name) == ("alice@example.com", "shop")
    everything = [*AuditEntry.objects.values(), *Action.objects.values()]
    assert password not in str(everything)


@pytest.mark.django_db(transaction=True)
def test_of_twenty_who_ask_at_once_one_is_told(people: People, far: Any) -> None:
    row, gate = created(people, far), threading.Barrier(20)
    told: list[str] = []
    codes: list[str] = []

    def ask() -> None:
        gate.wait(30)
        try:
            told.append(passwords.reveal(row, by=people.alice))
        except Denied as denial:
            codes.append(denial.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    assert codes == ["password_gone"] * 19


def test_an_action_without_one_says_so(people: People, far: Any) -> None:
    row = created(people, far)
    Action.objects.update(password_sealed="", password_until=None)
    row.refresh_from_db()
    assert not passwords.has_one(row)
    assert refused(row, people.alice) == "password_none"


def test_one_that_nobody_asked_for_within_a_day_is_deleted(people: People, far: Any) -> None:
    row = created(people, far)
    passwords.forget()
    row.refresh_from_db()
    assert passwords.has_one(row)
    Action.objects.update(password_until=timezone.now() - timedelta(seconds=1))
    row.refresh_from_db()
    assert not passwords.has_one(row)  # before anybody has swept
    passwords.forget()
    row.refresh_from_db()
    assert row.password_sealed == ""
    with pytest.raises(Denied, match="Nobody asked for this password in time"):
        passwords.reveal(row, by=people.alice)


@pytest.mark.parametrize("who", ["customer", "account"])
def test_it_goes_with_the_customer_and_with_the_account(people: People, far: Any, who: str) -> None:
    row = created(people, far)
    if who == "customer":
        customers.close(people.customer, audit.SYSTEM)
    else:
        with transaction.atomic():
            linking.remove(row.account, audit.SYSTEM)
    row.refresh_from_db()
    assert row.password_sealed == ""
    assert refused(row, people.alice) == "password_gone"


def test_one_that_was_moved_to_another_row_does_not_open_and_is_kept(people: People, far: Any) -> None:
    row = created(people, far)
    moved = seal.close({"password": "x"}, seal.Place("actions_action", "password_sealed", str(row.batch_id), "t"))
    Action.objects.update(password_sealed=moved)
    with pytest.raises(Unexpected, match="does not open"):
        passwords.reveal(row, by=people.alice)
    row.refresh_from_db()
    assert row.password_sealed == moved
