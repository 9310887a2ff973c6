"""Versions of the agent go out in rings: one in a hundred, one in ten, everybody; and no further once one comes back.

An agent that is offered a release takes it, and goes back by itself unless it reaches us within five minutes. What it
tells decides: a ring that did well for an hour opens the next one, and failures pause the release until staff look.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit, signing
from console.lib.denials import Denied
from servers.agents.models import Agent, Release
from servers.agents.program import build, protocol
from servers.agents.program.manifest import order

log = structlog.get_logger(__name__)

RINGS: Final = (1, 10, 100)  # percent
SOAK: Final = timedelta(hours=1)  # that a ring has before the next one opens
ENOUGH: Final = 0.9  # of a ring's agents that report have to have it before the next one opens
WORST: Final = 0.05  # more than this share of failures pauses it,
FEWEST: Final = 3  # from so many agents
APART: Final = 2  # of so many customers: what an agent tells of itself may be made up; or from all that there are
LIFE: Final = timedelta(days=365)  # of a manifest's signature
DONE, ROLLED_BACK, REFUSED = "done", "rolled_back", "refused"
FAILED: Final = (ROLLED_BACK, REFUSED)
SMALLEST: Final = "3.6"


@dataclass(frozen=True)
class Offer:
    """One release as agents are told of it: the `release` of a check-in's answer."""

    pk: UUID
    version: str
    share: int
    told: dict[str, str]

    def is_for(self, agent: UUID, version: str) -> bool:
        """Whether an agent of this id and version is in the ring. Each release draws its rings anew."""
        return order(version) < order(self.version) and bucket(agent, self.version) < self.share


def bucket(agent: UUID, version: str) -> int:
    """0 to 99: in which hundredth of all agents this one is, for this release."""
    return int.from_bytes(hashlib.sha256(agent.bytes + version.encode()).digest()[:4], "big") % 100


def publish(actor: audit.Actor, program: bytes | None = None, version: str = protocol.VERSION) -> Release:
    """Sign this program (the one of this console, unless another is given) and offer it to the first ring.

    Denied when the version is published with other bytes, or is not above the newest one: versions only grow.
    """
    data = build.pack() if program is None else program
    sha256 = hashlib.sha256(data).hexdigest()
    now = timezone.now()
    with transaction.atomic():
        known = Release.objects.select_for_update().filter(version=version).first()
        if known is not None:
            if known.sha256 != sha256:
                raise Denied(f"Version {version} is published with other content. Raise the version.", "version_taken")
            return known
        newest = max((order(v) for v in Release.objects.values_list("version", flat=True)), default=())
        if order(version) <= newest:
            raise Denied("A newer version is published. Versions only grow.", "version_too_low")
        manifest = json.dumps(
            {
                "version": version,
                "sha256": sha256,
                "size": len(data),
                "minimum_python": SMALLEST,
                "created_at": int(now.timestamp()),
                "expires_at": int((now + LIFE).timestamp()),
                "key_id": signing.current(),
            },
            sort_keys=True,
        )
        key_id, signature = signing.sign(protocol.RELEASE_PURPOSE, manifest.encode())
        # One at a time goes out: agents of an older one that is not with everybody yet go straight to this one.
        Release.objects.filter(state=Release.State.ROLLING).update(
            state=Release.State.PAUSED, reason=f"Version {version} came after it."
        )
        made = Release.objects.create(
            version=version, sha256=sha256, program=data, manifest=manifest, signature=signature, key_id=key_id,
            share=RINGS[0],
        )  # fmt: skip
        audit.note(actor, "release.published", target=made, detail={"version": version, "sha256": sha256})
    return made


def offers() -> list[Offer]:
    """What goes out at the moment, the newest version first. Web processes keep it for some seconds."""
    rows = Release.objects.filter(state__in=(Release.State.ROLLING, Release.State.OUT)).defer("program")
    found = [
        Offer(
            row.pk,
            row.version,
            100 if row.state == Release.State.OUT else row.share,
            {"manifest": row.manifest, "signature": row.signature, "key_id": row.key_id},
        )
        for row in rows
        if json.loads(row.manifest)["expires_at"] > datetime.now(UTC).timestamp()
    ]
    return sorted(found, key=lambda offer: order(offer.version), reverse=True)


def program(sha256: str) -> bytes | None:
    """The bytes of this console's own program, or of a published release that was not withdrawn."""
    own = build.artifact()
    if sha256 == own.sha256:
        return own.path.read_bytes()
    row = Release.objects.filter(sha256=sha256).exclude(state=Release.State.WITHDRAWN).only("program").first()
    return bytes(row.program) if row else None


def tell(agent: UUID, version: str, state: str, reason: str) -> None:
    """Write down what became of a release on one host, and pause it when it does badly. Passed over when the agent
    is outside of the ring: it was not offered this one."""
    release = Release.objects.filter(version=version).only("pk", "version", "state", "share").first()
    if release is None or state not in (DONE, *FAILED) or not _within(agent, release):
        return
    told = {"release": release, "release_state": state, "release_reason": reason[:300], "release_at": Now()}
    changed = Agent.objects.filter(pk=agent).exclude(release=release, release_state=state).update(**told)
    if changed and state in FAILED:
        _judge(release)


def counted(releases: QuerySet[Release]) -> QuerySet[Release]:
    """With `done` and `failed`: agents that have it, and that could not keep it."""
    return releases.annotate(
        done=Count("agents", filter=Q(agents__release_state=DONE)),
        failed=Count("agents", filter=Q(agents__release_state__in=FAILED)),
    )


def _within(agent: UUID, release: Release) -> bool:
    return release.state == Release.State.OUT or bucket(agent, release.version) < release.share


def _judge(release: Release) -> None:
    row: Any = counted(Release.objects.filter(pk=release.pk)).defer("program").get()
    tried = row.done + row.failed
    if row.failed > WORST * tried and _is_believed(release):
        words = f"{row.failed} of {tried} agents that took it could not keep it."
        rows = Release.objects.filter(pk=release.pk, state__in=(Release.State.ROLLING, Release.State.OUT))
        if rows.update(state=Release.State.PAUSED, reason=words):
            log.warning("release_paused", version=release.version, failed=row.failed, tried=tried)
            audit.note(audit.SYSTEM, "release.paused", target=release, detail={"reason": words})


def _is_believed(release: Release) -> bool:
    """Whether the failures come from enough agents of enough customers, or from as many as the ring has."""
    failed = Agent.objects.live().filter(release=release, release_state__in=FAILED)
    customers = set(failed.values_list("server__customer", flat=True))
    missing, apart = FEWEST - failed.count(), APART - len(customers)
    if missing <= 0 and apart <= 0:
        return True
    others = Agent.objects.reporting().exclude(pk__in=failed.values("pk")).values_list("pk", "server__customer")
    for pk, customer in others.iterator():
        if _within(pk, release) and (missing > 0 or customer not in customers):
            return False  # it may still tell otherwise
    return True


def widen() -> int:
    """Beat's question: which releases did well long enough for the next ring? How many went on."""
    count = 0
    ready = Release.objects.filter(state=Release.State.ROLLING, widened_at__lt=timezone.now() - SOAK)
    for release in ready.defer("program"):
        if not _did_well(release):
            continue
        wider = next((share for share in RINGS if share > release.share), None)
        rows = Release.objects.filter(pk=release.pk, state=Release.State.ROLLING, share=release.share)
        if wider is None:
            count += rows.update(state=Release.State.OUT, widened_at=Now())
        else:
            count += rows.update(share=wider, widened_at=Now())
        audit.note(audit.SYSTEM, "release.widened", target=release, detail={"share": wider or 100})
    return count


def _did_well(release: Release) -> bool:
    """Most of the ring's agents that report have it. A ring with nobody in it has shown nothing against it."""
    reporting = Agent.objects.reporting().values_list("pk", "version")
    ring = [version for pk, version in reporting.iterator() if bucket(pk, release.version) < release.share]
    return sum(order(version) >= order(release.version) for version in ring) >= ENOUGH * len(ring)


def pause(release: Release, actor: audit.Actor, reason: str) -> None:
    """Offer it to nobody more. Those that have it keep it."""
    _set(release, (Release.State.ROLLING, Release.State.OUT), Release.State.PAUSED, actor, reason, "release.paused")


def resume(release: Release, actor: audit.Actor) -> None:
    """Offer it to its ring again. Denied when it is not paused, or a newer one goes out."""
    newer = Release.objects.filter(state=Release.State.ROLLING).exclude(pk=release.pk)
    if newer.exists():
        raise Denied("Another version is going out. Pause that one first.", "another_rolls")
    _set(release, (Release.State.PAUSED,), Release.State.ROLLING, actor, "", "release.resumed")


def withdraw(release: Release, actor: audit.Actor, reason: str) -> None:
    """Nobody may have it any more, not even who was told of it. For good."""
    states = (Release.State.ROLLING, Release.State.OUT, Release.State.PAUSED)
    _set(release, states, Release.State.WITHDRAWN, actor, reason, "release.withdrawn")


def _set(
    release: Release,
    before: tuple[Release.State, ...],
    state: Release.State,
    actor: audit.Actor,
    reason: str,
    verb: str,
) -> None:
    with transaction.atomic():
        rows = Release.objects.filter(pk=release.pk, state__in=before)
        if not rows.update(state=state, reason=reason[:300], widened_at=Now()):
            raise Denied("This release is not in a state for that. Reload the page.", "wrong_state")
        audit.note(actor, verb, target=release, detail={"version": release.version, "reason": reason[:300]})
