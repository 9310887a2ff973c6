"""What the OpenStack driver does to servers of Essex and of modern clouds, against recorded replies."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.clouds import State, openstack_tasks
from accounts.clouds.openstack_acting import OpenStack
from accounts.clouds.openstack_capabilities import CAPABILITIES
from accounts.clouds.operations import (
    Operation,
    Order,
    Phase,
    Size,
    Task,
)
from console.demo.openstack import Cloud, serve
from console.lib.faults import Refused, SlowDown, Unexpected
from console.lib.outbound import Transport
from tests.clouds.captured import exchanges
from tests.clouds.openstack_account import (
    EMPTY,
    ESSEX,
    MODERN,
    ONE,
    TASK_STATE,
    acting,
    opened,
    said,
    server,
    v3_token,
    with_services,
)
from tests.clouds.replay import Replay, Reply, recorded

BUILDING = "0ddf8e1f-e71f-4b7e-b2b0-2d241ec85e80"  # the server of modern.txt


# --- capabilities


@pytest.mark.parametrize("generation", CAPABILITIES)
def test_every_generation_answers_for_every_operation_and_a_no_is_a_sentence(generation: str) -> None:
    table = CAPABILITIES[generation]
    assert set(table) == set(Operation)
    for capability in table.values():
        assert capability.allowed or (capability.reason[0].isupper() and capability.reason.endswith("."))
        assert not capability.states or capability.reason.endswith(".")


def test_the_generation_is_told_with_the_check(essex: Replay) -> None:
    essex.replies["GET", "", "", ""] = [recorded("essex.txt")["versions"][2]]
    essex.say("GET", f"{ESSEX}/detail?limit=1", EMPTY)
    assert opened(essex, "/v2.0").check().generation == "essex"


def test_a_proxy_that_redirects_from_the_roots_costs_neither_the_check_nor_a_console(
    essex: Replay, modern: Replay
) -> None:
    moved = Reply(302, b"", {"Location": "https://elsewhere.example/"})
    essex.replies["GET", "", "", ""] = [moved]
    essex.say("GET", f"{ESSEX}/detail?limit=1", EMPTY)
    assert opened(essex, "/v2.0").check().generation == "essex"
    modern.say("GET", "/v2.1/", moved)
    modern.say("POST", f"{MODERN}/s/action", said(200, {"console": {"url": "https://c.example", "type": "novnc"}}))
    assert acting(modern, path="/v3").console_url("s").kind == "novnc"


def test_a_modern_cloud_is_modern_and_so_is_one_newer_than_any_we_know(modern: Replay) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1", EMPTY)
    assert opened(modern).check().generation == "modern"
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [v3_token(("r", "http://127.0.0.1:1/v4.2"))]
    modern.say("GET", "/v4.2/servers/detail?limit=1", EMPTY)
    assert opened(modern).check().generation == "modern"


def test_a_v2_cloud_with_a_network_service_is_modern_without_microversions(modern: Replay) -> None:
    with_services(modern, network="/network")
    token = json.loads(modern.replies["POST", "/v3/auth/tokens", "", ""][0].body)
    token["token"]["catalog"][1]["endpoints"] = [
        {"interface": "public", "region": "r", "url": "http://127.0.0.1:1/v2/p"}
    ]
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [said(201, token, X_Subject_Token="token-1")]
    modern.say("POST", "/v2/p/servers/s/action", recorded("essex.txt")["vnc"][2])
    driver = acting(modern)
    assert driver.capabilities() is CAPABILITIES["modern"]
    assert driver.console_url("s").kind == "novnc"


# --- power and friends


@pytest.mark.parametrize(
    ("title", "call", "goal"),
    [
        ("stop", lambda driver: driver.stop(ONE), "STOPPED"),
        ("start", lambda driver: driver.start(ONE), "ACTIVE"),
        ("reboot", lambda driver: driver.reboot(ONE), "ACTIVE"),
        ("suspend", lambda driver: driver.suspend(ONE), "SUSPENDED"),
        ("resize", lambda driver: driver.resize(ONE, Size("2", "m1.small")), "VERIFY_RESIZE"),
    ],
)
def test_essex_acts_as_recorded_and_the_server_tells_when_it_is_done(
    essex: Replay, title: str, call: Any, goal: str
) -> None:
    block = recorded("essex.txt")[title]
    essex.say(*block)
    driver = acting(essex)
    task = call(driver)
    assert essex.bodies[-1] == json.loads(exchanges("essex.txt")[title].body or b"")
    essex.replies["GET", f"{ESSEX}/{ONE}", "", ""] = [server("ACTIVE", "busy"), server(goal)]
    again = acting(essex)  # another process
    assert [again.task(Task(task.ref)).phase for _ in range(2)] == [Phase.RUNNING, Phase.DONE]


def test_a_refusal_is_told_in_novas_words(modern: Replay) -> None:
    modern.say_recorded(recorded("modern.txt"), "start-active")
    with pytest.raises(Refused, match="is not ready"):
        acting(modern).start(BUILDING)


def test_stopped_and_shutoff_are_both_off() -> None:
    ref = openstack_tasks.Ref("stop", "s")
    for status in ("STOPPED", "SHUTOFF"):
        assert openstack_tasks.of_server(ref, {"status": status, TASK_STATE: None}).phase is Phase.DONE


@pytest.mark.parametrize("status", ["SHELVED", "SHELVED_OFFLOADED"])
def test_a_shelved_server_is_started_by_novas_other_word_and_runs_then(status: str) -> None:
    with serve(Cloud.sized(1)) as site:
        [one] = site.cloud.instances
        site.cloud.set_status(one, status)
        transport = Transport(["127.0.0.1/32"], allow_http=True)
        driver = OpenStack(url=site.url, credentials=site.cloud.credentials, transport=transport)
        task = driver.start(one)
        assert site.cloud.instances[one].deeds[-1].action == "unshelve"
        assert driver.task(task).phase is Phase.DONE
        assert site.cloud.instances[one].status == "ACTIVE"


def test_a_stopped_server_is_started_by_one_call(modern: Replay) -> None:
    modern.say("POST", f"{MODERN}/s/action", Reply(202, b""))
    driver = acting(modern)
    driver.capabilities()
    before = driver.calls
    driver.start("s")
    assert driver.calls == before + 1


def test_a_paused_server_is_resumed_by_novas_other_word(modern: Replay) -> None:
    modern.say("GET", f"{MODERN}/s", server("PAUSED"))
    modern.say("POST", f"{MODERN}/s/action", Reply(202, b""))
    acting(modern).resume("s")
    assert modern.bodies[-1] == {"unpause": None}
    modern.replies["GET", f"{MODERN}/s", "", ""] = [server("SUSPENDED")]
    acting(modern).resume("s")
    assert modern.bodies[-1] == {"resume": None}


def test_resizes_are_confirmed_and_reverted(modern: Replay) -> None:
    modern.say("POST", f"{MODERN}/s/action", Reply(204, b""))
    driver = acting(modern)
    confirm = driver.confirm_resize("s")
    revert = driver.revert_resize("s")
    assert [body for body in modern.bodies if body and "auth" not in body] == [
        {"confirmResize": None},
        {"revertResize": None},
    ]
    # Nova sets no task_state while it confirms.
    modern.say(
        "GET", f"{MODERN}/s", server("VERIFY_RESIZE"), server("SHUTOFF"), server("REVERT_RESIZE", "x"), server("ACTIVE")
    )
    assert [driver.task(task).phase for task in (confirm, confirm, revert, revert)] == [
        Phase.RUNNING,
        Phase.DONE,
        Phase.RUNNING,
        Phase.DONE,
    ]


def test_a_resize_that_bounced_back_has_failed_and_one_that_confirmed_itself_is_done() -> None:
    ref = openstack_tasks.Ref("resize", "s", size="2")
    small, big = ({"status": "ACTIVE", TASK_STATE: None, "flavor": {"id": number}} for number in ("1", "2"))
    bounced = openstack_tasks.of_server(ref, small)
    assert (bounced.phase, bounced.words) == (
        Phase.FAILED,
        "The cloud stopped working on it, and the server is ACTIVE.",
    )
    assert openstack_tasks.of_server(ref, big).phase is Phase.DONE


def test_a_server_without_task_state_is_never_called_failed_for_being_slow() -> None:
    ref = openstack_tasks.Ref("stop", "s")
    assert openstack_tasks.of_server(ref, {"status": "ACTIVE"}).phase is Phase.RUNNING


def test_an_action_that_failed_inside_is_found_by_its_request(modern: Replay) -> None:
    modern.say("POST", f"{MODERN}/s/action", Reply(202, b"", {"X-Openstack-Request-Id": "req-1"}))
    driver = acting(modern)
    task = driver.reset("s")
    assert modern.bodies[-1] == {"reboot": {"type": "HARD"}}
    modern.say("GET", f"{MODERN}/s", server("ACTIVE"))
    record: dict[str, Any] = {"instanceAction": {"action": "reboot", "message": None}}
    modern.say("GET", f"{MODERN}/s/os-instance-actions/req-1", said(200, record),
               said(200, {"instanceAction": {"action": "reboot", "message": "Error"}}))  # fmt: skip
    assert driver.task(task).phase is Phase.DONE
    failed = driver.task(task)
    assert (failed.phase, failed.words) == (Phase.FAILED, "The cloud began it and could not finish it.")


def test_an_error_state_fails_the_task_in_the_clouds_own_words() -> None:
    row = {"status": "ERROR", TASK_STATE: None, "fault": {"code": 500, "message": "No valid host was found."}}
    progress = openstack_tasks.of_server(openstack_tasks.Ref("create", "s"), row)
    assert (progress.phase, progress.words) == (Phase.FAILED, "No valid host was found.")


@pytest.mark.parametrize("ref", ["", "{", "[]", "null", '{"do": 5}', '{"id": "x"}', '{"do": "stop", "evil": "x"}'])
def test_a_ref_that_we_did_not_write_is_said(modern: Replay, ref: str) -> None:
    with pytest.raises(Unexpected, match="not begun by"):
        acting(modern).task(Task(ref))


def test_a_rename_is_done_at_once_and_asks_nothing_more(essex: Replay) -> None:
    essex.say_recorded(recorded("essex.txt"), "putname")
    driver = acting(essex)
    task = driver.rename(ONE, "renamed")
    before = driver.calls
    assert driver.task(task).phase is Phase.DONE
    assert driver.calls == before


def test_a_delete_is_done_when_the_server_is_gone_and_at_once_when_it_already_was(essex: Replay) -> None:
    blocks = recorded("essex.txt")
    essex.say_recorded(blocks, "del", "deleted")
    gone = blocks["del"][1].rsplit("/", 1)[1]
    driver = acting(essex)
    assert driver.task(driver.delete(gone)).phase is Phase.DONE
    essex.replies["DELETE", f"{ESSEX}/{gone}", "", ""] = [blocks["deleted"][2]]
    already = driver.delete(gone)
    before = driver.calls
    assert driver.task(already).phase is Phase.DONE
    assert driver.calls == before


@pytest.mark.parametrize(
    ("row", "phase"),
    [
        ({"status": "ACTIVE", TASK_STATE: "deleting"}, Phase.RUNNING),
        ({"status": "ACTIVE", TASK_STATE: None}, Phase.RUNNING),
        ({"status": "ERROR", TASK_STATE: "deleting"}, Phase.RUNNING),
        ({"status": "ERROR", TASK_STATE: None}, Phase.FAILED),
        ({"status": "ERROR"}, Phase.RUNNING),
        ({"status": "SOFT_DELETED", TASK_STATE: None}, Phase.DONE),
    ],
)
def test_a_delete_is_told_from_what_the_server_was_before(row: dict[str, Any], phase: Phase) -> None:
    assert openstack_tasks.of_server(openstack_tasks.Ref("delete", "s"), row).phase is phase


def test_a_server_that_vanished_under_an_action_fails_it(modern: Replay) -> None:
    task = Task(openstack_tasks.Ref("stop", "nope").text())
    modern.say_recorded(recorded("modern.txt"), "404")
    progress = acting(modern).task(task)
    assert (progress.phase, progress.words) == (Phase.FAILED, "The server does not exist any more.")


# --- create


def test_essex_creates_with_everything_that_an_order_holds(essex: Replay) -> None:
    essex.say_recorded(recorded("essex.txt"), "create0")
    order = Order(
        "srv 0 é",
        image="70a599e0-31e7-49b7-b260-868f441e862b",
        size="1",
        key_name="k1",
        metadata={"a": "1"},
        user_data=b"#cloud-config\n",
        networks=("6f468f46-2f75-43ff-a0c6-9bae69a360c7",),
        zone="nova",
    )
    task = acting(essex).create(order)
    assert essex.bodies[-1]["server"] == {
        "name": "srv 0 é",
        "imageRef": "70a599e0-31e7-49b7-b260-868f441e862b",
        "flavorRef": "1",
        "key_name": "k1",
        "metadata": {"a": "1"},
        "user_data": "I2Nsb3VkLWNvbmZpZwo=",
        "networks": [{"uuid": "6f468f46-2f75-43ff-a0c6-9bae69a360c7"}],
        "availability_zone": "nova",
    }
    assert (task.server_id, task.password) == (ONE, "[removed]")
    assert "[removed]" not in task.ref
    essex.replies["GET", f"{ESSEX}/{ONE}", "", ""] = [server("BUILD", "spawning", progress=40), server("ACTIVE")]
    first, second = (acting(essex).task(task) for _ in range(2))
    assert (first.phase, first.percent, second.phase, second.server_id) == (Phase.RUNNING, 40, Phase.DONE, ONE)


def test_networks_may_be_left_out_of_a_create_since_no_microversion_is_asked_for(modern: Replay) -> None:
    modern.say("POST", MODERN, said(202, {"server": {"id": "s", "adminPass": "x"}}))
    acting(modern).create(Order("n", image="i", size="f"))
    assert modern.bodies[-1] == {"server": {"name": "n", "imageRef": "i", "flavorRef": "f"}}
    assert "Openstack-Api-Version" not in {name.title() for name in modern.headers[-1]}


def test_an_order_without_image_or_size_is_refused_before_any_server_is_made(modern: Replay) -> None:
    with pytest.raises(Refused, match="needs an image and a size"):
        acting(modern).create(Order("n", image="i"))
    assert ("POST", MODERN, "", "") not in modern.asked


def test_a_server_is_created_in_the_region_that_the_zone_names(modern: Replay) -> None:
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [
        v3_token(("north", "http://127.0.0.1:1/v2.1"), ("south", "http://127.0.0.1:1/south/v2.1"))
    ]
    modern.say("POST", "/south/v2.1/servers", said(202, {"server": {"id": "s"}}))
    modern.say("GET", "/south/v2.1/servers/s", server("ACTIVE"))
    driver = acting(modern)
    task = driver.create(Order("n", image="i", size="f", zone="south"))
    assert "availability_zone" not in modern.bodies[-1]["server"]
    assert driver.task(task).phase is Phase.DONE


def test_a_server_of_the_second_region_is_acted_on_there(modern: Replay) -> None:
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [
        v3_token(("north", "http://127.0.0.1:1/v2.1"), ("south", "http://127.0.0.1:1/south/v2.1"))
    ]
    modern.say("POST", "/south/v2.1/servers/s/action", Reply(202, b""))
    assert json.loads(acting(modern).stop("s").ref)["region"] == "south"


def test_a_quota_that_is_used_up_is_a_refusal_and_no_plea_for_patience(essex: Replay) -> None:
    over = {"overLimit": {"message": "Quota exceeded: 10 instances.", "code": 413, "retryAfter": 0}}
    essex.say("POST", ESSEX, said(413, over, Retry_After="0"))
    with pytest.raises(Refused, match="Quota exceeded"):
        acting(essex).create(Order("n", image="i", size="1"))


def test_the_rate_limit_of_essex_says_how_long_to_wait(essex: Replay) -> None:
    essex.say("POST", f"{ESSEX}/{ONE}/action", recorded("essex.txt")["over2"][2])
    with pytest.raises(SlowDown) as caught:
        acting(essex).stop(ONE)
    assert caught.value.retry_after == 2


# --- changes


def test_changes_tell_deleted_servers_from_changed_ones(modern: Replay) -> None:
    page = recorded("modern.txt")["cs"][2]
    ids = [row["id"] for row in json.loads(page.body)["servers"]]
    modern.say("GET", f"{MODERN}/detail?limit=1000", page)
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker={ids[-1]}", EMPTY)
    changed, gone = acting(modern).changes(datetime(2026, 11, 22, 17, 12, 30, tzinfo=UTC))
    assert gone == {"7e06766d-48e3-490a-a827-4385b1b98d85"}
    assert [facts.external_id for facts in changed] == [one for one in ids if one not in gone]
    assert "changes-since=2026-11-22T17%3A12%3A30Z" in modern.queries[-1]


def test_changes_of_an_account_where_nothing_changed_cost_one_call(modern: Replay) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1000", EMPTY)
    driver = acting(modern)
    driver.capabilities()
    before = driver.calls
    assert driver.changes(datetime(2026, 1, 1, tzinfo=UTC)) == ((), frozenset())
    assert driver.calls == before + 1


# --- metadata and user data


def test_metadata_is_set_and_deleted_key_by_key_and_the_rest_stays(essex: Replay) -> None:
    blocks = recorded("essex.txt")
    essex.say_recorded(blocks, "meta", "metadel")
    essex.say("GET", f"{ESSEX}/{ONE}/metadata", said(200, {"metadata": {"a": "1", "x": "y"}}))
    driver = acting(essex)
    driver.set_metadata(ONE, {"x": "y"})
    assert essex.bodies[-1] == {"metadata": {"x": "y"}}
    driver.set_metadata(ONE, {"x": None, "never there": None})
    assert essex.asked[-1][:2] == ("DELETE", f"{ESSEX}/{ONE}/metadata/x")
    assert driver.metadata(ONE) == {"a": "1", "x": "y"}


def test_metadata_of_a_server_that_is_not_there_is_refused(essex: Replay) -> None:
    with pytest.raises(Refused, match="404"):
        acting(essex).set_metadata("nope", {"a": None})


@pytest.mark.parametrize("call", [lambda driver: driver.user_data("s"), lambda driver: driver.set_user_data("s", b"")])
def test_user_data_is_the_servers_alone_and_the_reason_says_so(modern: Replay, call: Any) -> None:
    driver = acting(modern)
    driver.capabilities()
    before = driver.calls
    with pytest.raises(Refused, match="user data"):
        call(driver)
    assert driver.calls == before


def test_states_that_a_table_asks_for_are_those_that_nova_acts_in() -> None:
    modern = CAPABILITIES["modern"]
    assert modern[Operation.START].refusal(State.RUNNING) == "It must be stopped to be started."
    assert modern[Operation.START].refusal(State.STOPPED) == ""
    assert modern[Operation.CONFIRM_RESIZE].refusal(State.RUNNING) == "Resize it first."
    assert modern[Operation.CONFIRM_RESIZE].refusal(State.CHANGING) == ""
