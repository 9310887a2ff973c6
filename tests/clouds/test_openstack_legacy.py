"""Diablo (Nova 2011.3.1): its own X-Auth sign-in, Keystone's first release, and Nova v1.0 and v1.1, as recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from accounts.clouds import Address, State, openstack
from accounts.clouds.acting import ActingDriver
from accounts.clouds.openstack_legacy import escaped
from accounts.clouds.operations import Order, Phase, Rate, Size, Task
from console.lib.faults import BadCredentials, Refused, SlowDown, Unexpected
from tests.clouds.openstack_account import EMPTY, PASSWORD, listed, opened, said
from tests.clouds.replay import Replay, Reply, recorded

DEMO = "/v1.1/demoproj"
ROOT = {"versions": [{"id": "v1.1", "status": "CURRENT"}, {"id": "v1.0", "status": "DEPRECATED"}]}
CREDENTIALS = {"username": "demo", "password": "s3cret-word", "project": "demoproj"}


def signed(url: str, number: int = 1) -> Reply:
    """204 with the token and the address in headers, as both versions answer it (diablo.txt)."""
    return Reply(204, b"", {"X-Auth-Token": f"t{number}", "X-Server-Management-Url": url})


def diablo(replay: Replay, version: str, path: str = "", **credentials: str) -> ActingDriver:
    """A driver at a replayed Nova that has only its own sign-in."""
    replay.say("GET", "/", said(200, ROOT))
    base = f"{replay.url}/v1.0" if version == "1.0" else f"{replay.url}{DEMO}"
    replay.say("GET", f"/v{version}", signed(base))
    for name in ("flavors", "images"):
        _, _, reply = recorded("diablo.txt")[f"v{version} GET /{name}/detail"]
        replay.say("GET", f"{base.removeprefix(replay.url)}/{name}/detail?limit=1000", reply)
    driver = opened(replay, path or f"/v{version}", credentials=CREDENTIALS | credentials)
    return cast(ActingDriver, driver)


def test_a_nova_from_before_keystone_is_signed_in_to_by_headers_on_its_version_root(replay: Replay) -> None:
    driver = diablo(replay, "1.1")
    replay.say("GET", f"{DEMO}/servers/detail?limit=1", EMPTY)
    checked = driver.check()
    assert (checked.version, checked.generation) == ("X-Auth, Nova v1.1", "diablo")
    assert replay.asked[0][:2] == ("GET", "/v1.1")
    sent = replay.headers[0]
    assert (sent["X-Auth-User"], sent["X-Auth-Key"], sent["X-Auth-Project-Id"]) == ("demo", "s3cret-word", "demoproj")
    assert replay.headers[1]["X-Auth-Token"] == "t1"


@pytest.mark.parametrize(("path", "version"), [("", None), ("", "1.1"), ("/v1.1", None), ("/v1.1/", "v1.1")])
def test_the_legacy_sign_in_is_found_from_the_root_the_url_or_the_registration(
    replay: Replay, path: str, version: str | None
) -> None:
    diablo(replay, "1.1")
    replay.say("GET", f"{DEMO}/servers/detail?limit=1", EMPTY)
    assert opened(replay, path, version=version, credentials=CREDENTIALS).check().generation == "diablo"


def test_v1_0_is_its_own_generation_and_names_the_project_in_every_call(replay: Replay) -> None:
    driver = diablo(replay, "1.0")
    replay.say("GET", "/v1.0/servers/detail?limit=1", EMPTY)
    checked = driver.check()
    assert (checked.version, checked.generation) == ("X-Auth, Nova v1.0", "diablo-1.0")
    assert replay.headers[1]["X-Auth-Project-Id"] == "demoproj"


def test_a_project_that_is_appended_unescaped_is_quoted(replay: Replay) -> None:
    replay.say("GET", "/v1.1", signed(f"{replay.url}/v1.1/My Proj"))
    replay.say("GET", "/v1.1/My%20Proj/servers/detail?limit=1", EMPTY)
    replay.say("GET", "/", said(200, ROOT))
    assert opened(replay, "/v1.1", credentials=CREDENTIALS | {"project": "My Proj"}).check()


@pytest.mark.parametrize(
    ("url", "project", "read"),
    [
        ("http://h/v1.1/My Proj", "My Proj", "http://h/v1.1/My%20Proj"),
        ("http://h/v1.1/50%/x", "50%/x", "http://h/v1.1/50%25%2Fx"),
        ("http://h/v1.1/münchen".encode().decode("latin-1"), "münchen", "http://h/v1.1/m%C3%BCnchen"),
        ("http://h/v1.1/a%20b/", "other", "http://h/v1.1/a%20b"),
        ("http://h/v1.0", "demo", "http://h/v1.0"),
    ],
)
def test_management_urls_are_escaped_once(url: str, project: str, read: str) -> None:
    assert escaped(url, project) == read


def test_a_user_and_a_project_in_any_script_are_sent_as_utf_8(replay: Replay) -> None:
    replay.say("GET", "/v1.1", signed(f"{replay.url}/v1.1/m%C3%BCnchen"))
    replay.say("GET", "/v1.1/m%C3%BCnchen/servers/detail?limit=1", EMPTY)
    replay.say("GET", "/", said(200, ROOT))
    assert opened(replay, "/v1.1", credentials=CREDENTIALS | {"project": "münchen"}).check()
    assert replay.headers[0]["X-Auth-Project-Id"].encode("latin-1").decode() == "münchen"


def test_a_token_that_ran_out_after_two_days_is_renewed_once(replay: Replay) -> None:
    driver = diablo(replay, "1.1")
    replay.say("GET", "/v1.1", signed(f"{replay.url}{DEMO}", 2))
    replay.say("GET", f"{DEMO}/servers/detail?limit=1000", recorded("diablo.txt")["v1.1 badtok"][2], EMPTY)
    assert listed(driver) == []
    assert [sent.get("X-Auth-Token") for sent in replay.headers] == [None, "t1", None, "t2"]


def test_a_wrong_key_is_bad_credentials_without_the_key_in_the_words(replay: Replay) -> None:
    words = {"unauthorized": {"message": "No s3cret-word here", "code": "401"}}
    replay.say("GET", "/v1.1", said(401, words))
    with pytest.raises(BadCredentials, match=r"No \[removed\] here"):
        opened(replay, "/v1.1", credentials=CREDENTIALS).check()


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "t"}, {"X-Server-Management-Url": "http://127.0.0.1/v1.1/p"}])
def test_a_sign_in_without_token_or_address_is_rubbish(replay: Replay, headers: dict[str, str]) -> None:
    replay.say("GET", "/v1.1", Reply(204, b"", headers))
    with pytest.raises(Unexpected, match="without a token"):
        opened(replay, "/v1.1", credentials=CREDENTIALS).check()


def test_a_management_url_on_another_host_gets_no_token(replay: Replay) -> None:
    replay.say("GET", "/v1.1", signed("http://nova.example:8774/v1.1/demoproj"))
    with pytest.raises(Refused, match=r"sends us on to http://nova\.example:8774"):
        opened(replay, "/v1.1", credentials=CREDENTIALS).check()


def test_keystone_diablo_signs_in_and_its_expiry_without_a_zone_is_read(replay: Replay) -> None:
    endpoint = {"publicURL": f"{replay.url}/nova{DEMO}", "region": "nova"}
    access = {
        "token": {"expires": "2030-02-05T00:00:00", "id": "t", "tenant": {"id": "demoproj", "name": "demoproj"}},
        "serviceCatalog": [{"type": "compute", "name": "nova", "endpoints": [endpoint]}],
        "user": {"id": "demo", "name": "demo", "roles": []},
    }
    replay.say("GET", "/", said(200, {"version": {"id": "v2.0", "status": "ALPHA"}}))
    replay.say("POST", "/v2.0/tokens", said(200, {"access": access}))
    replay.say("GET", "/nova", said(200, ROOT))
    replay.say("GET", f"/nova{DEMO}/servers/detail?limit=1", EMPTY)
    checked = opened(replay, credentials=CREDENTIALS).check()
    assert (checked.version, checked.generation) == ("Keystone v2.0, Nova v1.1", "diablo")


def test_application_credentials_cannot_open_a_diablo(replay: Replay) -> None:
    replay.say("GET", "/", said(200, ROOT))
    application = {"application_credential_id": "a", "application_credential_secret": "b"}
    with pytest.raises(Refused, match=r"need Keystone v3.*speaks v1\.1"):
        opened(replay, credentials=application).check()


def test_integer_ids_are_strings_outside_and_addresses_are_read_in_both_shapes(replay: Replay) -> None:
    blocks = recorded("diablo.txt")
    driver = diablo(replay, "1.1")
    replay.say("GET", f"{DEMO}/servers/detail?limit=1000", blocks["v1.1 GET /servers/detail"][2])
    replay.say("GET", f"{DEMO}/servers/detail?limit=1000&marker=1", EMPTY)
    found = listed(driver)
    assert [facts.external_id for facts in found] == ["4", "3", "1"]
    assert found[0].addresses == (Address("10.1.0.5", 4, "", "private"),)
    assert (found[0].size, found[0].memory_mb, found[0].state) == ("m1.tiny", 512, State.RUNNING)
    assert found[0].created_at == datetime(2026, 11, 22, 16, 44, 25, tzinfo=UTC)


def test_v1_0_pages_by_offset_since_it_answers_a_marker_with_the_first_page_again(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openstack, "PAGE", 2)
    driver = diablo(replay, "1.0")
    replay.say("GET", "/v1.0/flavors/detail?limit=2", recorded("diablo.txt")["v1.0 GET /flavors/detail"][2])
    replay.say("GET", "/v1.0/images/detail?limit=2", said(200, {"images": []}))
    rows = [{"id": number, "status": "ACTIVE", "addresses": {"public": [], "private": ["10.1.0.3"]}, "imageId": 1,
             "flavorId": 1} for number in (5, 4, 3)]  # fmt: skip
    replay.say("GET", "/v1.0/flavors/detail?limit=2&marker=1", said(200, {"flavors": []}))
    # The replay tells calls apart by limit and marker only; offsets come one after another.
    replay.say("GET", "/v1.0/servers/detail?limit=2", said(200, {"servers": rows[:2]}),
               said(200, {"servers": rows[1:]}), said(200, {"servers": rows[2:]}))  # fmt: skip
    found = listed(driver)
    assert [facts.external_id for facts in found] == ["5", "4", "3"]
    assert found[0].addresses == (Address("10.1.0.3", 4, "", "private"),)


def test_a_v1_0_listing_that_shrank_starts_again_and_misses_nobody(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openstack, "PAGE", 2)
    driver = diablo(replay, "1.0")
    replay.say("GET", "/v1.0/flavors/detail?limit=2", said(200, {"flavors": []}))
    replay.say("GET", "/v1.0/images/detail?limit=2", said(200, {"images": []}))

    def page(*numbers: int) -> Reply:
        return said(200, {"servers": [{"id": number, "status": "ACTIVE", "flavorId": 1} for number in numbers]})

    # 5 was deleted after the first page: what offset 1 shows now is one further than it should be.
    replay.say("GET", "/v1.0/servers/detail?limit=2", page(5, 4), page(3, 2), page(4, 3), page(3, 2), page(2))
    assert [facts.external_id for facts in listed(driver)] == ["5", "4", "3", "2"]


def test_a_v1_0_listing_that_ignores_the_offset_is_said_and_never_looped(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = diablo(replay, "1.0")
    replay.say("GET", "/v1.0/servers/detail?limit=1000", recorded("diablo.txt")["v1.0 GET /servers/detail"][2])
    with pytest.raises(Unexpected, match="repeats the same page"):
        listed(driver)


def test_over_limit_as_403_is_slow_down(replay: Replay) -> None:
    driver = diablo(replay, "1.1")
    replay.say("POST", f"{DEMO}/servers/4/action", recorded("diablo.txt")["v1.1 sub resume"][2])
    with pytest.raises(SlowDown, match="rate-limited") as caught:
        driver.reboot("4")
    assert caught.value.retry_after is None


def test_changes_since_is_seconds_in_v1_0_and_iso_in_v1_1(replay: Replay) -> None:
    since = datetime(2011, 1, 1, tzinfo=UTC)
    for version, base, asked in (("1.0", "/v1.0", "1293840000"), ("1.1", DEMO, "2011-01-01T00%3A00%3A00Z")):
        driver = diablo(replay, version)
        deleted = {"id": 7, "status": "DELETED"}
        replay.say("GET", f"{base}/servers/detail?limit=1000", said(200, {"servers": [deleted]}))
        replay.say("GET", f"{base}/servers/detail?limit=1000&marker=7", EMPTY)
        assert driver.changes(since) == ((), frozenset({"7"}))
        assert f"changes-since={asked}" in replay.queries[-1]


# --- operations


def test_v1_0_creates_with_numbers_and_tells_the_first_password(replay: Replay) -> None:
    driver = diablo(replay, "1.0")
    replay.say_recorded(recorded("diablo.txt"), "v1.0 create")
    task = driver.create(Order("d0", image="1", size="1", metadata={"a": "b"}))
    assert replay.bodies[-1] == {"server": {"name": "d0", "imageId": 1, "flavorId": 1, "metadata": {"a": "b"}}}
    assert (task.server_id, task.password) == ("1", "[removed]")


def test_v1_1_creates_with_references_and_user_data(replay: Replay) -> None:
    driver = diablo(replay, "1.1")
    replay.say_recorded(recorded("diablo.txt"), "v1.1 create")
    task = driver.create(Order("d1", image="1", size="1", metadata={"a": "b"}, user_data=b"#!"))
    assert replay.bodies[-1] == {
        "server": {"name": "d1", "imageRef": "1", "flavorRef": "1", "metadata": {"a": "b"}, "user_data": "IyE="}
    }
    assert task.server_id == "3"


@pytest.mark.parametrize(
    ("version", "more", "words"),
    [
        ("1.1", {"networks": ("n",)}, "picks the network itself"),
        ("1.0", {"networks": ("n",)}, "picks the network itself"),
        ("1.0", {"key_name": "k"}, "takes no key pairs"),
        ("1.0", {"user_data": b"x"}, "takes no user data"),
    ],
)
def test_what_diablo_would_ignore_in_an_order_is_refused_before_the_call(
    replay: Replay, version: str, more: dict[str, Any], words: str
) -> None:
    driver = diablo(replay, version)
    with pytest.raises(Refused, match=words):
        driver.create(Order("d", image="1", size="1", **more))
    assert not any(method == "POST" for method, *_ in replay.asked)


@pytest.mark.parametrize(
    ("version", "base", "wanted"), [("1.0", "/v1.0", {"flavorId": 2}), ("1.1", DEMO, {"flavorRef": "2"})]
)
def test_each_version_names_the_new_size_in_its_own_way(
    replay: Replay, version: str, base: str, wanted: dict[str, Any]
) -> None:
    driver = diablo(replay, version)
    server = "2" if version == "1.0" else "4"
    replay.say_recorded(recorded("diablo.txt"), f"v{version} action {{'resize': {{'flavorRef': '2', 'flavorId': 2}}}}")
    task = driver.resize(server, Size("2", "m1.small"))
    assert replay.bodies[-1] == {"resize": wanted}
    replay.say("GET", f"{base}/servers/{server}", said(200, {"server": {"id": 2, "status": "RESIZE"}}),
               said(200, {"server": {"id": 2, "status": "VERIFY_RESIZE"}}))  # fmt: skip
    assert driver.task(task).phase is Phase.RUNNING
    assert driver.task(Task(task.ref)).phase is Phase.DONE


def test_an_image_of_a_v1_1_server_is_found_by_the_location_of_its_reply(replay: Replay) -> None:
    driver = diablo(replay, "1.1")
    replay.say_recorded(recorded("diablo.txt"), "v1.1 action {'createImage': {'name': 's'}}")
    task = driver.snapshot("4", "s")
    replay.say("GET", f"{DEMO}/images/2058537152", said(200, {"image": {"id": "2058537152", "status": "SAVING"}}),
               said(200, {"image": {"id": "2058537152", "status": "ACTIVE"}}))  # fmt: skip
    assert [driver.task(task).phase for _ in range(2)] == [Phase.RUNNING, Phase.DONE]


@pytest.mark.parametrize(("version", "status"), [("1.0", 204), ("1.1", 200)])
def test_a_rename_is_accepted_with_and_without_a_body(replay: Replay, version: str, status: int) -> None:
    driver = diablo(replay, version)
    replay.say_recorded(recorded("diablo.txt"), f"v{version} rename")
    task = driver.rename("2" if version == "1.0" else "4", "new")
    assert driver.task(task).phase is Phase.DONE
    assert replay.bodies[-1] == {"server": {"name": "new"}}


def test_a_deleted_server_that_still_shows_its_old_status_is_not_gone_yet(replay: Replay) -> None:
    blocks = recorded("diablo.txt")
    driver = diablo(replay, "1.1")
    replay.say_recorded(blocks, "v1.1 delete", "v1.1 GET /servers/4")
    task = driver.delete("4")
    replay.replies["GET", f"{DEMO}/servers/4", "", ""] = [
        blocks["v1.1 GET /servers/4"][2],
        blocks["v1.1 GET /servers/99999"][2],
    ]
    assert [driver.task(task).phase for _ in range(2)] == [Phase.RUNNING, Phase.DONE]


@pytest.mark.parametrize(("version", "base"), [("1.0", "/v1.0"), ("1.1", DEMO)])
def test_limits_are_read_in_both_shapes_and_those_of_single_paths_are_left_out(
    replay: Replay, version: str, base: str
) -> None:
    driver = diablo(replay, version)
    replay.say_recorded(recorded("diablo.txt"), f"v{version} GET /limits")
    assert set(driver.rates()) == {Rate(10, 60, "POST"), Rate(10, 60, "PUT"), Rate(100, 60, "DELETE")}


def test_metadata_of_a_v1_0_server_is_read_from_the_server(replay: Replay) -> None:
    driver = diablo(replay, "1.0")
    replay.say_recorded(recorded("diablo.txt"), "v1.0 GET /servers/2")
    assert driver.metadata("2") == {"a": "b"}


@pytest.mark.parametrize(
    ("version", "call", "words"),
    [
        ("1.1", lambda driver: driver.start("4"), "no call to start or stop"),
        ("1.1", lambda driver: driver.stop("4"), "no call to start or stop"),
        ("1.1", lambda driver: driver.suspend("4"), "administrators"),
        ("1.1", lambda driver: driver.console_text("4"), "no console"),
        ("1.1", lambda driver: driver.console_url("4"), "no console"),
        ("1.1", lambda driver: driver.networks(), "no call for networks"),
        ("1.0", lambda driver: driver.snapshot("4", "s"), "cannot make an image"),
        ("1.0", lambda driver: driver.set_metadata("4", {}), "only when a server is created"),
        ("1.0", lambda driver: driver.key_pairs(), "no key pairs"),
    ],
)
def test_what_diablo_has_not_is_refused_with_its_reason_before_any_call(
    replay: Replay, version: str, call: Any, words: str
) -> None:
    driver = diablo(replay, version)
    driver.capabilities()
    before = driver.calls
    with pytest.raises(Refused, match=words):
        call(driver)
    assert driver.calls == before


def test_a_password_account_never_lands_in_the_legacy_sign_in_by_a_keystone_root(replay: Replay) -> None:
    replay.say("GET", "/", said(300, {"versions": {"values": [{"id": "v3.14"}, {"id": "v1.1"}]}}))
    replay.say("POST", "/v3/auth/tokens", said(401, {"error": {"message": "no"}}))
    with pytest.raises(BadCredentials):
        opened(replay, credentials=PASSWORD).check()
    assert "X-Auth-Key" not in replay.headers[-1]
