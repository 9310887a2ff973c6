"""The running agent, step by step: joining, sessions, check-ins, refusals, pauses, and a disk that says no."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servers.agents.program import base64url, checkin, ed25519, files, identity, process, protocol, status
from servers.agents.program.agent import Agent
from servers.agents.program.client import encoded
from servers.agents.program.clock import Clock
from servers.agents.program.log import Log
from servers.agents.program.paths import Paths
from servers.agents.program.refusal import Refusal
from tests.small_console import SmallConsole, refused
from tests.test_agent_parts import laid

DMI = "e3d5a1b2-c3d4-4e5f-8000-00000000000{}"


@pytest.fixture
def console() -> Iterator[SmallConsole]:
    with SmallConsole().serving() as console:
        yield console


@pytest.fixture
def paths(tmp_path: Path, console: SmallConsole) -> Paths:
    paths = Paths(str(tmp_path / "host"))
    for path in (paths.config, paths.identity, paths.pid, paths.log):
        files.folder(os.path.dirname(path))
    files.write_json(paths.config, {"url": console.url, "token": "join-token-one"})
    return paths


class Ticking:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.moment = 1000.0

    def clock(self, host: float = 1_700_000_000.0) -> Clock:
        return Clock(lambda: self.moment, lambda: host)

    def sleep(self, seconds: float) -> None:
        self.moment += seconds


@pytest.fixture
def ticking() -> Ticking:
    return Ticking()


MADE: list[Agent] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()


def agent_of(paths: Paths, chance: float = 0.5, clock: Clock | None = None) -> Agent:
    MADE.append(Agent(paths, Log(paths.log), lambda: chance, clock))
    return MADE[-1]


def reporting(paths: Paths, **more: Any) -> Agent:
    """An agent whose first check-in was taken."""
    return checked_in(agent_of(paths, **more))


def checked_in(agent: Agent) -> Agent:
    while agent._last is None:
        assert agent.step() is None
    return agent


def said(paths: Paths) -> dict:
    return files.read_json(paths.status) or {}


def test_an_agent_joins_opens_a_session_and_checks_in_over_one_connection(paths: Paths, console: SmallConsole) -> None:
    console.keys = [{"id": "k1", "key": "a" * 43}]
    agent = reporting(paths)
    agent.step()
    assert console.paths() == ["enrol", "sessions", "checkin", "checkin"]
    assert console.connections == 1
    kept = json.loads(Path(paths.identity).read_text())
    assert kept["agent_id"] == "agent-1" and kept["keys"] == console.keys
    assert base64url.encode(ed25519.public(base64url.decode(kept["key"]))) == console.agents["agent-1"].public_key
    assert "token" not in (files.read_json(paths.config) or {})


def test_a_restarted_agent_goes_on_with_its_key_in_another_session(paths: Paths, console: SmallConsole) -> None:
    reporting(paths)
    before = console.agents["agent-1"].epoch
    reporting(paths)
    assert console.paths() == ["enrol", "sessions", "checkin", "sessions", "checkin"]
    assert console.agents["agent-1"].epoch > before


def test_an_epoch_that_was_used_is_followed_by_a_greater_one(paths: Paths, console: SmallConsole) -> None:
    reporting(paths)
    console.agents["agent-1"].epoch = 2**45  # of a time when the clock was far ahead, and the disk took no note of it
    reporting(paths)
    assert console.agents["agent-1"].epoch == 2**45 + 1
    assert (files.read_json(paths.epoch) or {})["epoch"] == 2**45 + 1


def test_the_answer_is_waited_for_and_work_ends_the_wait(paths: Paths, console: SmallConsole) -> None:
    console.interval = 60
    agent = reporting(paths)
    woken = threading.Timer(0.3, lambda: console.tell(work=[]))
    began = agent.clock.since()
    woken.start()
    agent.step()
    woken.join()
    assert protocol.WAIT_MIN <= console.checkins()[-1]["wait"] <= protocol.WAIT_MAX
    assert 0.2 < agent.clock.since() - began < protocol.WAIT_MIN / 2


def test_a_console_that_answers_early_is_not_asked_again_at_once(paths: Paths, console: SmallConsole) -> None:
    console.interval = 60
    agent = reporting(paths)
    console.tell(note="nothing that counts")
    agent.step()
    assert 5 < agent.pause <= protocol.WAIT_MAX


def test_samples_are_taken_while_the_console_is_away_and_come_later(
    paths: Paths, console: SmallConsole, ticking: Ticking
) -> None:
    console.interval = 60
    agent = reporting(paths, clock=ticking.clock())
    away = (503, {"error": {"code": "unavailable", "message": "Back soon."}})
    console.rule = lambda path, body: away
    for _ in range(60):
        agent.step()
        agent.rest(ticking.sleep)
    assert ticking.moment > 30 * 60
    console.rule = lambda path, body: None
    taken = len(console.checkins())
    while len(console.checkins()) == taken:
        agent.step()
    samples = console.checkins()[-1]["samples"]
    assert len(samples) == protocol.MAX_SAMPLES
    times = [s["at"] for s in samples]
    assert times == sorted(times) and all(50 <= b - a <= 70 for a, b in zip(times, times[1:], strict=False))


def test_a_lost_answer_repeats_the_samples_and_a_taken_one_does_not(paths: Paths, console: SmallConsole) -> None:
    agent = reporting(paths)
    console.interval = 3600
    agent.interval = 3600.0
    agent._sample_at = 0.0
    console.rule = lambda path, body: (200, {"cut": "short"}) if path != protocol.CHECKIN_PATH else refused(502, "")
    agent.step()
    sent = console.heard[-1][1]["samples"]
    console.rule = lambda path, body: None
    console.tell(note="")
    agent.step()
    assert console.checkins()[-1]["samples"] == sent and len(sent) == 1
    console.tell(note="")
    agent.step()
    assert console.checkins()[-1]["samples"] == []


def test_many_samples_of_a_large_host_go_in_as_many_check_ins_as_they_need(ticking: Ticking) -> None:
    class Large:
        def read(self) -> dict:
            return {"disks": [{"mount": "/" + "x" * 127, "used_bytes": 1, "total_bytes": 2}] * protocol.MAX_DISKS}

    samples = checkin.Samples(ticking.clock(), Large())  # type: ignore[arg-type]
    for _ in range(protocol.MAX_SAMPLES):
        samples.take()
    facts = checkin.Facts("/", lambda root: {"disks": [], "nics": []})
    facts.look()
    told = 0
    while len(samples):
        body = checkin.body(samples, facts, {}, 30.0)
        assert len(encoded(body)) <= protocol.MAX_BODY
        samples.known(len(body["samples"]))
        told += len(body["samples"])
        assert ("wait" in body) is (len(samples) == 0)
    assert told == protocol.MAX_SAMPLES


def test_facts_that_would_not_fit_are_cut() -> None:
    found = {"disks": [{"mount": "x" * 2000}] * 32, "nics": [{"addresses": ["y" * 1000]}] * 16, "kernel": "k"}
    cut = checkin.fitting(dict(found))
    assert len(encoded(cut)) <= checkin.FACTS and cut["disks"] and cut["nics"] and cut["kernel"] == "k"


def test_facts_are_sent_first_in_a_session_and_again_only_when_they_changed(
    paths: Paths, console: SmallConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = reporting(paths)
    agent.step()
    agent._facts._gather = lambda root: {"hostname": "renamed", "disks": [], "nics": []}
    agent._sample_at = 0.0
    agent.step()
    agent.step()
    told = [body.get("facts", {}).get("hostname") for body in console.checkins()]
    assert told == [os.uname().nodename, None, "renamed", None]


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("http", "code"),
    [(401, protocol.UNKNOWN_SESSION), (409, protocol.REPLAYED), (401, protocol.WRONG_TIME)],
)
def test_a_session_that_is_over_is_followed_by_another_at_once(
    http: int, code: str, paths: Paths, console: SmallConsole
) -> None:
    agent = reporting(paths)
    once = [refused(http, code)]
    console.rule = lambda path, body: once.pop() if once and path == protocol.CHECKIN_PATH else None
    agent.step()
    assert agent.pause == 0.0
    agent.step()
    agent.step()
    assert console.paths()[3:] == ["checkin", "sessions", "checkin"]
    assert "facts" in console.checkins()[-1]


def test_a_console_that_knows_no_session_at_all_is_asked_ever_more_seldom(paths: Paths, console: SmallConsole) -> None:
    agent = reporting(paths, chance=1.0)
    lost = refused(401, protocol.UNKNOWN_SESSION)
    console.rule = lambda path, body: lost if path == protocol.CHECKIN_PATH else None
    pauses = []
    for _ in range(10):
        agent.step()
        pauses.append(agent.pause)
    assert sorted(pauses)[-3:] == [4.0, 8.0, 16.0] and pauses.count(0.0) <= 6


def test_a_lost_session_whose_console_restarted_is_mended_within_one_step(paths: Paths, console: SmallConsole) -> None:
    agent = reporting(paths)
    agent._console._kept.sock.shutdown(2)  # type: ignore[union-attr]  # the far side closed what we had kept
    agent.step()
    assert len(console.checkins()) == 2
    assert console.agents["agent-1"].sequence == 3  # the lost request had its own number


def test_a_skewed_host_clock_harms_nothing(paths: Paths, console: SmallConsole, ticking: Ticking) -> None:
    console.ahead = 10 * 365 * 86400.0
    reporting(paths)
    sample = console.checkins()[0]["samples"][0]
    assert abs(sample["at"] - console.time()) < 60
    assert said(paths)["skew"] == pytest.approx(-console.ahead, abs=5)


def test_a_suspended_agent_asks_again_slowly_until_a_person_settled_it(paths: Paths, console: SmallConsole) -> None:
    agent = reporting(paths)
    console.rule = lambda path, body: refused(403, protocol.PROVE_AGAIN)
    assert agent.step() is None
    assert agent.pause > 100 and said(paths)["state"] == status.SUSPENDED and said(paths)["code"] == "prove_again"
    console.rule = lambda path, body: None
    agent.step()
    agent.step()
    assert said(paths)["state"] == status.REPORTING


def test_a_copy_of_the_machine_drops_the_identity_and_never_shows_it(paths: Paths, console: SmallConsole) -> None:
    laid(Path(paths.prefix), dmi=DMI.format(1))
    reporting(paths)
    assert console.agents["agent-1"].instance_id == DMI.format(1)
    laid(Path(paths.prefix), dmi=DMI.format(2))
    heard = len(console.heard)
    assert agent_of(paths).step() == process.UNWELCOME
    assert len(console.heard) == heard and not os.path.exists(paths.identity)
    assert "copy of another" in said(paths)["trouble"]


def test_an_instance_id_that_shows_up_later_is_bound_and_the_first_one_stays(
    paths: Paths, console: SmallConsole
) -> None:
    reporting(paths)
    laid(Path(paths.prefix), dmi=DMI.format(1))
    reporting(paths)
    laid(Path(paths.prefix), cloud="i-1")
    reporting(paths)
    assert console.agents["agent-1"].instance_id == DMI.format(1)
    kept = identity.kept(paths, console.url)
    assert kept is not None and kept.instance == {"cloud": "i-1", "dmi": DMI.format(1)}


def test_an_agent_that_is_not_known_any_more_stops(paths: Paths, console: SmallConsole) -> None:
    agent = reporting(paths)
    console.agents.clear()
    assert [agent.step(), agent.step()] == [None, process.UNWELCOME]


def test_an_unsigned_word_of_something_in_between_stops_nothing(paths: Paths, console: SmallConsole) -> None:
    agent = reporting(paths)
    for reply in ((401, {"error": {"code": "sign_in"}}), (403, {}), (410, {"gone": 1}), (404, {"error": "x"})):
        console.rule = lambda path, body, reply=reply: reply  # type: ignore[misc]
        assert agent.step() is None and agent.pause > 0


def test_a_refused_token_leaves_an_agent_that_was_enrolled_before(paths: Paths, console: SmallConsole) -> None:
    reporting(paths)
    files.write_json(paths.config, {"url": console.url, "token": "not-known"})
    reporting(paths)
    assert console.paths()[-3:] == ["enrol", "sessions", "checkin"] and list(console.agents) == ["agent-1"]


def test_an_identity_of_another_console_is_not_shown_to_this_one(paths: Paths, console: SmallConsole) -> None:
    identity.made("https://other", "/").save(paths)
    files.write_json(paths.config, {"url": console.url})
    assert agent_of(paths).step() == process.UNWELCOME
    assert console.heard == []


def test_damaged_settings_are_named(paths: Paths) -> None:
    Path(paths.config).write_text("{")
    with pytest.raises(Refusal, match="absent or damaged"):
        agent_of(paths)


# --- pauses ----------------------------------------------------------------------------------------------------------


def test_pauses_grow_with_full_jitter_and_heed_the_console(paths: Paths, console: SmallConsole) -> None:
    console.rule = lambda path, body: (503, {"error": {"code": "x", "message": "m"}})
    agent = agent_of(paths, chance=1.0)
    pauses = []
    for _ in range(10):
        agent.step()
        pauses.append(agent.pause)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
    console.rule = lambda path, body: (429, {"error": {}, "headers": {"Retry-After": "900"}})
    agent.step()
    assert agent.pause == 900.0


@pytest.mark.parametrize(("wanted", "taken"), [(5, 5.0), (0, 1.0), (10**9, 3600.0), ("soon", 60.0), (None, 60.0)])
def test_the_console_sets_the_interval_within_bounds(
    paths: Paths, console: SmallConsole, wanted: Any, taken: float
) -> None:
    console.interval = wanted
    agent = reporting(paths)
    assert agent.interval == taken


# --- a disk that says no ---------------------------------------------------------------------------------------------


def test_an_agent_that_cannot_save_its_identity_reports_all_the_same_and_says_so(
    paths: Paths, console: SmallConsole
) -> None:
    agent = agent_of(paths)
    os.mkdir(paths.identity)  # nothing can be renamed onto a directory
    checked_in(agent)
    agent.step()
    assert len(console.checkins()) == 2
    assert said(paths)["in_memory"] is True and "in memory only" in said(paths)["trouble"]
    kept = files.read_json(paths.config) or {}
    assert "token" in kept and "key" in kept  # so that a restart enrols again, to the same end
    os.rmdir(paths.identity)
    agent.step()
    assert (files.read_json(paths.identity) or {})["agent_id"] == "agent-1"
    assert "token" not in (files.read_json(paths.config) or {})
    agent.step()
    assert said(paths)["in_memory"] is False and said(paths)["trouble"] is None


def test_an_agent_killed_before_it_saved_its_identity_becomes_it_again(paths: Paths, console: SmallConsole) -> None:
    agent = agent_of(paths)
    os.mkdir(paths.identity)
    checked_in(agent)
    os.rmdir(paths.identity)
    paths.log = "/dev/full"  # which stops nothing
    agent = agent_of(paths)
    for _ in range(3):
        agent.step()
    assert list(console.agents) == ["agent-1"] and len(console.checkins()) == 2


def test_a_disk_that_takes_no_note_of_the_epoch_stops_nothing(paths: Paths, console: SmallConsole) -> None:
    os.mkdir(paths.epoch)
    reporting(paths)
    reporting(paths)
    assert len(console.checkins()) == 2
