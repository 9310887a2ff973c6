"""A pytest plugin (loaded by `-p tests.emptying`): after a test with real transactions, the rows go, and only they.

Django truncates every table, then makes all permissions anew: 0.3 s a test. What migrations made of these stays here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from django.db import connection, transaction
from django.test import TransactionTestCase

MADE_BY_MIGRATIONS: Final = {"django_content_type", "auth_permission", "django_migrations"}


def empty(case: TransactionTestCase) -> None:
    """Delete every row of every table that has some. Keys are not checked meanwhile: nothing is left to refer to."""
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
    names = [connection.ops.quote_name(one) for one in sorted(tables - MADE_BY_MIGRATIONS)]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names)  # noqa: S608
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {name}")  # noqa: S608 - Django's own name


@pytest.fixture(autouse=True, scope="session")
def _emptied() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty)
        yield
