"""The write of a sync: COPY what changed into a temporary table, then one INSERT … ON CONFLICT (NUMBERS.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
from django.db import connection

from accounts.clouds import ServerFacts
from accounts.models import CloudAccount
from providers import events
from servers.comparing import Difference
from servers.models import Server
from servers.signals import servers_gone

_COLUMNS: Final = (
    "external_id", "name", "state", "raw_state", "addresses", "ips", "size", "cpus", "memory_mb", "disk_gb",
    "image", "region", "key_name", "cloud_created_at", "digest",
)  # fmt: skip
_LARGEST: Final = 2**31 - 1
_NAMES: Final = ", ".join(_COLUMNS)
_SET: Final = ", ".join(f"{name} = EXCLUDED.{name}" for name in _COLUMNS if name != "external_id")
# Only our own column names are put into the statements; values go by COPY and parameters.
_UPSERT: Final = (
    f"INSERT INTO servers_server (id, account_id, customer_id, {_NAMES})"  # noqa: S608
    f" SELECT gen_random_uuid(), %s, %s, {_NAMES} FROM incoming"
    f" ON CONFLICT (account_id, external_id) DO UPDATE SET {_SET}, changed_at = now(),"
    " missing_since = NULL, gone_at = NULL"
)
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
_STAMP: Final = "UPDATE servers_server SET missing_since = {} WHERE account_id = %s AND external_id = ANY(%s)"


def write(account: CloudAccount, difference: Difference) -> None:
    """Bring the account's rows up to the listing, inside the caller's transaction. Missing ones are only stamped.

    Those that are gone are told to the wings, whose agents and installs end with them.
    """
    with connection.cursor() as cursor:
        if difference.changed:
            cursor.execute(_TABLE)
            with cursor.copy(f"COPY incoming ({_NAMES}) FROM STDIN") as copy:
                for facts, digest in difference.changed:
                    copy.write_row(_row(facts, digest))
            if difference.added:
                _tell_of_new(account, cursor)
            cursor.execute(_UPSERT, [account.pk, account.customer_id])
            cursor.execute("DROP TABLE incoming")
        if difference.back:
            cursor.execute(_STAMP.format("NULL"), [account.pk, difference.back])
        if difference.vanished:
            cursor.execute(_STAMP.format("now()"), [account.pk, difference.vanished])
        if difference.gone:
            cursor.execute(_GONE, [account.pk, difference.gone])
            gone = cursor.fetchall()
            servers_gone.send(sender=Server, account=account, ids=[pk for pk, _, _ in gone])
            if named := _owner(account):
                told = (named | {"server_external_id": server, "name": name} for _, server, name in gone)
                events.fire_many(account.customer.provider_id, "server.lost", told)


def _tell_of_new(account: CloudAccount, cursor: Any) -> None:
    def told() -> Iterator[dict[str, str]]:
        cursor.execute(_NEW, [account.pk])
        for server, name in cursor.fetchall():
            yield named | {"server_external_id": server, "name": name}

    if named := _owner(account):
        events.fire_many(account.customer.provider_id, "server.discovered", told())


def _owner(account: CloudAccount) -> dict[str, str]:
    """How the provider names the account; nothing when it cannot."""
    customer = account.customer.external_id
    return {"external_id": customer, "account_id": account.external_id} if customer else {}


def _row(facts: ServerFacts, digest: str) -> tuple[Any, ...]:
    addresses = orjson.dumps(facts.addresses)
    if b"\\u0000" in addresses:
        addresses = orjson.dumps([
            {key: _text(value) if isinstance(value, str) else value for key, value in one.items()}
            for one in orjson.loads(addresses)
        ])  # fmt: skip
    return (
        facts.external_id,
        _text(facts.name, 255),
        facts.state.value,
        _text(facts.raw_state, 80),
        addresses.decode(),
        [_text(address.ip, 45) for address in facts.addresses],
        _text(facts.size, 255),
        _number(facts.cpus),
        _number(facts.memory_mb),
        _number(facts.disk_gb),
        _text(facts.image, 255),
        _text(facts.region, 255),
        _text(facts.key_name, 255),
        facts.created_at,
        digest,
    )


def _text(text: str, longest: int = 255) -> str:
    """What fits the column. PostgreSQL takes no NUL, and a cloud's odd name must not stop a whole sync."""
    return text[:longest].replace("\0", "")


def _number(number: int | None) -> int | None:
    return number if number is not None and 0 <= number <= _LARGEST else None
