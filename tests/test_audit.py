"""The audit log only grows: the database itself refuses to change or drop what was written."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from console.lib import audit
from console.models import AuditEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry(people):
    audit.note(
        audit.Actor.of(people.alice),
        "server.renamed",
        target=people.customer,
        customer_id=people.customer.pk,
        detail={"to": "web-2"},
    )
    return AuditEntry.objects.get()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: AuditEntry.objects.update(verb="nothing.happened"),
        lambda entry: AuditEntry.objects.filter(pk=entry.pk).delete(),
        lambda entry: connection.cursor().execute("DELETE FROM console_auditentry"),
        lambda entry: connection.cursor().execute("UPDATE console_auditentry SET detail = '{}'"),
    ],
    ids=["update", "delete", "plain delete", "plain update"],
)
def test_what_was_written_can_be_neither_changed_nor_deleted(entry, spoil):
    with pytest.raises(DatabaseError), transaction.atomic():
        spoil(entry)
    entry.refresh_from_db()
    assert (entry.verb, entry.detail) == ("server.renamed", {"to": "web-2"})


def test_an_entry_outlives_what_it_names(entry, people):
    name, who = entry.target_name, entry.actor_name
    people.customer.accounts.all().delete()
    people.customer.delete()
    people.alice.delete()
    entry.refresh_from_db()
    assert (entry.target_name, entry.actor_name) == (name, who) == ("Orchard Ltd", "alice@example.com")


def test_an_entry_says_who_acted(people):
    for actor, kind in ((audit.SYSTEM, "system"), (audit.Actor.staff(people.bob), "staff")):
        audit.note(actor, "x.done")
        assert AuditEntry.objects.latest("id").actor_kind == kind


def test_a_deed_that_fails_leaves_no_entry(people):
    with pytest.raises(RuntimeError), transaction.atomic():
        audit.note(audit.SYSTEM, "x.done")
        raise RuntimeError("the rest of the deed broke")
    assert not AuditEntry.objects.filter(verb="x.done").exists()


def test_names_longer_than_their_column_are_cut_and_not_refused(people):
    people.customer.organization = "x" * 200
    audit.note(audit.Actor("provider", "1", "y" * 400), "x.done", target=people.customer)
    assert len(AuditEntry.objects.latest("id").actor_name) == 254
