"""Many new rows at once by COPY: a third of what `bulk_create` costs, which builds and reads one huge statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connection, models
from django.db.models.expressions import DatabaseDefault


def insert(rows: Iterable[models.Model]) -> None:
    """Insert these unsaved rows, all of one model. Conflicts raise IntegrityError, as with `bulk_create`.

    What the first row leaves to the database (defaults, a number as its id) all must leave to it, and nothing of it is
    read back. No signals are sent.
    """
    made = list(rows)
    if not made:
        return
    meta = made[0]._meta
    fields = [field for field in meta.local_concrete_fields if _given(field, made[0])]
    names = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    columns = [_column(field, made) for field in fields]
    statement = f"COPY {connection.ops.quote_name(meta.db_table)} ({names}) FROM STDIN"
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        for values in zip(*columns, strict=True):
            copy.write_row(values)


def _given(field: models.Field[Any, Any], row: models.Model) -> bool:
    value = getattr(row, field.attname)
    return not (isinstance(value, DatabaseDefault) or (value is None and isinstance(field, models.AutoField)))


def _column(field: models.Field[Any, Any], rows: list[models.Model]) -> Iterator[Any]:
    """The values as the database takes them. Most columns of new rows are one value throughout: prepared once."""
    seen: Any = object()
    prepared: Any = None
    for row in rows:
        value = field.pre_save(row, add=True)
        if value is not seen:
            seen, prepared = value, field.get_db_prep_save(value, connection)
        yield prepared
