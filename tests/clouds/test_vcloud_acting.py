"""What the vCloud driver does to servers, and what it leaves alone, against a replayed cell."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from accounts.clouds import State
from accounts.clouds import vcloud_orders as orders
from accounts.clouds import vcloud_xml as xml
from accounts.clouds.operations import Operation, Order, Phase, Size, Task
from accounts.clouds.vcloud_capabilities import CAPABILITIES
from accounts.clouds.vcloud_signin import Spoken
from console.lib.faults import Refused, SlowDown, Unexpected
from tests.clouds.replay import Replay
from tests.clouds.vcloud_account import (
    TASK,
    V15,
    asked,
    error,
    new_cell,
    old_cell,
    opened,
    said,
    vm,
)
from tests.clouds.vcloud_truth import faults


def undeployed(replay: Replay, document: str) -> tuple[Task, str]:
    """The task of a stop, and how it was asked for."""
    new_cell(replay)
    replay.say("GET", "/api/vApp/vm-a", said(document))
    replay.say("POST", "/do/undeploy", said(TASK.format(replay.url), 202))
    task = opened(replay.url).stop("vm-a")
    assert asked(replay, "/do/power:powerOff") == 0
    assert replay.headers[-1]["Content-Type"] == "application/vnd.vmware.vcloud.undeployVAppParams+xml"
    return task, replay.bodies[-1].partition("<UndeployPowerAction>")[2].partition("<")[0]


def test_a_stop_asks_the_guest_to_shut_down_and_undeploys(replay: Replay) -> None:
    task, action = undeployed(replay, vm(replay, "power:powerOff", "power:shutdown", "undeploy"))
    assert (task.ref, action) == (f"{replay.url}/api/task/1", "shutdown")


@pytest.mark.parametrize(
    ("links", "inside"),
    [
        (("power:powerOff", "undeploy"), ""),
        (("power:shutdown", "undeploy"), '<RuntimeInfoSection><VMWareTools version="0"/></RuntimeInfoSection>'),
        (("power:shutdown", "undeploy"), '<Tasks><Task status="error" operationName="vappUndeployPowerOff"/></Tasks>'),
    ],
)
def test_where_the_guest_cannot_be_asked_the_power_is_cut_and_the_end_says_so(
    replay: Replay, links: tuple[str, ...], inside: str
) -> None:
    task, action = undeployed(replay, vm(replay, *links).replace("</Vm>", f"{inside}</Vm>"))
    assert action == "powerOff"
    replay.say("GET", "/api/task/1", said(TASK.format(replay.url).replace("running", "success")))
    told = opened(replay.url).task(Task(task.ref, "vm-a"))
    assert (told.phase, told.words.split(",")[0]) == (Phase.DONE, "Its power was cut")


def test_stopping_what_is_off_and_given_back_is_done_at_once(replay: Replay) -> None:
    new_cell(replay)
    replay.say("GET", "/api/vApp/vm-a", said(vm(replay, "power:powerOn", attributes='status="8" deployed="false"')))
    driver = opened(replay.url)
    assert driver.task(driver.stop("vm-a")).phase is Phase.DONE


def test_what_the_servers_document_does_not_offer_is_refused_without_a_guess(replay: Replay) -> None:
    new_cell(replay)
    busy = '<Vm xmlns="{}" status="4"><Tasks><Task status="running"/></Tasks></Vm>'
    replay.say("GET", "/api/vApp/vm-a", said(vm(replay)), said(busy.format(V15)))
    driver = opened(replay.url)
    with pytest.raises(Refused, match="does not offer suspend"):
        driver.suspend("vm-a")
    with pytest.raises(SlowDown, match="at work"):
        driver.suspend("vm-a")


STRAY = ["http://192.0.2.9/api/task/1", "file:///etc/passwd", "steps:{", 'steps:{"deed":"x","at":"y"}', "nonsense"]


@pytest.mark.parametrize("ref", STRAY)
def test_a_task_reference_that_leads_elsewhere_or_is_not_ours_makes_no_call_there(replay: Replay, ref: str) -> None:
    new_cell(replay)
    with pytest.raises((Refused, Unexpected)):
        opened(replay.url).task(Task(ref))


@pytest.mark.parametrize(
    ("status", "phase"),
    [("queued", "running"), ("preRunning", "running"), ("running", "running"), ("success", "done"), ("error", "failed"),
     ("canceled", "failed"), ("aborted", "failed"), ("", "failed")],
)  # fmt: skip
def test_each_task_status_is_a_phase_with_the_cells_own_words(replay: Replay, status: str, phase: str) -> None:
    new_cell(replay)
    why = '<Error message="Out of memory." majorErrorCode="500" minorErrorCode="X"/>' if status == "error" else ""
    owner = f'<Owner href="{replay.url}/api/vApp/vm-7"/><Progress>40</Progress>'
    replay.say("GET", "/api/task/1", said(f'<Task xmlns="{V15}" status="{status}">{owner}{why}</Task>'))
    progress = opened(replay.url).task(Task(f"{replay.url}/api/task/1"))
    assert (progress.phase, progress.server_id) == (phase, "vm-7")
    assert progress.words == ("Out of memory." if why else progress.words)


def test_a_step_that_failed_in_the_cell_ends_the_wish_with_its_words(replay: Replay) -> None:
    new_cell(replay)
    cpu = (
        "<VirtualHardwareSection><Item><ResourceType>3</ResourceType><VirtualQuantity>1</VirtualQuantity>"
        f'<Link rel="edit" href="{replay.url}/cpu"/></Item></VirtualHardwareSection>'
    )
    document = vm(replay, attributes='status="8"').replace("</Vm>", cpu + "</Vm>")
    failed = (
        '<Tasks><Task status="error" startTime="2026-11-22T10:00:05Z"><Error message="No CPU left."/></Task>'
        '<Task status="error" startTime="2026-11-21T10:00:00Z"><Error message="Long ago."/></Task></Tasks>'
    )
    replay.say("GET", "/api/vApp/vm-a", said(document), said(document.replace("</Vm>", failed + "</Vm>")))
    replay.say(
        "GET",
        "/cpu",
        said(f'<Item xmlns="{V15}"><ResourceType>3</ResourceType><VirtualQuantity>1</VirtualQuantity></Item>'),
    )
    replay.say("PUT", "/cpu", said(TASK.format(replay.url), 202))
    replay.say("GET", "/api/task/1", said(f'<Task xmlns="{V15}" status="success"/>'))
    driver = opened(replay.url)
    task = driver.resize("vm-a", Size("", "", cpus=2))
    assert driver.task(task).words == "No CPU left."
    assert driver.task(task).phase is Phase.FAILED


def test_old_tasks_of_a_server_do_not_fail_a_new_wish(replay: Replay) -> None:
    new_cell(replay)
    old = '<Tasks><Task status="error" startTime="2026-11-21T10:00:00Z"><Error message="Long ago."/></Task></Tasks>'
    document = vm(replay, "remove", attributes='status="8" deployed="false"').replace("</Vm>", old + "</Vm>")
    replay.say("GET", "/api/vApp/vm-a", said(document), error(403, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", "No access"))
    replay.say("DELETE", "/do/remove", said(TASK.format(replay.url), 202))
    replay.say("GET", "/api/task/1", said(f'<Task xmlns="{V15}" status="success"/>'))
    driver = opened(replay.url)
    assert driver.task(driver.delete("vm-a")).phase is Phase.DONE


def test_a_second_snapshot_is_refused_since_it_would_replace_the_first(replay: Replay) -> None:
    new_cell(replay, "5.1")
    held = (
        '<SnapshotSection><Snapshot created="2026-11-22T10:00:00Z" poweredOn="false" size="1"/></SnapshotSection></Vm>'
    )
    replay.say("GET", "/api/vApp/vm-a", said(vm(replay, "snapshot:create").replace("</Vm>", held)))
    driver = opened(replay.url)
    assert driver.snapshots("vm-a")[0].created_at == datetime(2026, 11, 22, 10, tzinfo=UTC)
    with pytest.raises(Refused, match="keeps one snapshot"):
        driver.snapshot("vm-a", "second")


def test_user_data_that_xml_cannot_hold_is_refused(replay: Replay) -> None:
    new_cell(replay)
    section = f'<GuestCustomizationSection href="{replay.url}/gc"/></Vm>'
    replay.say("GET", "/api/vApp/vm-a", said(vm(replay).replace("</Vm>", section)))
    replay.say("GET", "/gc", said("<GuestCustomizationSection/>"))
    for data in (b"\xff\xfe", b"a\x00b"):
        with pytest.raises(Refused, match="vCloud takes a script"):
            opened(replay.url).set_user_data("vm-a", data)


@pytest.mark.parametrize("number", ["1.5", "5.1"])
def test_what_is_sent_is_valid_by_the_official_schemas(number: str) -> None:
    spoken = Spoken(number, "https://cell/api", "https://cell/api/sessions")
    wish = orders.Wish("a <b> & c", {"net & work": "https://cell/api/network/1"}, power_on=False, script="echo '<hi>'")
    sent = [
        orders.compose(spoken, wish, ["https://cell/api/vAppTemplate/vm-1", "https://cell/api/vAppTemplate/vm-2"]),
        orders.compose(spoken, orders.Wish("plain", {}, power_on=True), ["https://cell/api/vAppTemplate/vm-1"]),
        orders.instantiate(spoken, wish, "https://cell/api/vAppTemplate/vappTemplate-1"),
        orders.undeploy(spoken),
        orders.without(spoken, "https://cell/api/vApp/vm-1"),
        orders.renamed(spoken, xml.parse(b"<Vm><Description>a &lt; b</Description></Vm>"), "new <name>"),
        orders.metadata(spoken, {"key <": "value &"}),
    ]
    if number == "5.1":
        sent.append(orders.snapshot(spoken, "before"))
    for content in sent:
        assert isinstance(content.body, str)
        assert faults(number, content.body.encode()) == [], content.kind


@pytest.mark.parametrize(
    ("name", "host"),
    [("web-1", "web-1"), ("new & <bold>", "new-bold"), ("Überwachung ost 12", "berwachung-ost"), ("12", ""), ("…", "")],
)
def test_a_host_name_is_made_of_a_servers_name(name: str, host: str) -> None:
    assert orders.computer_name(name) == host


# --- capabilities


def test_a_resize_needs_a_server_that_is_off() -> None:
    assert CAPABILITIES["1.0"][Operation.RESIZE].refusal(State.RUNNING) == "Stop it first."
    assert CAPABILITIES["vcd"][Operation.RESIZE].refusal(State.STOPPED) == ""


@pytest.mark.parametrize("generation", CAPABILITIES)
def test_every_generation_answers_for_every_operation_and_a_no_is_a_sentence(generation: str) -> None:
    table = CAPABILITIES[generation]
    assert set(table) == set(Operation)
    for capability in table.values():
        assert capability.allowed or capability.reason
        assert not capability.reason or (capability.reason[0].isupper() and capability.reason.endswith("."))


def test_what_1_0_cannot_do_is_refused_with_its_reason_before_any_call(replay: Replay) -> None:
    old_cell(replay)
    driver = opened(replay.url)
    driver.check()
    calls = driver.calls
    refused = {
        Operation.SIZES: driver.sizes,
        Operation.KEY_PAIRS: driver.key_pairs,
        Operation.CHANGES: lambda: driver.changes(datetime.now(UTC)),
        Operation.CONFIRM_RESIZE: lambda: driver.confirm_resize("vm-a"),
        Operation.REVERT_RESIZE: lambda: driver.revert_resize("vm-a"),
        Operation.SNAPSHOT: lambda: driver.snapshot("vm-a", "s"),
        Operation.SNAPSHOTS: lambda: driver.snapshots("vm-a"),
        Operation.REVERT_SNAPSHOT: lambda: driver.revert_snapshot("vm-a", "current"),
        Operation.DELETE_SNAPSHOT: lambda: driver.delete_snapshot("vm-a", "current"),
        Operation.METADATA: lambda: driver.metadata("vm-a"),
        Operation.SET_METADATA: lambda: driver.set_metadata("vm-a", {}),
        Operation.CONSOLE_TEXT: lambda: driver.console_text("vm-a"),
        Operation.SET_GUEST_PROPERTY: lambda: driver.set_guest_property("vm-a", "guestinfo.a", "b"),
        Operation.ORDER_USER_DATA: lambda: driver.create(Order("d", image="1", size="1/512", user_data=b"x")),
    }
    assert set(refused) == {operation for operation, can in CAPABILITIES["1.0"].items() if not can.allowed}
    for operation, call in refused.items():
        with pytest.raises(Refused) as caught:
            call()
        assert caught.value.words == CAPABILITIES["1.0"][operation].reason
    assert driver.calls == calls
