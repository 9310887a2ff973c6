"""Host keys that a person vouches for, and those on record: of servers, and of the jump host before them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit, jobs, notify
from console.lib.denials import Denied
from console.lib.jobs.rows import JobState
from console.models import User
from servers.installs.hostkeys import HostKey as Presented
from servers.installs.install import GONE, TASK, WAITS
from servers.installs.models import HostKey, Install, InstallBatch, JumpHostKey
from servers.models import Server


def confirm(batch: InstallBatch, *, by: User, fingerprints: Collection[str] | None = None) -> int:
    """A person vouches for the host keys that rows of this batch wait on; those installs go on. How many they are.

    Give the `fingerprints` that the page showed: a key that came after that was not seen by anybody, and stays.
    Denied when none waits, or the credentials are gone.
    """
    with transaction.atomic():
        now = InstallBatch.objects.select_for_update(of=("self",), no_key=True).get(pk=batch.pk)
        waiting = batch.installs.select_for_update(of=("self",)).filter(WAITS)
        chosen = waiting if fingerprints is None else waiting.filter(fingerprint__in=list(fingerprints))
        shown = list(chosen.exclude(host_key=""))
        jump = bool(now.jump_key) and (fingerprints is None or now.jump_fingerprint in fingerprints)
        if not shown and not jump:
            raise Denied("No host key waits to be confirmed here.", "nothing_waits")
        if not now.sealed:
            raise Denied(f"{GONE} Start it again.", "credentials_gone")
        for row in shown:
            presented = Presented(row.host_key_type, row.fingerprint, row.host_key)
            remember(row.server_id, presented, HostKey.Source.PERSON, by)
        behind = list(waiting.filter(host_key="")) if jump else []
        said = [row.fingerprint for row in shown[:50]]
        if jump:
            said.insert(0, now.jump_fingerprint)
            remember_jump(now, Presented(now.jump_key_type, now.jump_fingerprint, now.jump_key), by)
            InstallBatch.objects.filter(pk=now.pk).update(jump_key_type="", jump_key="", jump_fingerprint="")
        rows = [*shown, *behind]
        Install.objects.filter(pk__in=[row.pk for row in rows]).update(
            state=JobState.QUEUED, due_at=Now(), rung_at=None, attempts=0, outcome="", cause="", fix="",
            host_key_type="", host_key="", fingerprint="",
        )  # fmt: skip
        audit.note(audit.Actor.of(by), "install.host_keys_confirmed", target=batch, customer_id=batch.customer_id,
                   detail={"servers": len(rows), "fingerprints": said})  # fmt: skip
        for what in (f"batch-{batch.pk}", *(f"install-{row.pk}" for row in rows)):
            notify.changed(batch.customer_id, what)
        jobs.ring(TASK, batch.pk)
    return len(rows)


def remember(server_id: Any, key: Presented, source: HostKey.Source, by: User | None = None) -> None:
    """Put a host key on record for a server. `by` is the person who vouched for it; the console has no name."""
    remember_all([as_row(server_id, key, source, by)])


def as_row(server_id: Any, key: Presented, source: HostKey.Source, by: User | None = None) -> HostKey:
    return HostKey(
        server_id=server_id, key_type=key.type, key=key.base64, fingerprint=key.fingerprint, source=source,
        confirmed_by=by, confirmed_at=timezone.now(),
    )  # fmt: skip


def remember_all(rows: list[HostKey]) -> None:
    """Put these on record, one of a type for a server at most."""
    HostKey.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["server", "key_type"],
        update_fields=["key", "fingerprint", "source", "confirmed_by", "confirmed_at"],
    )  # fmt: skip


def forget(server: Server, *, by: User) -> int:
    """Forget the host keys on record for a server that was rebuilt: the next install shows the new one. How many."""
    with transaction.atomic():
        known = HostKey.objects.filter(server=server)
        detail = {"fingerprints": list(known.values_list("fingerprint", flat=True))}
        count, _ = known.delete()
        if count:
            audit.note(audit.Actor.of(by), "install.host_keys_forgotten", target=server,
                       customer_id=server.customer_id, detail=detail)  # fmt: skip
    return count


def remember_jump(batch: InstallBatch, key: Presented, by: User | None = None) -> None:
    """Put the host key of a batch's jump host on record."""
    JumpHostKey.objects.update_or_create(
        customer_id=batch.customer_id, host=batch.jump_host, port=batch.jump_port, key_type=key.type,
        defaults={"key": key.base64, "fingerprint": key.fingerprint, "confirmed_by": by or batch.by,
                  "confirmed_at": timezone.now()},
    )  # fmt: skip


def known_of_jump(batch: InstallBatch) -> dict[str, str]:
    """The host keys on record for a batch's jump host: fingerprint → type."""
    rows = JumpHostKey.objects.filter(customer=batch.customer_id, host=batch.jump_host, port=batch.jump_port)
    return dict(rows.values_list("fingerprint", "key_type"))


def forget_jump(batch: InstallBatch, *, by: User) -> int:
    """Forget the host keys on record for a batch's jump host, after it was rebuilt. How many."""
    with transaction.atomic():
        detail = {"jump_host": batch.jump_host, "fingerprints": list(known_of_jump(batch))}
        rows = JumpHostKey.objects.filter(customer=batch.customer_id, host=batch.jump_host, port=batch.jump_port)
        count, _ = rows.delete()
        if count:
            audit.note(audit.Actor.of(by), "install.host_keys_forgotten", target=batch,
                       customer_id=batch.customer_id, detail=detail)  # fmt: skip
    return count
