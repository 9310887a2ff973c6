"""The agent's desk: nothing unsigned runs, nothing runs twice, and what a script wrote arrives whatever is killed."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from console.demo.processes import lives
from console.lib.signing import encode
from servers.agents.program import files, protocol
from servers.agents.program.desk import Desk
from servers.agents.program.envelope import Unsigned, opened, pinned
from servers.agents.program.journal import Journal
from tests.processes import wait

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
KEYS = {"k1": PUBLIC}
ME = str(uuid4())
MY_NAME = getpass.getuser()


def signed(script: str, key: Ed25519PrivateKey = KEY, **changed: Any) -> dict[str, Any]:
    text = json.dumps({
        "work": str(uuid4()), "agent": ME, "tenant": "t", "kind": "script", "interpreter": "/bin/sh", "arguments": [],
        "script_sha256": hashlib.sha256(script.encode()).hexdigest(), "run_as": MY_NAME, "not_before": time.time() - 9,
        "expires_at": time.time() + 3600, "timeout": 30, "sequence": next(SEQUENCE), "key_id": "k1", **changed,
    })  # fmt: skip
    signature = encode(key.sign(protocol.WORK_PURPOSE + text.encode()))
    return {"envelope": text, "signature": signature, "key_id": "k1", "script": script}


SEQUENCE = iter(range(1, 10**9))


def name(item: dict[str, Any]) -> str:
    return str(json.loads(item["envelope"])["work"])


class Console:
    """What the far side knows, by the same calls as the running agent makes of its desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.states: dict[str, list[dict[str, Any]]] = {}
        self.streams: dict[tuple[str, int], dict[int, bytes]] = {}

    def exchange(self) -> None:
        for piece in self.desk.pieces():
            self.streams.setdefault((piece["work"], piece["stream"]), {})[piece["offset"]] = piece["data"]
            self.desk.sent(piece)
        results = self.desk.results()
        for result in results:
            self.states.setdefault(result["id"], []).append(result)
        self.desk.known(results)

    def ended(self, work: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            self.exchange()
            said = self.states.get(work, [])
            return said[-1] if said and said[-1]["state"] != protocol.STARTED else None

        found: dict[str, Any] = wait(look)
        return found

    def text(self, work: str, stream: int = 1) -> bytes:
        return b"".join(data for _, data in sorted(self.streams.get((work, stream), {}).items()))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    found = Desk(str(tmp_path / "work"), ME, KEYS)
    yield found
    found.close()


@pytest.fixture
def console(desk: Desk) -> Console:
    return Console(desk)


def test_a_script_runs_with_its_arguments_and_is_told_with_all_that_it_wrote(desk: Desk, console: Console) -> None:
    item = signed('printf "%s|" "$@"; echo oops >&2; exit 3', arguments=["a b", "$HOME"])
    desk.take([item])
    said = console.ended(name(item))
    assert (said["state"], said["exit_code"], said["reason"]) == ("failed", 3, "It ended with 3.")
    assert console.text(name(item)) == b"a b|$HOME|" and console.text(name(item), 2) == b"oops\n"
    assert [told["state"] for told in console.states[name(item)]][-2:] in (["started", "failed"], ["failed"])
    wait(lambda: not desk.busy)  # its thread ends a moment after the end is journalled
    assert desk.results() == [] and desk.pieces() == []


def test_a_piece_that_comes_again_runs_once(desk: Desk, console: Console, tmp_path: Path) -> None:
    item = signed(f"echo ran >> {tmp_path}/count")
    for _ in range(5):
        desk.take([item, item])
    console.ended(name(item))
    desk.take([item])
    again = Desk(desk.journal.folder, ME, KEYS)
    again.take([item])
    assert (tmp_path / "count").read_text() == "ran\n" and not again.busy


FORGED: dict[str, Callable[[], dict[str, Any]]] = {
    "another key": lambda: signed("true", Ed25519PrivateKey.generate()),
    "another agent": lambda: signed("true", agent=str(uuid4())),
    "another script": lambda: {**signed("true"), "script": "false"},
    "an unknown key": lambda: {**signed("true"), "key_id": "k2"},
    "a key named otherwise inside": lambda: signed("true", key_id="k2"),
    "an altered envelope": lambda: (lambda s: {**s, "envelope": s["envelope"].replace("30", "31")})(signed("true")),
    "a signature for something else": lambda: (
        lambda s: {**s, "signature": encode(KEY.sign(protocol.RELEASE_PURPOSE + s["envelope"].encode()))}
    )(signed("true")),
    "no signature": lambda: {k: v for k, v in signed("true").items() if k != "signature"},
    "a kind that it does not know": lambda: signed("true", kind="reboot"),
    "an interpreter without a path": lambda: signed("true", interpreter="sh"),
    "a null byte": lambda: signed("true", arguments=["a\0b"]),
}


@pytest.mark.parametrize("make", FORGED.values(), ids=FORGED)
def test_what_is_not_signed_for_this_agent_never_runs_and_is_told_as_refused(
    desk: Desk, console: Console, make: Callable[[], dict[str, Any]]
) -> None:
    item = make()
    desk.take([item])
    said = console.ended(name(item))
    assert said["state"] == "refused" and said["reason"] and said["exit_code"] is None
    assert not Path(desk.journal.folder).exists()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["envelope", "signature", "key_id", "script", "work"]), x)))  # fmt: skip
def test_rubbish_is_unsigned(rubbish: Any) -> None:
    with pytest.raises(Unsigned):
        opened(rubbish if isinstance(rubbish, dict) else {}, KEYS, ME)
    assert pinned(rubbish) == {}


def test_time_that_is_over_or_has_not_come_by_the_consoles_clock(tmp_path: Path) -> None:
    now = 2_000_000_000.0
    desk = Desk(str(tmp_path / "work"), ME, KEYS, clock=lambda: now)
    console = Console(desk)
    late, early = signed("true", expires_at=now - 1), signed("true", not_before=now + 600, expires_at=now + 9000)
    good = signed("true", not_before=now - 1, expires_at=now + 1)
    desk.take([late, early, good])
    assert console.ended(name(late))["state"] == "expired"
    assert console.ended(name(early))["state"] == "refused"
    assert console.ended(name(good))["state"] == "done"


def test_what_comes_below_what_was_begun_is_taken_for_a_replay(desk: Desk, console: Console) -> None:
    old, new = signed("true"), signed("true")
    desk.take([new])
    assert console.ended(name(new))["state"] == "done"
    desk.take([old])
    assert console.ended(name(old))["reason"] == "Later work was begun here before this came."


def test_work_begins_in_the_order_of_its_sequence_however_it_comes(desk: Desk, console: Console) -> None:
    items = [signed("true") for _ in range(12)]
    desk.take(items[::-1])
    assert {console.ended(name(item))["state"] for item in items} == {"done"}


def test_a_script_that_runs_too_long_is_ended_with_all_that_it_started(desk: Desk, console: Console) -> None:
    item = signed("sleep 300 & echo $!; sleep 300", timeout=3)
    desk.take([item])
    said = console.ended(name(item))
    assert (said["state"], said["reason"]) == ("failed", "It ran longer than 3 s and was ended.")
    child = int(console.text(name(item)))
    wait(lambda: not lives(child))


def test_of_output_without_end_the_beginning_and_the_end_are_kept(desk: Desk, console: Console) -> None:
    item = signed("head -c 3000000 /dev/zero | tr '\\0' a; printf the-end")
    desk.take([item])
    console.ended(name(item))
    pieces = console.streams[name(item), 1]
    assert b"".join(pieces[at] for at in sorted(pieces) if at < protocol.OUTPUT_HEAD) == b"a" * protocol.OUTPUT_HEAD
    tail = b"".join(pieces[at] for at in sorted(pieces) if at >= protocol.OUTPUT_HEAD)
    assert len(tail) == protocol.OUTPUT_TAIL and tail.endswith(b"aaathe-end")
    last = max(pieces)
    assert last + len(pieces[last]) == 3_000_007, "each piece says where in the stream it stands"


def test_output_is_sent_while_the_script_runs(desk: Desk, console: Console, tmp_path: Path) -> None:
    item = signed(f"echo first; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo second")
    desk.take([item])
    wait(lambda: (console.exchange(), console.text(name(item)) == b"first\n")[1])
    assert desk.busy
    (tmp_path / "go").touch()
    console.ended(name(item))
    assert console.text(name(item)) == b"first\nsecond\n"


def test_a_full_disk_refuses_work_before_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(str(tmp_path / "work"), ME, KEYS)

    def full(work: str, sequence: int) -> bool:
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(desk.journal, "begin", full)
    item = signed(f"touch {tmp_path}/ran")
    desk.take([item])
    said = Console(desk).ended(name(item))
    assert said["state"] == "refused" and "The disk is full" in said["reason"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"run_as": "nobody-of-that-name"}, "There is no user"), ({"interpreter": "/no/such"}, "/no/such")],
)
def test_what_cannot_be_run_fails_in_words(desk: Desk, console: Console, changed: dict, reason: str) -> None:
    item = signed("true", **changed)
    desk.take([item])
    said = console.ended(name(item))
    assert said["state"] == "failed" and reason in said["reason"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_script_runs_as_the_user_that_it_is_signed_for(desk: Desk, console: Console) -> None:
    item = signed("id -un; id -Gn", run_as="nobody")
    desk.take([item])
    console.ended(name(item))
    assert console.text(name(item)) == b"nobody\nnogroup\n"


AGENT = """
import json, sys, time
from servers.agents.program.desk import Desk
folder, me, key = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
desk = Desk(folder, me, {"k1": key})
desk.take(json.load(open(sys.argv[4])))
print("taken", flush=True)
while True:
    time.sleep(1)
"""


def test_an_agent_that_is_killed_reports_interrupted_and_never_runs_it_again(tmp_path: Path) -> None:
    items = [signed(f"echo begun >> {tmp_path}/count-{n}; sleep 300 & echo $! > {tmp_path}/pid-{n}; wait")
             for n in range(6)]  # fmt: skip
    (tmp_path / "items").write_text(json.dumps(items))
    folder = str(tmp_path / "work")
    child = subprocess.Popen(
        [sys.executable, "-c", AGENT, folder, ME, PUBLIC.hex(), str(tmp_path / "items")], stdout=subprocess.PIPE
    )
    assert child.stdout
    child.stdout.readline()
    wait(lambda: sum(one.stat().st_size > 0 for one in tmp_path.glob("pid-*")) == 4)
    wait(lambda: len(list(Path(folder).glob("*.pid"))) == 4)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    desk = Desk(folder, ME, KEYS)
    console = Console(desk)
    desk.take(items)
    first = [name(item) for item in items[:4]]
    assert {console.ended(work)["state"] for work in first} == {"interrupted"}
    wait(lambda: len(list(tmp_path.glob("pid-*"))) == 6)  # those that had not begun run now
    desk.close()
    assert [(tmp_path / f"count-{n}").read_text() for n in range(6)] == ["begun\n"] * 6
    for n in range(4):  # and what the dead agent left running was ended
        pid = int((tmp_path / f"pid-{n}").read_text())
        wait(lambda pid=pid: not lives(pid))


def test_a_script_is_noted_before_its_first_word_whatever_is_killed_then(desk: Desk, console: Console) -> None:
    item = signed(f"echo $$; cat {desk.journal.folder}/*.pid")
    desk.take([item])
    console.ended(name(item))
    said, note = console.text(name(item)).decode().splitlines()
    assert json.loads(note)["pid"] == int(said) and json.loads(note)["born"]


def test_what_cannot_be_noted_does_not_run(desk: Desk, console: Console, tmp_path: Path) -> None:
    def full(work: str) -> int:
        raise OSError(28, "No space left on device", str(tmp_path))

    desk.journal.place = full  # type: ignore[method-assign]
    item = signed(f"touch {tmp_path}/ran")
    desk.take([item])
    said = console.ended(name(item))
    assert said["state"] == "failed" and "The disk is full" in said["reason"] and not (tmp_path / "ran").exists()


def test_what_was_refused_is_not_run_when_it_comes_again_before_that_is_known(desk: Desk, tmp_path: Path) -> None:
    """Else the console would hear that it was not run, and it would have run."""
    begin = desk.journal.begin

    def full(work: str, sequence: int) -> bool:
        raise OSError(28, "No space left on device", str(tmp_path))

    desk.journal.begin = full  # type: ignore[method-assign]
    item = signed(f"touch {tmp_path}/ran")
    desk.take([item])
    desk.journal.begin = begin  # type: ignore[method-assign]
    desk.take([item])
    assert [result["state"] for result in desk.results()] == ["refused"] and not desk.journal.unended()


def test_a_start_that_the_disk_takes_in_part_is_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, work = Journal(str(tmp_path / "work")), str(uuid4())

    def full(directory: str) -> None:
        raise OSError(28, "No space left on device", directory)

    with monkeypatch.context() as patched:
        patched.setattr(files, "sync", full)
        with pytest.raises(OSError, match="No space"):
            journal.begin(work, 1)
    assert not journal.begun(work) and journal.unended() == [] and journal.begin(work, 1)


def test_a_week_of_much_work_is_looked_through_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{uuid4()}.start" for _ in range(50_000)]
    ended = [name.replace(".start", kind) for name in names for kind in (".end", ".known")]
    monkeypatch.setattr(os, "listdir", lambda folder: names + ended)
    began = time.process_time()
    journal = Journal(str(tmp_path))
    assert journal.results() == [] and journal.unended() == []
    assert time.process_time() - began < 5  # as a list: an hour


def test_an_agent_that_ends_in_good_order_tells_what_it_cut_short(desk: Desk, console: Console) -> None:
    item = signed("sleep 300")
    desk.take([item])
    wait(lambda: desk.journal.unended())
    wait(lambda: list(Path(desk.journal.folder).glob("*.pid")))
    desk.close()
    said = console.ended(name(item))
    assert (said["state"], said["reason"]) == ("interrupted", "The agent was stopped while it ran.")


def test_a_damaged_note_of_the_sequence_stops_work_in_words(desk: Desk, console: Console, tmp_path: Path) -> None:
    Path(desk.journal.folder).mkdir()
    (Path(desk.journal.folder) / "sequence").write_text("{")
    item = signed(f"touch {tmp_path}/ran")
    desk.take([item])
    said = console.ended(name(item))
    assert said["state"] in ("refused", "interrupted") and "damaged" in said["reason"]
    assert not (tmp_path / "ran").exists()


def test_what_the_console_knows_is_forgotten_after_a_week(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "work"))
    old, new = str(uuid4()), str(uuid4())
    for at, work in enumerate((old, new)):
        assert journal.begin(work, at + 1) and not journal.begin(work, at + 1)
        journal.end(work, protocol.DONE, 0, "")
    assert {result["id"] for result in journal.results()} == {old, new}
    journal.known([old])
    os.utime(journal.path(old, "known"), (1, 1))
    journal.known([new])
    assert journal.results() == [] and journal.begun(new) and not journal.begun(old) and journal.highest() == 2
