"""First a look who can be reached; nothing is touched before a person goes on. And the way through a jump host."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.lib.denials import Denied, Wrong
from console.lib.jobs.rows import JobState
from servers.installs import install, trusting
from servers.installs.models import HostKey, Install, InstallBatch, JumpHostKey
from servers.installs.through import Jump
from servers.models import Server
from tests import farside
from tests.conftest import People
from tests.installs.hosts import at, begin, is_over, row_of, verbs, work
from tests.processes import wait
from tests.sshd import Sshd, make_key

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bastion(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "bastion") as one:
        yield one


def test_a_look_signs_in_nowhere_and_those_that_were_reached_go_on(people: People, host: Sshd, server: Server) -> None:
    with socket.create_server(("127.0.0.2", 0)) as free:
        gone = at("127.0.0.2", people, name="gone")
        assert free.getsockname()[1] != host.port
    batch = begin(people, host, server, gone, look_first=True, trust_new_host_keys=True)
    work(batch)
    counts = install.progress(batch)
    assert (counts["reachable"], counts["failed"], counts["active"]) == (1, 1, 0)
    row, away = batch.installs.get(server=server), batch.installs.get(server=gone)
    assert (row.state, row.stage) == ("waiting", "sign_in") and "Nothing was touched" in row.outcome
    assert [(one["stage"], one["ok"]) for one in row.stages] == [("connect", True), ("verify_host", True)]
    assert away.stage == "connect" and "refused" in away.cause and away.fix
    assert "Accepted publickey" not in host.log and list((host.folder / "tmp").iterdir()) == []
    assert HostKey.objects.get(server=server).fingerprint == host.host_key(), "the next connection must show the same"
    assert not is_over(batch)

    assert install.go_on(batch, by=people.bob) == 1
    with pytest.raises(Denied):
        install.go_on(batch, by=people.bob)
    work(batch)
    wait(lambda: batch.installs.get(server=server).state == JobState.DONE)
    assert is_over(batch) and ("bob@example.com", "install.went_on") in verbs()


def test_a_key_that_is_confirmed_during_a_look_does_not_start_the_install(
    people: People, host: Sshd, server: Server
) -> None:
    batch = begin(people, host, server, look_first=True)
    work(batch)
    assert row_of(batch).stage == "verify_host"
    trusting.confirm(batch, by=people.alice)
    work(batch)
    row = row_of(batch)
    assert (row.state, row.stage) == ("waiting", "sign_in")
    assert "Accepted publickey" not in host.log
    assert install.cancel(batch, by=people.alice) == 1 and is_over(batch)


def test_whoever_goes_on_during_the_look_takes_along_what_is_found_later(
    people: People, host: Sshd, server: Server
) -> None:
    batch = begin(people, host, server, look_first=True, trust_new_host_keys=True)
    assert install.go_on(batch, by=people.alice) == 0
    work(batch)
    wait(lambda: row_of(batch).state == JobState.DONE)


def test_a_thousand_that_do_not_answer_hold_nobody_up_for_long(
    people: People, host: Sshd, full_or: Callable[[int, int], int]
) -> None:
    count = full_or(1000, 60)
    here = [at("127.0.0.1", people) for _ in range(count)]
    with farside.listener(lambda line: line.recv(1)) as tarpit:
        batch = begin(people, host, *here, port=tarpit, look_first=True)
        work(batch)
    assert batch.installs.filter(state="failed", cause__contains="said nothing").count() == count and is_over(batch)


def test_an_install_through_a_jump_host_asks_for_both_keys_and_keeps_them(
    people: People, host: Sshd, server: Server, bastion: Sshd
) -> None:
    jump = Jump(bastion.host, bastion.port, bastion.user, private_key=bastion.private_key)
    batch = begin(people, host, server, jump=jump)
    assert set(batch.credentials()) == {"private_key", "jump_private_key"}
    work(batch)
    batch.refresh_from_db()
    assert (batch.jump_fingerprint, row_of(batch).fingerprint) == (bastion.host_key(), "")
    assert row_of(batch).state == "waiting" and "jump host" in row_of(batch).outcome
    with pytest.raises(Denied):
        trusting.confirm(batch, by=people.alice, fingerprints=["SHA256:of-another-key"])
    trusting.confirm(batch, by=people.bob, fingerprints=[bastion.host_key()])
    known = JumpHostKey.objects.get()
    assert (known.host, known.fingerprint, known.confirmed_by) == (bastion.host, bastion.host_key(), people.bob)

    work(batch)
    assert row_of(batch).fingerprint == host.host_key()
    trusting.confirm(batch, by=people.alice, fingerprints=[host.host_key()])
    work(batch)
    wait(lambda: row_of(batch).state == JobState.DONE)
    assert is_over(batch) and "direct-tcpip" not in row_of(batch).cause
    assert bastion.log.count("Accepted publickey") >= 2


def test_a_jump_host_whose_key_changed_fails_them_until_it_is_forgotten(
    people: People, host: Sshd, server: Server, bastion: Sshd, tmp_path: Path
) -> None:
    jump = Jump(bastion.host, bastion.port)
    batch = begin(people, host, server, jump=jump, trust_new_host_keys=True)
    (bastion.folder / "authorized_keys").write_text((host.folder / "user.pub").read_text())
    JumpHostKey.objects.create(
        customer=people.customer, host=bastion.host, port=bastion.port, key_type="ssh-ed25519", key="AAAA",
        fingerprint="SHA256:" + "A" * 43,
    )  # fmt: skip
    work(batch)
    row = row_of(batch)
    assert (row.state, row.fingerprint) == ("failed", "") and "By way of the jump host" in row.cause
    assert bastion.host_key() in row.cause and is_over(batch)
    assert trusting.forget_jump(batch, by=people.alice) == 1
    again = install.retry_failed(batch, by=people.alice, private_key=host.private_key)
    assert (again.jump_host, again.jump_user) == (bastion.host, host.user)
    work(again)
    wait(lambda: row_of(again).state == JobState.DONE)
    assert JumpHostKey.objects.get().fingerprint == bastion.host_key(), "taken on trust, as the person chose"


@pytest.mark.parametrize(
    ("change", "field"),
    [({"host": "two words"}, "jump_host"), ({"host": "-oProxyCommand=x"}, "jump_host"), ({"port": 0}, "jump_port"),
     ({"user": "a b"}, "jump_user"), ({"private_key": "rubbish"}, "jump_private_key"),
     ({"private_key": "x", "password": "y"}, "jump_private_key")],
)  # fmt: skip
def test_a_jump_host_that_cannot_work_is_refused_at_once(
    people: People, host: Sshd, server: Server, change: dict, field: str
) -> None:
    with pytest.raises(Wrong) as refused:
        begin(people, host, server, jump=Jump(**({"host": "bastion.example.com"} | change)))
    assert field in refused.value.fields and not InstallBatch.objects.exists()


def test_the_same_request_key_gives_the_same_install(people: People, host: Sshd, server: Server) -> None:
    first = begin(people, host, server, request_key="order-7")
    assert begin(people, host, server, request_key="order-7") == first
    with pytest.raises(Denied, match="other servers"):
        begin(people, host, at("127.0.0.1", people), request_key="order-7")
    assert (InstallBatch.objects.count(), Install.objects.count()) == (1, 1)


def test_a_wrong_passphrase_of_the_jump_host_is_told_by_its_own_field(
    people: People, host: Sshd, server: Server, tmp_path: Path
) -> None:
    locked = make_key(tmp_path / "locked", "ed25519", "secret").read_text()
    with pytest.raises(Wrong) as refused:
        begin(people, host, server, jump=Jump("bastion.example.com", private_key=locked))
    assert list(refused.value.fields) == ["jump_passphrase"]
