"""One exercise for each operation: do it to a server that is in a state which allows it, and see on the far side, by
a driver that knows nothing of it, that it happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from accounts.clouds import State
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Operation, Order, Size, Untold
from tests.clouds.contract.sites import Site

Exercise = Callable[[Site, str], None]

SCRIPT = b"#!/bin/sh\necho 'a < b & c'\n"
STEADY = (State.RUNNING, State.STOPPED)


def order(site: Site, driver: ActingDriver, name: str) -> Order:
    """A server that this cloud can make, from what it says is on offer."""
    image = driver.images()[0]
    sizes = [size for size in driver.sizes() if size.cpus] if site.can(Operation.SIZES) else []
    networks = [one for one in driver.networks() if one.zone == image.zone] if site.can(Operation.NETWORKS) else []
    return Order(
        name,
        image.id,
        size=sizes[0].id if sizes else "",
        cpus=None if sizes else 2,
        memory_mb=None if sizes else 2048,
        networks=tuple(one.id for one in networks[:1]),
        key_name=driver.key_pairs()[0].name if site.can(Operation.KEY_PAIRS) else "",
        user_data=SCRIPT if site.can(Operation.ORDER_USER_DATA) else b"",
        metadata={"team": "a & b~"} if site.can(Operation.METADATA) else {},
        zone=image.zone,
    )


def another_size(site: Site, server: str) -> Size:
    """A size that the server does not have."""
    now = site.facts(server)
    if not site.can(Operation.SIZES):
        return Size("", "", cpus=(now.cpus or 0) + 1, memory_mb=(now.memory_mb or 0) + 1024)
    had = (now.cpus, now.memory_mb)  # vCloud's records do not say by which size
    return next(
        size
        for size in site.driver().sizes()
        if size.cpus and size.name != now.size and (size.cpus, size.memory_mb) != had
    )


# --- reading


def list_(site: Site, server: str) -> None:
    assert {facts.external_id for facts in site.listed()} == set(site.held())


def changes(site: Site, server: str) -> None:
    quiet, doomed = site.add("quiet"), site.add("doomed")
    site.pass_by(timedelta(minutes=10))
    since = site.clock.now
    site.pass_by(timedelta(minutes=1))
    site.done(site.driver().rename(server, "touched"))
    if site.platform == "cloudstack":  # a new display name is no event there
        site.done(site.driver().stop(server))
    site.done(site.driver().delete(doomed))
    try:
        changed, gone = site.driver().changes(since)
    except Untold:
        assert site.platform == "vcloud"  # where a vApp that is gone does not tell what was in it
        assert {facts.external_id for facts in site.listed()} == {server, quiet}
        return
    names = {facts.external_id: facts.name for facts in changed}
    assert names[server] == "touched"
    assert quiet not in names
    assert doomed not in names
    assert gone == {doomed}


def sizes(site: Site, server: str) -> None:
    found = site.driver().sizes()
    assert len({size.id for size in found}) == len(found) > 1
    assert all(size.id and size.name for size in found)
    assert sum(bool(size.cpus and size.memory_mb) for size in found) > 1


def images(site: Site, server: str) -> None:
    found = site.driver().images()
    assert len({(image.id, image.zone) for image in found}) == len(found) > 1
    assert all(image.id and image.name for image in found)


def networks(site: Site, server: str) -> None:
    found = site.driver().networks()
    assert len({network.id for network in found}) == len(found) > 1
    assert all(network.id and network.name for network in found)


def key_pairs(site: Site, server: str) -> None:
    assert [pair.name for pair in site.driver().key_pairs()] == ["ops"]


# --- a life


def create(site: Site, server: str) -> None:
    wanted = order(site, site.driver(), "fresh & <new>")
    task = site.driver().create(wanted)
    assert wanted.user_data.decode() not in task.ref or not wanted.user_data
    progress = site.done(task)
    made = site.facts(progress.server_id)
    assert (made.name, made.state) == ("fresh & <new>", State.RUNNING)
    assert made.addresses
    assert made.external_id in site.held()
    if wanted.cpus:
        assert (made.cpus, made.memory_mb) == (wanted.cpus, wanted.memory_mb)
    if wanted.metadata:
        site.pass_by()  # CloudStack tags a server when it stands, by a job of its own
        assert site.driver().metadata(made.external_id)["team"] == "a & b~"
    if site.can(Operation.USER_DATA) and wanted.user_data:
        assert site.driver().user_data(made.external_id).strip() == wanted.user_data.strip()


def free_size(site: Site, server: str) -> None:
    wanted = replace(order(site, site.driver(), "own"), size="", cpus=3, memory_mb=3072)
    made = site.facts(site.done(site.driver().create(wanted)).server_id)
    assert (made.cpus, made.memory_mb) == (3, 3072)
    stopped = site.add("own-too", State.STOPPED)
    site.done(site.driver().resize(stopped, Size("", "", cpus=5, memory_mb=5120)))
    after = site.facts(stopped)
    assert (after.cpus, after.memory_mb) == (5, 5120)


def _into(operation: Operation, end: State) -> Exercise:
    """A power operation, after which the server is in that state."""

    def exercise(site: Site, server: str) -> None:
        task = getattr(site.driver(), operation.value)(server)
        assert site.done(task).server_id in (server, "")
        assert site.facts(server).state is end
        assert site.held()[server].state is end

    return exercise


def resize(site: Site, server: str) -> None:
    before, size = site.facts(server), another_size(site, server)
    site.done(site.driver().resize(server, size))
    after = site.facts(server)
    assert (after.cpus, after.memory_mb) == (size.cpus, size.memory_mb) != (before.cpus, before.memory_mb)


def confirm_resize(site: Site, server: str) -> None:
    before = site.facts(server)
    site.done(site.driver().confirm_resize(server))
    after = site.facts(server)
    assert (after.state, after.size) == (State.RUNNING, before.size)


def revert_resize(site: Site, server: str) -> None:
    before = site.facts(server)
    site.done(site.driver().revert_resize(server))
    after = site.facts(server)
    assert after.state is State.RUNNING
    assert after.size != before.size


def rename(site: Site, server: str) -> None:
    site.done(site.driver().rename(server, "été & <b> ~1"))
    assert site.facts(server).name == site.held()[server].name == "été & <b> ~1"


def delete(site: Site, server: str) -> None:
    other = site.add("bystander")
    site.done(site.driver().delete(server))
    assert site.driver().server(server) is None
    left = {facts.external_id for facts in site.listed()}
    assert server not in left
    assert other in left
    site.done(site.driver().delete(server))  # it is gone already, and that is what was asked


# --- snapshots


def snapshot(site: Site, server: str) -> None:
    assert site.driver().snapshots(server) == ()
    site.done(site.driver().snapshot(server, "before"))
    assert len(site.driver().snapshots(server)) == 1


def snapshots(site: Site, server: str) -> None:
    snapshot(site, server)
    (made,) = site.driver().snapshots(server)
    assert made.id
    assert made.name
    assert made.created_at is not None
    assert made.created_at.tzinfo is not None
    assert site.driver().snapshots(site.add("without any")) == ()


def revert_snapshot(site: Site, server: str) -> None:
    state = site.facts(server).state
    if state not in _where(site, Operation.SNAPSHOT):
        kept = _snapshot_while_running(site, server, state)
    else:
        snapshot(site, server)
        (kept,) = (one.id for one in site.driver().snapshots(server))
    site.pass_by()
    task = site.driver().revert_snapshot(server, kept)
    site.done(task)
    assert kept in {one.id for one in site.driver().snapshots(server)}
    assert server in site.held()


def delete_snapshot(site: Site, server: str) -> None:
    snapshot(site, server)
    (made,) = site.driver().snapshots(server)
    site.pass_by()
    site.done(site.driver().delete_snapshot(server, made.id))
    assert site.driver().snapshots(server) == ()


def _where(site: Site, operation: Operation) -> frozenset[State]:
    return site.table[operation].states or frozenset(State)


def _snapshot_while_running(site: Site, server: str, state: State) -> str:
    """A snapshot of a server in a state in which none can be made: made before it came there."""
    site.put(server, State.RUNNING)
    snapshot(site, server)
    site.put(server, state)
    return site.driver().snapshots(server)[0].id


# --- consoles, metadata, user data


def console_url(site: Site, server: str) -> None:
    found = site.driver().console_url(server)
    assert found.url.partition("://")[0] in ("http", "https", "mks", "wss")
    assert found.kind


def console_text(site: Site, server: str) -> None:
    site.say_on_console(server, "one\ntwo\nlogin: ")
    assert "two" in site.driver().console_text(server)
    assert site.driver().console_text(server, 1).splitlines()[-1:] == ["login: "]


def metadata(site: Site, server: str) -> None:
    assert dict(site.driver().metadata(server)) == {}


def set_metadata(site: Site, server: str) -> None:
    site.driver().set_metadata(server, {"role": "web & <db>", "stage": "x"})
    assert dict(site.driver().metadata(server)) == {"role": "web & <db>", "stage": "x"}
    site.driver().set_metadata(server, {"stage": None, "never": None, "new~1": "y z"})
    assert dict(site.driver().metadata(server)) == {"role": "web & <db>", "new~1": "y z"}
    site.driver().set_metadata(server, {"role": "db"})
    assert site.driver().metadata(server)["role"] == "db"


def user_data(site: Site, server: str) -> None:
    assert site.driver().user_data(server) == b""


def set_user_data(site: Site, server: str) -> None:
    site.driver().set_user_data(server, SCRIPT)
    if site.can(Operation.USER_DATA):
        assert site.driver().user_data(server).strip() == SCRIPT.strip()


def set_guest_property(site: Site, server: str) -> None:
    site.driver().set_guest_property(server, "guestinfo.other", "kept")
    site.driver().set_guest_property(server, "guestinfo.muster.claim", "a & <b> ~1")
    assert site.guest_properties(server) == {"guestinfo.other": "kept", "guestinfo.muster.claim": "a & <b> ~1"}
    site.driver().set_guest_property(server, "guestinfo.muster.claim", "second")
    assert site.guest_properties(server)["guestinfo.muster.claim"] == "second"
    site.driver().set_guest_property(server, "guestinfo.muster.claim", None)
    assert site.guest_properties(server) == {"guestinfo.other": "kept"}


EXERCISES: dict[Operation, Exercise] = {
    Operation.LIST: list_,
    Operation.CHANGES: changes,
    Operation.SIZES: sizes,
    Operation.IMAGES: images,
    Operation.NETWORKS: networks,
    Operation.KEY_PAIRS: key_pairs,
    Operation.CREATE: create,
    Operation.FREE_SIZE: free_size,
    Operation.ORDER_USER_DATA: create,
    Operation.START: _into(Operation.START, State.RUNNING),
    Operation.STOP: _into(Operation.STOP, State.STOPPED),
    Operation.REBOOT: _into(Operation.REBOOT, State.RUNNING),
    Operation.RESET: _into(Operation.RESET, State.RUNNING),
    Operation.SUSPEND: _into(Operation.SUSPEND, State.SUSPENDED),
    Operation.RESUME: _into(Operation.RESUME, State.RUNNING),
    Operation.RESIZE: resize,
    Operation.CONFIRM_RESIZE: confirm_resize,
    Operation.REVERT_RESIZE: revert_resize,
    Operation.RENAME: rename,
    Operation.SNAPSHOT: snapshot,
    Operation.SNAPSHOTS: snapshots,
    Operation.REVERT_SNAPSHOT: revert_snapshot,
    Operation.DELETE_SNAPSHOT: delete_snapshot,
    Operation.DELETE: delete,
    Operation.CONSOLE_URL: console_url,
    Operation.CONSOLE_TEXT: console_text,
    Operation.METADATA: metadata,
    Operation.SET_METADATA: set_metadata,
    Operation.USER_DATA: user_data,
    Operation.SET_USER_DATA: set_user_data,
    Operation.SET_GUEST_PROPERTY: set_guest_property,
}

ASKED: dict[Operation, tuple[object, ...]] = {
    Operation.SIZES: (),
    Operation.IMAGES: (),
    Operation.NETWORKS: (),
    Operation.KEY_PAIRS: (),
    Operation.CREATE: (Order("n", "i"),),
    Operation.RESIZE: ("vm-1", Size("1", "s")),
    Operation.RENAME: ("vm-1", "n"),
    Operation.SNAPSHOT: ("vm-1", "n"),
    Operation.REVERT_SNAPSHOT: ("vm-1", "s"),
    Operation.DELETE_SNAPSHOT: ("vm-1", "s"),
    Operation.SET_METADATA: ("vm-1", {"a": "b"}),
    Operation.SET_USER_DATA: ("vm-1", b"x"),
    Operation.SET_GUEST_PROPERTY: ("vm-1", "guestinfo.a", "b"),
}
"""What stands in the places of a call that is refused before it is looked at; ("vm-1",) for the others."""


def ask(site: Site, driver: ActingDriver, operation: Operation, server: str = "vm-1") -> object:
    """The bare call of that operation."""
    if operation is Operation.CHANGES:
        return driver.changes(site.clock.now)
    if operation is Operation.LIST:
        return list(driver.servers())
    if operation is Operation.FREE_SIZE:
        return driver.create(Order("n", "i", cpus=2, memory_mb=2048))
    if operation is Operation.ORDER_USER_DATA:
        return driver.create(Order("n", "i", user_data=b"x"))
    call: Callable[..., object] = getattr(driver, operation.value)
    return call(*(server if given == "vm-1" else given for given in ASKED.get(operation, ("vm-1",))))
