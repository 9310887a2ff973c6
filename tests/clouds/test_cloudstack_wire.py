"""CloudStack's wire: signature, pages, throttling, and errors of every kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from accounts.clouds import cloudstack_replies, cloudstack_wire
from accounts.clouds.cloudstack_replies import Declined
from accounts.clouds.cloudstack_wire import Wire
from console.lib.faults import BadCredentials, Fault, Refused, SlowDown, Unexpected, Unreachable
from console.lib.outbound import Transport
from tests.clouds.cloudstack_account import (
    KEYS,
    Said,
    Scripted,
    error,
    java,
    listing,
    machine,
    opened,
    paged,
    scripted,
    signature,
)


@pytest.fixture
def cloud() -> Iterator[Scripted]:
    with scripted() as served:
        served.say("listProjects", {})
        yield served


def servers(count: int) -> list[dict[str, Any]]:
    return [machine(number) for number in range(count)]


# --- the signature


@given(st.text())
@example("~")
@example("a b*c[0]+d")
@example("été / 日本 🎈")
def test_a_value_is_encoded_as_java_encodes_it(value: str) -> None:
    assert cloudstack_wire.encoded(value) == java(value)


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(st.dictionaries(st.sampled_from(["name", "displayname", "tags[0].value", "userData", "id"]), texts))
def test_any_call_is_signed_as_the_server_signs_it(params: dict[str, str]) -> None:
    url = "http://127.0.0.1:1"
    wire = Wire(url, KEYS["api_key"], KEYS["secret_key"], Transport(allow_http=True).session(url))
    signed = {"command": "updateVirtualMachine", "apiKey": KEYS["api_key"], **params}
    wire._sign(signed)
    assert signed["signature"] == signature(signed, KEYS["secret_key"])


@pytest.mark.parametrize("name", ["web~1", "a b", "star*", "list[0]", "plus+and&more=%", "été", "日本"])
def test_a_name_with_a_tilde_or_anything_else_is_signed_right_over_get_and_post(cloud: Scripted, name: str) -> None:
    cloud.say("updateVirtualMachine", {"virtualmachine": {}})
    cloud.say("listVirtualMachines", {})
    driver = opened(cloud.url)
    driver.rename("vm-1", name)
    assert driver.server(name) is None
    assert cloud.asked[-1].params["id"] == name
    renamed = next(asked for asked in cloud.asked if asked.command == "updateVirtualMachine")
    assert (renamed.method, renamed.params["displayname"]) == ("POST", name)
    assert renamed.kind == "application/x-www-form-urlencoded; charset=UTF-8"


def test_calls_expire_and_go_to_the_api_whatever_staff_registered(cloud: Scripted) -> None:
    cloud.say("listVirtualMachines", {})
    for path in ("", "/", "/client", "/client/", "/client/api", "/client/api/"):
        opened(cloud.url + path).check()
    assert {asked.path for asked in cloud.asked} == {"/client/api"}
    assert {asked.params["signatureVersion"] for asked in cloud.asked} == {"3"}
    assert all(asked.params["expires"].endswith("+0000") for asked in cloud.asked)
    assert cloudstack_wire.address("https://c.example/cloud/api?x=1") == "https://c.example/cloud/api"


def test_only_what_reads_goes_by_get(cloud: Scripted) -> None:
    cloud.say("startVirtualMachine", {"jobid": "j"})
    cloud.say("queryAsyncJobResult", {"jobstatus": 0})
    driver = opened(cloud.url)
    driver.task(driver.start("vm-1"))
    assert [(asked.method, asked.command) for asked in cloud.asked] == [
        ("GET", "listCapabilities"),
        ("POST", "startVirtualMachine"),
        ("GET", "queryAsyncJobResult"),
    ]
    assert driver.calls == 3


# --- pages


@pytest.mark.parametrize("count", ["total", "page", "none"])
@pytest.mark.parametrize("many", [0, 1, 500, 501, 1234])
def test_a_count_that_lies_ends_no_listing(cloud: Scripted, many: int, count: str) -> None:
    cloud.say("listVirtualMachines", paged("virtualmachine", servers(many), count=count))
    found = listing(opened(cloud.url))
    assert [facts.external_id for facts in found] == [f"vm-{number}" for number in range(many)]


def test_an_empty_page_that_still_says_the_total_is_the_end(cloud: Scripted) -> None:
    cloud.say("listVirtualMachines", {"count": 9, "virtualmachine": servers(9)}, {"count": 9})
    assert len(listing(opened(cloud.url))) == 9


@pytest.mark.parametrize("text", ["Page size can not exceed max allowed page size value: 40", "pagesize exceeds"])
def test_a_smaller_page_is_asked_for_when_the_cloud_says_so(cloud: Scripted, text: str) -> None:
    allowed = 40 if "40" in text else 100
    whole = paged("virtualmachine", servers(130), allowed)

    def answer(params: dict[str, str]) -> Said:
        return error(431, text, cserrorcode=4350) if int(params["pagesize"]) > allowed else whole(params)  # type: ignore[operator]

    cloud.say("listVirtualMachines", answer)
    assert len(listing(opened(cloud.url))) == 130
    sizes = [int(asked.params["pagesize"]) for asked in cloud.asked if asked.command == "listVirtualMachines"]
    assert sizes[0] == 500
    assert set(sizes[1:]) == {allowed}


def test_a_cloud_that_allows_no_page_size_is_not_asked_for_ever(cloud: Scripted) -> None:
    cloud.say("listVirtualMachines", error(431, "Page size can not exceed max allowed page size value: 100"))
    with pytest.raises(Refused, match="Page size"):
        listing(opened(cloud.url))
    assert cloud.commands().count("listVirtualMachines") == 2


def test_a_server_that_two_pages_show_is_listed_once(cloud: Scripted) -> None:
    cloud.say(
        "listVirtualMachines",
        {"virtualmachine": [machine(1), machine(2)]},
        {"virtualmachine": [machine(2), machine(3)]},
        {},
    )
    assert [facts.external_id for facts in listing(opened(cloud.url))] == ["vm-1", "vm-2", "vm-3"]


def test_a_cloud_that_repeats_a_page_of_servers_is_no_complete_listing(cloud: Scripted) -> None:
    cloud.say("listVirtualMachines", {"virtualmachine": servers(3)})
    with pytest.raises(Unexpected, match="repeats the same page"):
        listing(opened(cloud.url))


def test_an_offer_that_ignores_pages_is_read_once(cloud: Scripted) -> None:
    cloud.say("listSSHKeyPairs", {"count": 1, "sshkeypair": [{"name": "k", "fingerprint": "00:11"}]})
    assert [pair.name for pair in opened(cloud.url).key_pairs()] == ["k"]


def test_servers_of_projects_are_listed_too_and_none_twice(cloud: Scripted) -> None:
    own, project = paged("virtualmachine", servers(3)), paged("virtualmachine", [machine(2), machine(7)])

    def answer(params: dict[str, str]) -> Said:
        return (project if params.get("projectid") == "-1" else own)(params)  # type: ignore[operator]

    cloud.replies["listProjects"] = [Said({"count": 1, "project": [{"id": "p", "name": "shop"}]})]
    cloud.say("listVirtualMachines", answer)
    assert [facts.external_id for facts in listing(opened(cloud.url))] == ["vm-0", "vm-1", "vm-2", "vm-7"]


def test_without_the_right_to_list_projects_their_servers_are_looked_for_all_the_same(cloud: Scripted) -> None:
    cloud.replies["listProjects"] = [error(432, "The given command:listProjects does not exist")]
    cloud.say("listVirtualMachines", {})
    assert listing(opened(cloud.url)) == []
    listings = [asked for asked in cloud.asked if asked.command == "listVirtualMachines"]
    assert [asked.params.get("projectid") for asked in listings] == [None, "-1"]


# --- what goes wrong


def test_a_fault_in_mid_listing_is_no_end(cloud: Scripted) -> None:
    cloud.say("listVirtualMachines", {"virtualmachine": servers(500)}, error(530, "Internal error"))
    with pytest.raises(Unexpected, match="Internal error"):
        listing(opened(cloud.url))


def test_throttling_says_when_to_come_back_in_milliseconds(cloud: Scripted) -> None:
    text = "The given user has reached his/her account api limit, please retry after 2500 ms."
    cloud.say("listVirtualMachines", error(429, text))
    with pytest.raises(SlowDown, match="retry after 2500") as slow:
        listing(opened(cloud.url))
    assert slow.value.retry_after == 2.5


@pytest.mark.parametrize(
    ("told", "fault", "words"),
    [
        (error(401, "unable to verify user credentials and/or request signature"), BadCredentials, "unable to verify"),
        (error(401, "The given command does not exist or it is not available for user"), Refused, "not available"),
        (error(432, "The given command:listVirtualMachines does not exist"), Refused, "does not exist"),
        (error(431, "Invalid parameter zoneid"), Refused, "Invalid parameter"),
        (error(431, "Unable to find", status=200), Refused, "Unable to find"),
        (error(531, "Acct[2] does not have permission"), Refused, "permission"),
        (error(532, "Maximum number of resources exceeded"), Refused, "Maximum"),
        (error(533, "Insufficient capacity"), Refused, "Insufficient"),
        (error(536, "In use"), Refused, "In use"),
        (error(530, "Internal error executing command"), Unexpected, "failed inside"),
        (Said(b'{"errorresponse": {"errorcode": 431, "errortext": "other name"}}', 431), Refused, "other name"),
        (Said(b'{"restorevmresponse": {"errorcode": 533, "errortext": "x"}}', 533), Refused, "533"),
        (Said(b"<html>gateway</html>", 502, "text/html"), Unreachable, "502"),
        (Said(b"", 504, "text/html"), Unreachable, "504"),
        (Said(b"<html>busy</html>", 503, "text/html", {"Retry-After": "7"}), SlowDown, "503"),
        (Said(b"<html>busy</html>", 429, "text/html"), SlowDown, "429"),
        (Said(b"<html>login</html>", 200, "text/html"), Unexpected, "/client/api"),
        (Said(b"<html>no</html>", 404, "text/html"), Unexpected, "/client/api"),
        (Said(b"", 401, "text/html"), BadCredentials, "credentials"),
        (Said(b"no", 403, "text/plain"), Refused, "403"),
        (Said(b'{"listvirtualmachinesresponse": {"virtualm', 200), Unexpected, "not complete JSON"),
        (Said(b'{"a": {}, "b": {}}', 200), Unexpected, "shape"),
        (Said(b"[]", 200), Unexpected, "/client/api|shape"),
        (Said(b'{"listvirtualmachinesresponse": {"virtualmachine": [7]}}'), Unexpected, "shape"),
        (Said(b'{"listvirtualmachinesresponse": {"virtualmachine": {"id": 1}}}'), Unexpected, "shape"),
        (Said(b'{"listvirtualmachinesresponse": {"virtualmachine": [{"id": 1}]}}'), Unexpected, "shape"),
    ],
)
def test_every_kind_of_error_is_the_fault_that_says_who_must_act(
    cloud: Scripted, told: Said, fault: type[Fault], words: str
) -> None:
    cloud.say("listVirtualMachines", told)
    with pytest.raises(fault, match=words) as raised:
        listing(opened(cloud.url))
    if told.headers:
        assert isinstance(raised.value, SlowDown)
        assert raised.value.retry_after == 7.0


def test_the_clouds_words_never_repeat_a_secret(cloud: Scripted) -> None:
    cloud.say("listVirtualMachines", error(431, "bad call by key-1 with s3cret-word"))
    with pytest.raises(Refused) as refused:
        listing(opened(cloud.url))
    assert "s3cret-word" not in refused.value.words
    assert "key-1" not in refused.value.words


@pytest.mark.parametrize("credentials", [{}, {"api_key": "a"}, {"api_key": "", "secret_key": "b"}])
def test_credentials_that_lack_a_part_make_no_call(cloud: Scripted, credentials: dict[str, str]) -> None:
    with pytest.raises(BadCredentials, match="lack"):
        opened(cloud.url, credentials=credentials)
    assert cloud.asked == []


def test_wrong_keys_are_refused_in_the_clouds_words(cloud: Scripted) -> None:
    with pytest.raises(BadCredentials, match="unable to verify user credentials"):
        opened(cloud.url, credentials={"api_key": "key-1", "secret_key": "other"}).check()


_NAMES = ["errorcode", "errortext", "count", "virtualmachine", "id", "listresponse"]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.text("a1:. ", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=3),
    max_leaves=8,
)


@given(status=st.sampled_from([200, 401, 429, 431, 530]), value=values, whole=st.binary(max_size=30) | st.none())
def test_no_reply_can_raise_anything_but_a_fault(status: int, value: object, whole: bytes | None) -> None:
    response = requests.Response()
    response.status_code = status
    response._content = json.dumps(value).encode() if whole is None else whole
    try:
        inner = cloudstack_replies.body(response)
        rows = cloudstack_wire.listed(inner)
    except Fault as fault:
        assert len(fault.words) < 500
        return
    assert all(isinstance(row, dict) for row in rows)


def test_a_refusal_keeps_the_clouds_code(cloud: Scripted) -> None:
    cloud.say("updateVirtualMachine", error(536, "In use"))
    with pytest.raises(Declined) as refused:
        opened(cloud.url).rename("vm-1", "x")
    assert refused.value.code == 536
