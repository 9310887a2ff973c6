"""The write of a sync: COPY what changed into a temporary table, then one INSERT … ON CONFLICT (NUMBERS.md).

The first servers of an account are copied straight into their table: nothing can be there yet, and it is cheaper.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from django.db import connection

from accounts.clouds import ServerFacts
from accounts.models import CloudAccount
from providers import events
from servers.comparing import Difference
from servers.models import Server
from servers.signals import servers_gone

_COLUMNS: Final = (
    "id", "external_id", "name", "state", "raw_state", "addresses", "ips", "size", "cpus", "memory_mb", "disk_gb",
    "image", "region", "key_name", "cloud_created_at", "digest", "fingerprint",
)  # fmt: skip
_LARGEST: Final = 2**31 - 1
# Addresses that need no quotes in an array. psycopg's own arrays cost more than all else of a row.
_PLAIN: Final = re.compile(r"([0-9a-fA-F:.]{1,45}(,[0-9a-fA-F:.]{1,45})*)?").fullmatch
_NAMES: Final = ", ".join(_COLUMNS)
_SET: Final = ", ".join(f"{name} = EXCLUDED.{name}" for name in _COLUMNS if name not in ("id", "external_id"))
_ENCODER: Final = msgspec.json.Encoder()
# Only our own column names are put into the statements; values go by COPY and parameters.
_UPSERT: Final = (
    f"INSERT INTO servers_server (account_id, customer_id, {_NAMES})"  # noqa: S608
    f" SELECT %s, %s, {_NAMES} FROM incoming"
    f" ON CONFLICT (account_id, external_id) DO UPDATE SET {_SET}, changed_at = now(),"
    " missing_since = NULL, gone_at = NULL"
)
_COPY: Final = f"COPY servers_server (account_id, customer_id, {_NAMES}) FROM STDIN"
_TABLE: Final = f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT {_NAMES} FROM servers_server WITH NO DATA"  # noqa: S608
_GONE: Final = (
    "UPDATE servers_server SET gone_at = now() WHERE account_id = %s AND external_id = ANY(%s)"
    " RETURNING id, external_id, name"
)
# Those that no list held before: new, or gone and back.
_NEW: Final = (
    "SELECT external_id, name FROM incoming i WHERE NOT EXISTS (SELECT 1 FROM servers_server s"
    " WHERE s.account_id = %s AND s.external_id = i.external_id AND s.gone_at IS NULL) ORDER BY external_id"
)
_REPRINT: Final = (
    "UPDATE servers_server AS server SET fingerprint = told.fingerprint FROM unnest(%s::text[], %s::text[])"
    " AS told (external_id, fingerprint) WHERE account_id = %s AND server.external_id = told.external_id"
)
_STAMP: Final = "UPDATE servers_server SET missing_since = {} WHERE account_id = %s AND external_id = ANY(%s)"


def write(account: CloudAccount, difference: Difference) -> None:
    """Bring the account's rows up to the listing, inside the caller's transaction. Missing ones are only stamped.

    Those that are gone are told to the wings, whose agents and installs end with them.
    """
    with connection.cursor() as cursor:
        if difference.changed:
            if Server.objects.filter(account=account).exists():
                cursor.execute(_TABLE)
                _copy(cursor, f"COPY incoming ({_NAMES}) FROM STDIN", _rows(difference))
                if difference.added:
                    _tell(account, "server.discovered", _new(account, cursor))
                cursor.execute(_UPSERT, [account.pk, account.customer_id])
                cursor.execute("DROP TABLE incoming")
            else:
                whose = str(account.pk), str(account.customer_id)
                _copy(cursor, _COPY, ((*whose, *row) for row in _rows(difference)))
                named = ((facts.external_id, _text(facts.name, 255)) for facts in difference.changed)
                _tell(account, "server.discovered", named)
        if difference.reprinted:
            prints = [difference.prints[external_id] for external_id in difference.reprinted]
            cursor.execute(_REPRINT, [difference.reprinted, prints, account.pk])
        if difference.back:
            cursor.execute(_STAMP.format("NULL"), [account.pk, difference.back])
        if difference.vanished:
            cursor.execute(_STAMP.format("now()"), [account.pk, difference.vanished])
        if difference.gone:
            cursor.execute(_GONE, [account.pk, difference.gone])
            gone = cursor.fetchall()
            servers_gone.send(sender=Server, account=account, ids=[pk for pk, _, _ in gone])
            _tell(account, "server.lost", ((server, name) for _, server, name in gone))


def _new(account: CloudAccount, cursor: Any) -> Iterator[tuple[str, str]]:
    """Id and name of those in `incoming` that no list held before."""
    cursor.execute(_NEW, [account.pk])
    yield from cursor.fetchall()


def _tell(account: CloudAccount, type: str, servers: Iterable[tuple[str, str]]) -> None:
    """Fire one event for each of these (id, name); not where the provider cannot name their customer."""
    customer = account.customer
    if customer.external_id:
        whose = {"external_id": customer.external_id, "account_id": account.external_id}
        told = (whose | {"server_external_id": server, "name": name} for server, name in servers)
        events.fire_many(customer.provider_id, type, told)


def _copy(cursor: Any, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _rows(difference: Difference) -> Iterator[tuple[Any, ...]]:
    for pk, facts in zip(_ids(len(difference.changed)), difference.changed, strict=True):
        yield _row(pk, facts, difference.prints.get(facts.external_id, ""))


def _ids(count: int) -> Iterator[str]:
    """UUIDs of version 7 (RFC 9562), each greater than the one before, so that every index which has the id in it grows
    at one place. A default of the database would be asked for row by row, and COPY writes no pages at once then."""
    now, noise = time.time_ns() // 1_000_000, os.urandom(8 * count).hex()
    for number in range(count):
        chance = noise[16 * number + 1 : 16 * number + 16]
        yield f"{now + (number >> 12):012x}7{number & 0xFFF:03x}8{chance}"


def _row(pk: str, facts: ServerFacts, fingerprint: str) -> tuple[Any, ...]:
    addresses = _ENCODER.encode(facts.addresses)
    if b"\\u0000" in addresses:
        addresses = _ENCODER.encode([
            {key: _text(value) if isinstance(value, str) else value for key, value in one.items()}
            for one in msgspec.json.decode(addresses)
        ])  # fmt: skip
    ips = ",".join([address.ip for address in facts.addresses])
    return (
        pk,
        facts.external_id,
        _text(facts.name, 255),
        facts.state.value,
        _text(facts.raw_state, 80),
        addresses.decode(),
        f"{{{ips}}}" if _PLAIN(ips) else [_text(address.ip, 45) for address in facts.addresses],
        _text(facts.size, 255),
        _number(facts.cpus),
        _number(facts.memory_mb),
        _number(facts.disk_gb),
        _text(facts.image, 255),
        _text(facts.region, 255),
        _text(facts.key_name, 255),
        facts.created_at and facts.created_at.isoformat(),
        facts.digest,
        fingerprint,
    )


def _text(text: str, longest: int = 255) -> str:
    """What fits the column. PostgreSQL takes no NUL, and a cloud's odd name must not stop a whole sync."""
    return text[:longest].replace("\0", "") if text else ""


def _number(number: int | None) -> int | None:
    return number if number is not None and 0 <= number <= _LARGEST else None
