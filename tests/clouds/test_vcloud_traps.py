"""What real vCloud cells do that surprises a client (../shared/CLOUDS.md §2.1–2.2), over HTTP from a replayed cell."""

from __future__ import annotations

import pytest

from accounts import clouds
from accounts.clouds import Address, State
from accounts.clouds import vcloud_listing as listing
from console.lib.faults import BadCredentials, Refused, SlowDown, Unexpected, Unreachable
from console.lib.outbound import Transport
from tests.clouds.replay import Replay, Reply
from tests.clouds.vcloud_account import (
    V10,
    asked,
    error,
    listed,
    new_cell,
    old_cell,
    opened,
    page,
    record,
    said,
    versions,
    vm,
)

# --- versions and signing in


@pytest.mark.parametrize(
    ("offered", "wanted", "spoken"),
    [
        (("1.0", "1.5", "5.1"), None, "5.1"),
        (("1.0", "1.5", "5.1"), "1.5", "1.5"),
        (("5.5", "9.0", "27.0"), None, "27.0"),  # as numbers, not as text
        (("36.0", "36.3-", "37.0-"), None, "36.0"),  # deprecated ones are left alone
        (("1.5-", "5.1-"), None, "5.1"),  # unless there is nothing else
        (("31.0", "32.0", "33.0-alpha"), None, "32.0"),
    ],
)
def test_the_newest_version_that_is_not_deprecated_is_spoken(
    replay: Replay, offered: tuple[str, ...], wanted: str | None, spoken: str
) -> None:
    new_cell(replay)
    replay.replies.pop(("GET", "/api/versions", "", ""))
    versions(replay, *offered)
    replay.say("GET", "/api/query", page(total=0))
    assert opened(replay.url, version=wanted).check().version == f"vCloud API {spoken}"


def test_a_version_that_the_cell_does_not_offer_is_refused_with_those_it_does(replay: Replay) -> None:
    versions(replay, "1.5", "5.1")
    with pytest.raises(Refused, match=r"does not offer version 36\.0\. It offers 1\.5, 5\.1\."):
        opened(replay.url, version="36.0").check()


def test_a_cell_older_than_1_0_is_refused(replay: Replay) -> None:
    versions(replay, "0.8")
    with pytest.raises(Refused, match=r"no version of the vCloud API from 1\.0 on"):
        opened(replay.url).check()


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/versions", "/api/v1.0/login", "/tenant/acme", "/cloud/org/x/"])
def test_the_registered_address_may_be_any_of_those_that_people_copy(replay: Replay, path: str) -> None:
    old_cell(replay)
    assert opened(replay.url + path).check().generation == "1.0"


def test_every_request_since_1_5_says_the_version_in_accept(replay: Replay) -> None:
    new_cell(replay)
    replay.say("GET", "/api/query", page(total=0))
    opened(replay.url).check()
    assert {headers["Accept"] for headers in replay.headers[1:]} == {"application/*+xml;version=1.5"}


def test_a_1_0_token_that_comes_as_a_cookie_only_goes_back_as_both(replay: Replay) -> None:
    old_cell(replay)
    login = ("POST", "/api/v1.0/login", "", "")
    [body] = [reply.body for reply in replay.replies.pop(login)]
    replay.say("POST", "/api/v1.0/login", said(body, Set_Cookie="vcloud-token=tok-9; Secure; Path=/"))
    opened(replay.url).check()
    assert replay.headers[-1]["x-vcloud-authorization"] == "tok-9"
    assert replay.headers[-1]["Cookie"] == "vcloud-token=tok-9"


def test_a_login_address_that_points_elsewhere_gets_no_password(replay: Replay) -> None:
    body = "<SupportedVersions><VersionInfo><Version>1.5</Version><LoginUrl>http://192.0.2.1/api/sessions</LoginUrl>"
    replay.say("GET", "/api/versions", said(body + "</VersionInfo></SupportedVersions>"))
    with pytest.raises(Refused, match=r"192\.0\.2\.1.*only .* is registered"):
        opened(replay.url).check()


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_credentials_are_told_without_the_password(replay: Replay, status: int) -> None:
    versions(replay, "1.5")
    replay.say(
        "POST", "/api/sessions", error(status, "X", "No user with s3cret-word") if status == 403 else said("", 401)
    )
    with pytest.raises(BadCredentials) as caught:
        opened(replay.url).check()
    assert "s3cret-word" not in caught.value.words


def test_an_api_token_that_was_revoked_is_bad_credentials(replay: Replay) -> None:
    versions(replay, "37.0")
    replay.say("POST", "/oauth/tenant/acme/token", said('{"error":"invalid_grant"}', 400))
    with pytest.raises(BadCredentials, match="revoked"):
        opened(replay.url, {"api_token": "t-1", "org": "acme"}).check()


@pytest.mark.parametrize("body", ["", "[]", '{"access_token": null}', '{"access_token": "a\\nb"}', "<html/>"])
def test_an_exchange_of_the_api_token_that_makes_no_sense_is_a_fault(replay: Replay, body: str) -> None:
    versions(replay, "37.0")
    replay.say("POST", "/oauth/tenant/acme/token", said(body))
    replay.say("GET", "/api/session", said("", 401))
    with pytest.raises((Unexpected, BadCredentials)):
        opened(replay.url, {"api_token": "t-1", "org": "acme"}).check()


def test_an_api_token_at_an_old_cell_is_refused(replay: Replay) -> None:
    versions(replay, "5.1")
    with pytest.raises(Refused, match="knows no API tokens"):
        opened(replay.url, {"api_token": "t-1", "org": "acme"}).check()


@pytest.mark.parametrize("credentials", [{}, {"username": "a", "org": "o"}, {"api_token": "t"}])
def test_credentials_that_lack_a_part_make_no_call(credentials: dict[str, str]) -> None:
    with pytest.raises(BadCredentials, match="lack"):
        clouds.open("vcloud", url="http://127.0.0.1:9", credentials=credentials, transport=Transport())


# --- sessions that run out


@pytest.mark.parametrize("status", [401, 403])
def test_an_idle_session_is_signed_in_again_once_and_the_call_repeated(replay: Replay, status: int) -> None:
    old_cell(replay, "vapp-1")
    expired = said("", 401) if status == 401 else error(403, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", "Access is forbidden")
    vapp = f'<VApp xmlns="{V10}"><Children>{vm(replay, root="/api/v1.0", space=V10)}</Children></VApp>'
    replay.say("GET", "/api/v1.0/vApp/vapp-1", expired, said(vapp))
    if status == 403:
        [org] = replay.replies["GET", "/api/v1.0/org/1", "", ""]
        replay.replies["GET", "/api/v1.0/org/1", "", ""] = [org, expired, org]  # asked to tell the two 403s apart
    assert [facts.external_id for facts in listed(opened(replay.url))] == ["vm-a"]
    assert asked(replay, "/api/v1.0/login") == 2


def test_a_session_that_runs_out_twice_is_bad_credentials_and_not_a_loop(replay: Replay) -> None:
    new_cell(replay)
    replay.say("GET", "/api/vApp/vm-a", said("", 401))
    with pytest.raises(BadCredentials):
        opened(replay.url).server("vm-a")
    assert asked(replay, "/api/sessions") == 2


def test_not_found_is_told_as_403_and_costs_no_new_session(replay: Replay) -> None:
    new_cell(replay)
    replay.say("GET", "/api/vApp/vm-a", error(403, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", "No access to entity"))
    driver = opened(replay.url)
    assert driver.server("vm-a") is None
    assert asked(replay, "/api/sessions") == 1
    with pytest.raises(Refused, match="does not know this server any more"):
        driver.start("vm-a")


def test_a_plain_403_is_not_a_missing_server(replay: Replay) -> None:
    new_cell(replay)
    replay.say("GET", "/api/vApp/vm-a", said("<html>Forbidden by the proxy</html>", 403))
    with pytest.raises(Refused, match="Forbidden by the proxy"):
        opened(replay.url).server("vm-a")


# --- errors


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (error(400, "BUSY_ENTITY", "The entity is busy"), SlowDown),
        (error(400, "OPERATION_LIMITS_EXCEEDED", "Too many"), SlowDown),
        (said("", 503, Retry_After="7"), SlowDown),
        (said("slow", 429), SlowDown),
        (said("<html>Bad gateway</html>", 502), Unreachable),
        (error(500, "INTERNAL_SERVER_ERROR", "[ 1 ] NullPointer"), Unexpected),
        (error(400, "INVALID_STATE", "It is not powered on"), Refused),
        (said("", 406), Refused),
    ],
)
def test_each_error_says_who_must_act(replay: Replay, reply: Reply, fault: type[Exception]) -> None:
    new_cell(replay)
    replay.say("GET", "/api/vApp/vm-a", said(vm(replay, "power:reset")))
    replay.say("POST", "/do/power:reset", reply)
    with pytest.raises(fault) as caught:
        opened(replay.url).reset("vm-a")
    if reply.headers.get("Retry-After"):
        assert isinstance(caught.value, SlowDown)
        assert caught.value.retry_after == 7.0


# --- listing


def test_pages_that_the_cell_cut_shorter_are_followed_to_their_end(replay: Replay) -> None:
    new_cell(replay, "9.0")
    following = f"{replay.url}/api/query?page=2"
    first = page(record(replay, "a", ipAddress="10.0.0.1", networkName="n"), total=2, following=following)
    replay.say("GET", "/api/query", first, page(record(replay, "b"), total=2))
    found = listed(opened(replay.url))
    assert [facts.external_id for facts in found] == ["vm-a", "vm-b"]
    assert found[0].addresses == (Address("10.0.0.1", 4, "", "n"),)
    assert {facts.region for facts in found} == {"vdc-a"}


def test_a_listing_that_lacks_what_it_counts_is_read_again_and_then_a_fault(replay: Replay) -> None:
    new_cell(replay, "9.0")
    replay.say("GET", "/api/query", page(record(replay, "a"), total=2))
    with pytest.raises(Unexpected, match="counts 2 entries but lists 1"):
        listed(opened(replay.url))
    assert asked(replay, "/api/query") == listing.RESTARTS + 1


def test_a_server_that_moved_to_an_earlier_page_is_found_on_the_second_reading(replay: Replay) -> None:
    new_cell(replay, "9.0")
    replay.say("GET", "/api/query", page(record(replay, "a"), total=2),
               page(record(replay, "a"), record(replay, "b"), total=2))  # fmt: skip
    assert [facts.name for facts in listed(opened(replay.url))] == ["a", "b"]


def test_a_next_page_that_is_the_same_page_ends_in_a_fault(replay: Replay) -> None:
    new_cell(replay, "9.0")
    replay.say("GET", "/api/query", page(record(replay, "a"), total=9, following=f"{replay.url}/api/query?page=2"))
    with pytest.raises(Unexpected, match="does not end"):
        listed(opened(replay.url))


def test_a_next_page_on_another_host_is_not_asked(replay: Replay) -> None:
    new_cell(replay, "9.0")
    replay.say("GET", "/api/query", page(record(replay, "a"), total=9, following="http://192.0.2.7/api/query"))
    with pytest.raises(Refused, match=r"192\.0\.2\.7"):
        listed(opened(replay.url))


def test_templates_and_deleted_records_are_no_servers(replay: Replay) -> None:
    new_cell(replay, "9.0")
    rows = [record(replay, "a", isVAppTemplate="true"), record(replay, "b", isDeleted="true"), record(replay, "c")]
    replay.say("GET", "/api/query", page(*rows, total=3))
    assert [facts.name for facts in listed(opened(replay.url))] == ["c"]


def test_powered_off_but_deployed_is_stopped_and_says_so(replay: Replay) -> None:
    new_cell(replay, "9.0")
    rows = [
        record(replay, "off", status="POWERED_OFF", isDeployed="false"),
        record(replay, "kept", status="POWERED_OFF", isDeployed="true"),
        record(replay, "word", status="PARTIALLY_POWERED_OFF", isDeployed="true"),
        record(replay, "busy", isBusy="true"),
        record(replay, "odd", status="TELEPORTING"),
    ]
    replay.say("GET", "/api/query", page(*rows, total=5))
    assert {facts.name: (facts.state, facts.raw_state) for facts in listed(opened(replay.url))} == {
        "off": (State.STOPPED, "POWERED_OFF"),
        "kept": (State.STOPPED, "PARTIALLY_POWERED_OFF"),
        "word": (State.STOPPED, "PARTIALLY_POWERED_OFF"),
        "busy": (State.CHANGING, "POWERED_ON, busy"),
        "odd": (State.UNKNOWN, "TELEPORTING"),
    }


def test_a_vapp_that_is_deleted_during_the_walk_is_left_out(replay: Replay) -> None:
    old_cell(replay, "vapp-1", "vapp-2")
    full = replay.replies["GET", "/api/v1.0/vdc/1", "", ""][0]
    less = Reply(200, full.body.replace(b"vApp/vapp-2", b"vApp/vapp-1"), full.headers)
    replay.replies["GET", "/api/v1.0/vdc/1", "", ""] = [full, less]
    vapp = f'<VApp xmlns="{V10}"><Children>{vm(replay, root="/api/v1.0", space=V10)}</Children></VApp>'
    replay.say("GET", "/api/v1.0/vApp/vapp-1", said(vapp))
    replay.say("GET", "/api/v1.0/vApp/vapp-2", error(403, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", "No access"))
    assert [facts.external_id for facts in listed(opened(replay.url))] == ["vm-a"]


def test_a_vapp_that_is_listed_but_not_shown_fails_the_walk_so_that_nothing_looks_deleted(replay: Replay) -> None:
    old_cell(replay, "vapp-1")
    replay.say("GET", "/api/v1.0/vApp/vapp-1", error(403, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", "No access"))
    with pytest.raises(Refused, match="cannot be listed completely"):
        listed(opened(replay.url))


def test_a_region_that_is_no_data_centre_is_a_fault_and_not_an_empty_list(replay: Replay) -> None:
    old_cell(replay)
    with pytest.raises(Unexpected, match="no virtual data centre named mars"):
        listed(opened(replay.url, region="mars"))
