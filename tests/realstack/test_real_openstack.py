"""Our driver takes a server of a real, modern OpenStack through its life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.clouds import State
from accounts.clouds.operations import Operation, Phase, Size, Task
from console.lib.faults import Refused
from tests.realstack import furnishing
from tests.realstack.person import Person

pytestmark = pytest.mark.timeout(600)  # the first test waits for the whole cloud


def test_a_server_is_created_with_all_that_was_ordered_and_deleted(person: Person) -> None:
    token, found = person.token(), person.stack.furnished
    nova = f"{person.stack.ground.url('nova')}/v2.1"
    pair = token.call("POST", f"{nova}/os-keypairs", {"keypair": {"name": "ada-1", "public_key": _PUBLIC_KEY}})[
        "keypair"
    ]
    assert {(known.name, known.fingerprint) for known in person.driver.key_pairs()} == {("ada-1", pair["fingerprint"])}

    order = person.order(
        "web-1", key_name="ada-1", user_data=b"#!/bin/sh\n", metadata={"role": "web"}, size=found.sizes[1]
    )
    task = person.begun(order)
    assert task.server_id and task.password
    person.done(task)
    facts = person.facts(task.server_id)
    assert (facts.name, facts.state, facts.raw_state) == ("web-1", State.RUNNING, "ACTIVE")
    assert (facts.size, facts.cpus, facts.memory_mb, facts.disk_gb) == ("m2", 1, 128, 1)
    assert (facts.image, facts.key_name, facts.region) == ("tiny", "ada-1", "RegionOne")
    assert facts.created_at is not None and facts.created_at.tzinfo is not None
    (address,) = facts.addresses
    assert address.ip.startswith("10.0.1.") and (address.version, address.kind, address.network) == (4, "fixed", "own")
    assert address.mac.count(":") == 5
    assert dict(person.driver.metadata(task.server_id)) == {"role": "web"}

    gone = person.driver.delete(task.server_id)
    person.done(gone)
    assert person.driver.server(task.server_id) is None
    person.done(person.driver.delete(task.server_id))  # once more: it is gone already
    token.call("DELETE", f"{nova}/os-keypairs/ada-1")


def test_stop_start_and_both_reboots(person: Person) -> None:
    server = person.server("power")
    for act, ends in (
        (person.driver.stop, (State.STOPPED, "SHUTOFF")),
        (person.driver.start, (State.RUNNING, "ACTIVE")),
        (person.driver.reboot, (State.RUNNING, "ACTIVE")),
        (person.driver.reset, (State.RUNNING, "ACTIVE")),
    ):
        person.done(act(server))
        facts = person.facts(server)
        assert (facts.state, facts.raw_state) == ends


def test_suspend_and_resume_and_a_pause_that_somebody_else_made(person: Person) -> None:
    server = person.server("sleeper")
    person.done(person.driver.suspend(server))
    assert person.facts(server).state is State.SUSPENDED
    person.done(person.driver.resume(server))
    assert person.facts(server).state is State.RUNNING
    url = f"{person.stack.ground.url('nova')}/v2.1/servers/{server}/action"
    person.stack.furnished.admin.call("POST", url, {"pause": None})
    person.wait_for(server, "PAUSED")
    assert person.facts(server).state is State.SUSPENDED
    person.done(person.driver.resume(server))
    assert person.facts(server).raw_state == "ACTIVE"


def test_an_action_that_the_state_forbids_is_refused_in_the_clouds_own_words(person: Person) -> None:
    server = person.server("stubborn")
    with pytest.raises(Refused, match="Cannot 'start' instance .* while it is in vm_state active"):
        person.driver.start(server)
    with pytest.raises(Refused, match="has no mapping to a cell"):
        person.driver.start("0" * 8 + "-0000-4000-8000-" + "0" * 12)


@pytest.mark.parametrize("keep", [True, False])
def test_resize_then_confirm_or_revert(person: Person, keep: bool) -> None:
    server, sizes = person.server("grows"), person.driver.sizes()
    wanted = next(size for size in sizes if size.name == "m4")
    person.done(person.driver.resize(server, wanted))
    facts = person.facts(server)
    assert (facts.state, facts.raw_state) == (State.CHANGING, "VERIFY_RESIZE")
    person.done(person.driver.confirm_resize(server) if keep else person.driver.revert_resize(server))
    facts = person.facts(server)
    assert (facts.state, facts.size, facts.memory_mb) == (State.RUNNING, *(("m4", 256) if keep else ("m1", 64)))


def test_a_stopped_and_a_suspended_server_take_what_the_table_says(person: Person) -> None:
    driver, server = person.driver, person.server("at rest")
    table = driver.capabilities()
    size = next(size for size in driver.sizes() if size.name == "m2")
    steps: list[tuple[State, Operation, Callable[[], Task]]] = [
        (State.STOPPED, Operation.SNAPSHOT, lambda: driver.snapshot(server, "stopped")),
        (State.STOPPED, Operation.RESIZE, lambda: driver.resize(server, size)),
        (State.CHANGING, Operation.CONFIRM_RESIZE, lambda: driver.confirm_resize(server)),
        (State.STOPPED, Operation.RESET, lambda: driver.reset(server)),
        (State.RUNNING, Operation.SUSPEND, lambda: driver.suspend(server)),
        (State.SUSPENDED, Operation.SNAPSHOT, lambda: driver.snapshot(server, "suspended")),
        (State.SUSPENDED, Operation.RESET, lambda: driver.reset(server)),
    ]
    person.done(driver.stop(server))
    for state, operation, act in steps:
        assert person.facts(server).state is state and table[operation].refusal(state) == "", operation
        task = act()
        if operation is Operation.SNAPSHOT:
            made = next(one for one in driver.snapshots(server) if one.name == state.value)
            furnishing.upload_snapshot(person.stack.ground, person.token(), made.id)
        person.done(task)
        if operation is Operation.SNAPSHOT:
            person.wait_until_idle(server)
            person.done(driver.delete_snapshot(server, made.id))
    assert person.facts(server).state is State.RUNNING
    # What the table refuses, the cloud refuses too.
    person.done(driver.stop(server))
    for refused, act in ((Operation.REBOOT, driver.reboot), (Operation.SUSPEND, driver.suspend)):
        assert table[refused].refusal(State.STOPPED)
        with pytest.raises(Refused, match="Cannot '"):
            act(server)


def test_a_size_that_does_not_exist_is_refused(person: Person) -> None:
    server = person.server("modest")
    with pytest.raises(Refused, match="[Ff]lavor"):
        person.driver.resize(server, Size("no-such", "no-such"))


def test_a_server_gets_another_name_and_metadata(person: Person) -> None:
    server = person.server("before", metadata={"a": "1", "b": "2"})
    person.done(person.driver.rename(server, "after \u00e9"))
    assert person.facts(server).name == "after \u00e9"
    person.driver.set_metadata(server, {"a": "9", "b": None, "c": "3"})
    assert dict(person.driver.metadata(server)) == {"a": "9", "c": "3"}


def test_a_snapshot_is_made_listed_rebuilt_from_and_deleted(person: Person) -> None:
    server = person.server("camera")
    task = person.driver.snapshot(server, "first light")
    (made,) = person.driver.snapshots(server)
    assert made.name == "first light" and made.created_at is not None
    assert person.driver.task(task).phase is Phase.RUNNING
    furnishing.upload_snapshot(person.stack.ground, person.token(), made.id)
    person.done(task)
    assert made.id in {image.id for image in person.driver.images()}

    back = person.driver.revert_snapshot(server, made.id)
    person.done(back)
    assert (person.facts(server).state, person.facts(server).image) == (State.RUNNING, "first light")

    person.done(person.driver.delete_snapshot(server, made.id))
    assert person.driver.snapshots(server) == ()
    with pytest.raises(Refused, match="no such snapshot"):
        person.driver.delete_snapshot(server, person.stack.furnished.images["tiny"])


def test_consoles_to_read_and_to_open(person: Person) -> None:
    server = person.server("talks")
    assert person.driver.console_text(server) == "FAKE CONSOLE OUTPUT\nANOTHER\nLAST LINE"
    console = person.driver.console_url(server)
    assert console.kind == "novnc" and console.url.startswith("http") and "token" in console.url


def test_a_failed_creation_ends_with_the_words_of_the_cloud(person: Person) -> None:
    token = person.stack.furnished.admin
    nova = f"{person.stack.ground.url('nova')}/v2.1"
    huge: dict[str, Any] = {"flavor": {"name": "huge", "vcpus": 1, "ram": 64, "disk": 900_000, "id": "huge"}}
    token.call("POST", f"{nova}/flavors", huge)
    try:
        progress = person.ended(person.begun(person.order("too big", size="huge")))
        assert progress.phase is Phase.FAILED and "No valid host" in progress.words
    finally:
        token.call("DELETE", f"{nova}/flavors/huge")


_PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBcq2rZVJg9SBmtvtJzQ4OT6DlT0Qv5AyMmKFYcVBN7e ada"
