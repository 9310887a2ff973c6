"""Rows by COPY are the rows that `bulk_create` makes, whatever is in them."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from console.lib import copying
from console.models import AuditEntry
from providers.models import Customer, Mail, ProviderKey
from tests.factories import CustomerFactory, ProviderFactory

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=60)


class TestAnyText(TestCase):
    @settings(max_examples=50)
    @given(st.lists(st.tuples(TEXT, st.dictionaries(TEXT, TEXT | st.none() | st.integers(-9, 9))), max_size=5))
    def test_arrives_as_it_was(self, told):
        before = set(AuditEntry.objects.values_list("pk", flat=True))
        copying.insert(
            AuditEntry(actor_kind="system", verb="copied", target_name=name, detail=detail) for name, detail in told
        )
        kept = AuditEntry.objects.exclude(pk__in=before).order_by("pk")
        assert [(one.target_name, one.detail) for one in kept] == told


def test_what_was_left_to_the_database_is_what_it_says(db):
    provider = ProviderFactory()
    began = timezone.now()
    copying.insert(Customer(provider=provider, external_id=f"c-{number}") for number in range(3))
    [first, *_] = Customer.objects.filter(provider=provider).order_by("external_id")
    assert (first.status, first.closed_at) == ("active", None) and first.created_at >= began
    plain = CustomerFactory(provider=provider, external_id="c-9", organization="", email="")
    named = {field.name for field in Customer._meta.concrete_fields} - {"id", "external_id", "created_at"}
    assert {name: getattr(first, name) for name in named} == {name: getattr(plain, name) for name in named}


def test_lists_addresses_and_times_are_kept(db):
    provider, at = ProviderFactory(), timezone.now()
    copying.insert(
        ProviderKey(provider=provider, prefix=f"p{number}", digest=f"{number}", scopes=scopes, expires_at=at)
        for number, scopes in enumerate(([], ["mail:read", 'a "quoted", one']))
    )
    keys = list(ProviderKey.objects.order_by("prefix"))
    assert [key.scopes for key in keys] == [[], ["mail:read", 'a "quoted", one']]
    assert {key.expires_at for key in keys} == {at}


def test_a_conflict_is_an_error_and_nothing_of_it_stays(db):
    known = CustomerFactory()
    with pytest.raises(IntegrityError), transaction.atomic():
        copying.insert(
            Customer(provider=known.provider, external_id=pk) for pk in ("new", known.external_id)
        )  # fmt: skip
    assert Customer.objects.get() == known


def test_nothing_is_no_statement(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        copying.insert(Mail(to=one) for one in ())
