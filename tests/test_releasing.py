"""Versions of the agent go out in rings, stop when they do badly, and are what a pinned key signed."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import CloudAccount
from console.lib import signing
from console.lib.audit import SYSTEM
from console.lib.denials import Denied
from console.models import AuditEntry
from servers.agents import releasing
from servers.agents.models import Agent, Release
from servers.agents.program import build, manifest, protocol
from servers.agents.program.envelope import pinned
from tests.conftest import People
from tests.factories import AccountFactory, ServerFactory

NOW = 2_000_000_000.0


def agents(account: CloudAccount, count: int, version: str = "0.2.0") -> list[Agent]:
    servers = [ServerFactory(account=account) for _ in range(count)]
    return [
        Agent.objects.create(server=server, public_key=uuid4().hex, version=version, last_seen_at=timezone.now())
        for server in servers
    ]


def aged() -> None:
    Release.objects.update(widened_at=timezone.now() - timedelta(hours=2))


def state() -> tuple[str, int]:
    row = Release.objects.defer("program").get()
    return row.state, row.share


def out_to_all() -> Release:
    """A release whose ring has everybody in it."""
    release = published()
    Release.objects.update(share=100)
    return release


def published(version: str = "9.0.0") -> Release:
    return releasing.publish(SYSTEM, b"a newer program", version)


def test_this_consoles_program_is_published_once_by_command(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        call_command("release_agent")
    row = Release.objects.get()
    assert (row.version, bytes(row.program), row.share) == (protocol.VERSION, build.pack(), 1)
    assert capsys.readouterr().out.splitlines()[1].startswith(f"Version {protocol.VERSION} (")
    assert AuditEntry.objects.filter(verb="release.published").count() == 1


def test_versions_only_grow_and_keep_their_content(db: None) -> None:
    published("9.0.10")
    for version, code in (("9.0.9", "version_too_low"), ("9.0.10", "version_taken"), ("nine", "version_too_low")):
        with pytest.raises(Denied) as denied:
            releasing.publish(SYSTEM, b"something else", version)
        assert denied.value.code == code
    assert published("9.0.10").version == "9.0.10" and Release.objects.count() == 1


def test_what_is_offered_is_what_an_agent_takes(db: None) -> None:
    release = published()
    (offer,) = releasing.offers()
    found = manifest.opened(offer.told, pinned(signing.public_keys()), timezone.now().timestamp(), (3, 6))
    assert (found.version, found.sha256, found.size) == ("9.0.0", release.sha256, len(b"a newer program"))
    assert releasing.program(release.sha256) == b"a newer program" and releasing.program("0" * 64) is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": "0.0.1"}, "not newer"), ({"version": protocol.VERSION}, "not newer"),
        ({"expires_at": NOW - 1}, "too old"), ({"minimum_python": "3.99"}, "needs Python 3.99"),
        ({"version": "x"}, "know such"), ({"size": 0}, "know such"), ({"size": 10**9}, "know such"),
        ({"sha256": "../../etc/passwd"}, "know such"), ({"key_id": "k2"}, "know such"),
    ],
)  # fmt: skip
def test_an_agent_takes_no_release_that_does_not_fit_however_well_signed(changed: dict, words: str) -> None:
    kid = signing.current()
    told = {"version": "9.0.0", "sha256": "a" * 64, "size": 9, "minimum_python": "3.6", "expires_at": NOW + 9,
            "key_id": kid, **changed}  # fmt: skip
    text = json.dumps(told)
    _, signature = signing.sign(protocol.RELEASE_PURPOSE, text.encode())
    with pytest.raises(manifest.Unfit, match=words):
        manifest.opened(
            {"manifest": text, "signature": signature, "key_id": kid}, pinned(signing.public_keys()), NOW, (3, 11)
        )


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["manifest", "signature", "key_id"]), x)))  # fmt: skip
def test_rubbish_is_no_release(rubbish: object) -> None:
    with pytest.raises(manifest.Unfit):
        manifest.opened(rubbish, pinned(signing.public_keys()), NOW, (3, 11))


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
def test_versions_are_compared_by_their_numbers(one: list[int], other: list[int]) -> None:
    texts = [".".join(map(str, numbers)) for numbers in (one, other)]
    assert (manifest.order(texts[0]) < manifest.order(texts[1])) == (one < other)


def test_a_ring_of_one_percent_is_about_that_and_another_one_each_time(db: None) -> None:
    ids = [UUID(int=n * 7919) for n in range(20_000)]
    rings = [{a for a in ids if releasing.bucket(a, version) < 1} for version in ("1.0.0", "1.0.1")]
    assert all(120 <= len(ring) <= 280 for ring in rings) and len(rings[0] & rings[1]) < 20
    first = {a for a in ids if releasing.bucket(a, "1.0.0") < 1}
    assert first <= {a for a in ids if releasing.bucket(a, "1.0.0") < 10}


def test_rings_open_one_after_the_other_while_all_goes_well(people: People) -> None:
    published()
    assert releasing.widen() == 0 and state() == ("rolling", 1), "not before an hour has passed"
    seen = []
    for _ in range(4):
        aged()
        releasing.widen()
        seen.append(state())
    assert seen == [("rolling", 10), ("rolling", 100), ("out", 100), ("out", 100)]


def test_a_ring_whose_agents_do_not_have_it_yet_opens_no_other(people: People) -> None:
    release = published()
    some = agents(people.account, 10)
    Release.objects.update(share=100)
    aged()
    assert releasing.widen() == 0
    Agent.objects.filter(pk__in=[agent.pk for agent in some[:9]]).update(version=release.version)
    assert releasing.widen() == 1 and state() == ("out", 100)


def test_a_release_that_comes_back_is_paused_and_offered_no_more(people: People) -> None:
    release = out_to_all()
    one, two = agents(people.account, 2)
    releasing.tell(one.pk, "9.0.0", "done", "")
    assert state() == ("rolling", 100)
    Agent.objects.filter(pk=one.pk).update(last_seen_at=timezone.now() - timedelta(days=1))  # the other is all there is
    for _ in range(3):
        releasing.tell(two.pk, "9.0.0", "rolled_back", "It did not reach the console in five minutes.")
    assert state() == ("paused", 100) and releasing.offers() == []
    two.refresh_from_db()
    assert (two.release_id, two.release_state) == (release.pk, "rolled_back") and "five minutes" in two.release_reason
    release.refresh_from_db()
    assert release.reason == "1 of 2 agents that took it could not keep it."
    assert AuditEntry.objects.filter(verb="release.paused").count() == 1
    aged()
    assert releasing.widen() == 0


def test_no_customer_and_no_two_agents_stop_it_for_everybody(people: People) -> None:
    out_to_all()
    mine, theirs = agents(people.account, 6), agents(AccountFactory(), 3)
    for agent in mine:
        releasing.tell(agent.pk, "9.0.0", "rolled_back", "x")
        assert state() == ("rolling", 100), "one customer's agents say so"
    releasing.tell(theirs[0].pk, "9.0.0", "refused", "x")
    assert state() == ("paused", 100)


def test_whoever_was_not_offered_a_release_has_no_say_in_it(people: People) -> None:
    published()
    crowd = agents(people.account, 20)
    outside = [agent for agent in crowd if releasing.bucket(agent.pk, "9.0.0") >= 1]
    for agent in outside:
        releasing.tell(agent.pk, "9.0.0", "rolled_back", "x")
    assert state() == ("rolling", 1)
    assert not Agent.objects.filter(pk__in=[agent.pk for agent in outside], release__isnull=False).exists()


def test_one_bad_host_in_a_hundred_does_not_stop_it(people: People) -> None:
    out_to_all()
    crowd = agents(people.account, 40)
    for agent in crowd[:39]:
        releasing.tell(agent.pk, "9.0.0", "done", "")
    releasing.tell(crowd[39].pk, "9.0.0", "refused", "The disk is full.")
    assert state()[0] == "rolling"


def test_what_agents_make_up_is_passed_over(people: People) -> None:
    out_to_all()
    (agent,) = agents(people.account, 1)
    for version, said in (("8.8.8", "rolled_back"), ("9.0.0", "exploded"), ("", "")):
        releasing.tell(agent.pk, version, said, "x")
    agent.refresh_from_db()
    assert agent.release is None and state() == ("rolling", 100)


def test_staff_hold_it_back_let_it_go_on_and_withdraw_it(people: People) -> None:
    release = published()
    releasing.pause(release, SYSTEM, "A look first.")
    assert releasing.offers() == [] and releasing.program(release.sha256)
    releasing.resume(release, SYSTEM)
    assert [offer.version for offer in releasing.offers()] == ["9.0.0"]
    releasing.withdraw(release, SYSTEM, "Bad.")
    assert releasing.offers() == [] and releasing.program(release.sha256) is None
    with pytest.raises(Denied):
        releasing.resume(release, SYSTEM)
    newer = releasing.publish(SYSTEM, b"mended", "9.0.1")
    assert newer.state == "rolling"


def test_an_older_one_waits_while_a_newer_one_goes_out(people: People) -> None:
    older = published()
    releasing.publish(SYSTEM, b"mended", "9.0.1")
    older.refresh_from_db()
    assert (older.state, older.reason) == ("paused", "Version 9.0.1 came after it.")
    with pytest.raises(Denied, match="Pause that one first"):
        releasing.resume(older, SYSTEM)


def test_staff_do_it_in_the_admin(people: People) -> None:
    release = published()
    people.alice.is_staff = people.alice.is_superuser = True
    people.alice.save()
    browser = people.browser(people.alice)
    for deed, after in (("pause", "paused"), ("resume", "rolling"), ("withdraw", "withdrawn")):
        path = f"/admin/agents/release/{release.pk}/{deed}/"
        asked = browser.get(path)
        assert asked.status_code == 200 and state()[0] != after, "a link presses no button"
        assert browser.post(path).status_code == 302
        assert state()[0] == after
