"""A whole life of one server on every version, each step looked at by processes that know nothing but its `ref`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from accounts.clouds import State
from accounts.clouds.base import ServerFacts
from accounts.clouds.operations import Operation, Phase, Snapshot, Task
from tests.clouds.contract.exercises import SCRIPT, another_size, order
from tests.clouds.contract.sites import Site


class Life:
    """One server on its way through the operations that its cloud has."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.id = ""

    @property
    def facts(self) -> ServerFacts:
        return self.site.facts(self.id)

    def follow(self, task: Task) -> None:
        """The task to its end. Until then it runs, whoever asks and however often."""
        driver = self.site.driver()
        before = driver.task(Task(task.ref, task.server_id))
        assert driver.task(Task(task.ref, task.server_id)).phase is before.phase
        if before.phase is Phase.RUNNING and self.id and self.site.held().get(self.id):
            assert self.site.driver().server(self.id) is not None
        self.site.done(task)
        assert self.site.driver().task(Task(task.ref, task.server_id)).phase is Phase.DONE

    def do(self, operation: Operation, *given: object) -> bool:
        """That operation, from a state that allows it; False where this cloud has none."""
        capability = self.site.table[operation]
        if not capability.allowed:
            return False
        if capability.states and self.facts.state not in capability.states:
            self.turn(State.STOPPED if State.STOPPED in capability.states else State.RUNNING)
        begin: Callable[..., Task] = getattr(self.site.driver(), operation.value)
        self.follow(begin(self.id, *given))
        return True

    def turn(self, state: State) -> None:
        self.do(Operation.STOP if state is State.STOPPED else Operation.START)
        assert self.facts.state is state

    def snapshots(self) -> tuple[Snapshot, ...]:
        return self.site.driver().snapshots(self.id)


def test_a_server_lives_from_order_to_deletion(site: Site) -> None:
    life = Life(site)
    wanted = order(site, site.driver(), "shop & <1>")
    task = site.driver().create(wanted)
    if task.server_id:
        early = site.driver().server(task.server_id)
        assert early is None or early.state is State.CHANGING
    life.follow(task)
    life.id = site.done(task).server_id
    born = life.facts
    assert (born.name, born.state) == ("shop & <1>", State.RUNNING)
    assert born.addresses
    assert [facts.external_id for facts in site.listed()] == [life.id]

    for operation, end in (
        (Operation.STOP, State.STOPPED),
        (Operation.START, State.RUNNING),
        (Operation.REBOOT, State.RUNNING),
        (Operation.RESET, State.RUNNING),
        (Operation.SUSPEND, State.SUSPENDED),
        (Operation.RESUME, State.RUNNING),
    ):
        if life.do(operation):
            assert life.facts.state is end, operation
            assert site.held()[life.id].state is end

    resizing(life)
    assert life.do(Operation.RENAME, "renamed")
    assert life.facts.name == site.held()[life.id].name == "renamed"
    snapshotting(life)
    talking(life)

    assert life.facts.external_id == born.external_id
    assert {address.ip for address in life.facts.addresses} == {address.ip for address in born.addresses}
    assert life.do(Operation.DELETE)
    assert site.driver().server(life.id) is None
    assert site.listed() == []
    assert site.held() == {}


def resizing(life: Life) -> None:
    """Resized, put back where the cloud asks whether to keep it, resized again and kept."""
    site = life.site
    if not site.can(Operation.CONFIRM_RESIZE):
        life.turn(State.STOPPED)  # a running one only where its owner let it be made so
    before, size = life.facts, another_size(site, life.id)
    assert life.do(Operation.RESIZE, size)
    if site.can(Operation.REVERT_RESIZE):
        assert life.facts.state is State.CHANGING
        life.do(Operation.REVERT_RESIZE)
        assert (life.facts.cpus, life.facts.memory_mb) == (before.cpus, before.memory_mb)
        life.do(Operation.RESIZE, size)
        life.do(Operation.CONFIRM_RESIZE)
    after = life.facts
    assert (after.cpus, after.memory_mb) == (size.cpus, size.memory_mb) != (before.cpus, before.memory_mb)
    if site.can(Operation.START) and after.state is State.STOPPED:
        life.turn(State.RUNNING)


def snapshotting(life: Life) -> None:
    """A snapshot is made, listed, gone back to and deleted."""
    site = life.site
    if not life.do(Operation.SNAPSHOT, "before the upgrade"):
        return
    (made,) = life.snapshots()
    site.pass_by()
    life.do(Operation.REVERT_SNAPSHOT, made.id)
    assert life.snapshots() == (made,)
    site.pass_by()
    assert life.do(Operation.DELETE_SNAPSHOT, made.id)
    assert life.snapshots() == ()
    if site.can(Operation.START) and life.facts.state is State.STOPPED:
        life.turn(State.RUNNING)


def talking(life: Life) -> None:
    """Its console, metadata and user data."""
    site = life.site
    if site.can(Operation.CONSOLE_URL):
        assert "://" in site.driver().console_url(life.id).url
    if site.can(Operation.CONSOLE_TEXT):
        site.say_on_console(life.id, "login: ")
        assert site.driver().console_text(life.id).endswith("login: ")
    if site.can(Operation.METADATA):
        assert site.driver().metadata(life.id)["team"] == "a & b~"
    if site.can(Operation.SET_METADATA):
        site.driver().set_metadata(life.id, {"role": "web", "team": None})
        held = dict(site.driver().metadata(life.id))
        assert (held.get("role"), "team" in held) == ("web", False)
    if site.can(Operation.SET_USER_DATA):
        if site.table[Operation.SET_USER_DATA].states == {State.STOPPED}:
            life.turn(State.STOPPED)
        site.driver().set_user_data(life.id, SCRIPT)
        if site.can(Operation.USER_DATA):
            assert site.driver().user_data(life.id).strip() == SCRIPT.strip()


def test_what_two_processes_follow_is_done_once(site: Site) -> None:
    server = site.add("web-1")
    received = len(site.requests)
    task = site.driver().reboot(server)
    for _ in range(3):
        site.driver().task(Task(task.ref))
        site.driver().task(Task(task.ref))
        site.pass_by()
    assert site.driver().task(Task(task.ref)).phase is Phase.DONE
    asked = [path for method, path in list(site.requests)[received:] if method == "POST" and site.deed in path]
    assert len(asked) == 1


RECALLED = [Operation.START, Operation.STOP, Operation.REBOOT, Operation.SUSPEND]
"""Of each kind of task that a cloud tells of afterwards."""


def recalls(site: Site) -> bool:
    """Whether the cloud keeps a record of what it was asked."""
    return site.generation == "modern" if site.platform == "openstack" else site.generation != "1.0"


@pytest.mark.parametrize("operation", RECALLED, ids=lambda operation: operation.value)
def test_a_task_whose_answer_was_lost_is_found_again(site: Site, operation: Operation) -> None:
    if not site.can(operation):
        return
    state = State.STOPPED if operation is Operation.START else State.RUNNING
    server, other = site.add("web-1", state), site.add("web-2", state)
    before = site.clock.now
    site.pass_by(timedelta(minutes=1))
    assert site.driver().recent_task(operation, server, before) is None
    getattr(site.driver(), operation.value)(server)  # and its answer is heard by nobody
    found = site.driver().recent_task(operation, server, before)
    assert (found is not None) is recalls(site)
    assert site.driver().recent_task(operation, other, before) is None
    assert site.driver().recent_task(Operation.RENAME, server, before) is None
    assert site.driver().recent_task(operation, server, site.clock.now + timedelta(minutes=1)) is None
    if found is not None:
        assert found.server_id == server
        assert site.driver().task(Task(found.ref)).phase is Phase.RUNNING
        assert site.done(found).server_id == server
