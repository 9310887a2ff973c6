"""The capability tables against the clouds: a yes works, a no is refused with its reason before any call is made, and
an "only when …" works then and is refused in words otherwise."""

from __future__ import annotations

import pytest

from accounts.clouds import State
from accounts.clouds.operations import Operation, Phase, Progress, Task
from console.lib.faults import Refused, SlowDown
from tests.clouds.contract import versions
from tests.clouds.contract.exercises import EXERCISES, ask, snapshot
from tests.clouds.contract.sites import Site
from tests.clouds.contract.versions import EACH_GENERATION


def test_every_operation_has_an_exercise_and_a_line_in_each_table(site: Site) -> None:
    assert set(EXERCISES) == set(Operation)
    assert set(site.table) == set(Operation)


def test_every_table_is_tried_on_a_version_of_its_own() -> None:
    assert versions.untried() == set()


@EACH_GENERATION
@pytest.mark.parametrize("operation", Operation, ids=lambda operation: operation.value)
def test_what_the_table_says_is_so(site: Site, operation: Operation) -> None:
    capability = site.table[operation]
    if not capability.allowed:
        refused_before_any_call(site, operation)
        return
    for state in sorted(capability.states or {State.RUNNING}):
        site.clear()
        EXERCISES[operation](site, site.add(f"{operation.value.replace('_', '-')}-{state.value}", state))


def refused_before_any_call(site: Site, operation: Operation) -> None:
    driver = site.driver()
    driver.check()
    received = len(site.requests)
    with pytest.raises(Refused) as caught:
        ask(site, driver, operation)
    assert caught.value.words == site.table[operation].reason
    assert len(site.requests) == received


# What the far side does in a state that the table leaves out: there the table is a kindness to people, not a fact.
# Diablo looks at no state (a reboot starts what was off), vCloud's driver calls done what is so already.
LENIENT: dict[tuple[str, str], set[Operation]] = {
    ("openstack", "diablo-1.0"): {Operation.REBOOT, Operation.RESET},
    ("openstack", "diablo"): {Operation.REBOOT, Operation.RESET, Operation.SNAPSHOT},
    ("openstack", "essex"): {Operation.RESET, Operation.SNAPSHOT, Operation.CONSOLE_URL},
    ("cloudstack", "3.x"): {Operation.STOP, Operation.SNAPSHOT},
    ("cloudstack", "4.0"): {Operation.STOP, Operation.SNAPSHOT},
    ("cloudstack", "later"): {Operation.STOP},
    ("vcloud", "later"): {Operation.START, Operation.SUSPEND, Operation.RESUME, Operation.SET_USER_DATA},
}


@EACH_GENERATION
@pytest.mark.parametrize("operation", Operation, ids=lambda operation: operation.value)
def test_in_another_state_the_cloud_refuses_in_words(site: Site, operation: Operation) -> None:
    capability = site.table[operation]
    lenient = LENIENT.get((site.platform, site.generation), LENIENT.get((site.platform, "later"), set()))
    for state in sorted(site.steady - capability.states) if capability.states else ():
        assert capability.refusal(state) == capability.reason
        site.clear()
        server = site.add(f"{operation.value.replace('_', '-')}-{state.value}", state)
        try:
            told = ask(site, site.driver(), operation, server)
        except (Refused, SlowDown) as fault:
            words = fault.words
        else:
            progress = site.ended(told) if isinstance(told, Task) else Progress(Phase.DONE)
            words = progress.words
            if progress.phase is Phase.DONE:
                assert operation in lenient, f"{operation} of a server that is {state} was done"
                continue
        assert " " in words
        assert site.facts(server).state is state, "refused, and something happened nevertheless"


@EACH_GENERATION
def test_a_snapshot_of_another_server_is_out_of_reach(site: Site) -> None:
    if not site.can(Operation.SNAPSHOT):
        return
    site.clear()
    mine, theirs = site.add("mine", State.STOPPED), site.add("theirs")
    snapshot(site, theirs)
    site.pass_by()
    (kept,) = site.driver().snapshots(theirs)
    received = len(site.requests)
    if site.can(Operation.REVERT_SNAPSHOT):
        with pytest.raises(Refused, match="no such snapshot"):
            site.driver().revert_snapshot(mine, kept.id)
    with pytest.raises(Refused, match="no such snapshot"):
        site.driver().delete_snapshot(mine, kept.id)
    asked = [(method, path) for method, path in list(site.requests)[received:] if site.deeds in path]
    assert {method for method, _ in asked} <= {"GET"}
    assert site.driver().snapshots(theirs) == (kept,)
