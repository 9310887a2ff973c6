"""Signing in to Keystone v2.0 and v3, and finding the compute endpoints."""

from __future__ import annotations

import pytest

from accounts import clouds
from console.lib.faults import BadCredentials, Refused, SlowDown, Unexpected
from console.lib.outbound import Transport
from tests.clouds.openstack_account import (
    APPLICATION,
    EMPTY,
    ESSEX,
    MODERN,
    PASSWORD,
    listed,
    opened,
    pages,
    row,
    said,
    v3_token,
)
from tests.clouds.replay import Replay, Reply, recorded


@pytest.mark.parametrize(
    ("path", "version", "asked"),
    [("", None, ["", "/v2.0/tokens"]), ("/v2.0", None, ["/v2.0/tokens"]), ("", "2.0", ["/v2.0/tokens"])],
)
def test_keystone_v2_is_found_from_the_root_the_url_or_the_registration(
    essex: Replay, path: str, version: str | None, asked: list[str]
) -> None:
    essex.say("GET", f"{ESSEX}/detail?limit=1", EMPTY)
    assert opened(essex, path, version=version).check().version == "Keystone v2.0, Nova v1.1"
    # The last one tells Essex from Diablo, which serves v1.1 too.
    assert [called for _, called, _, _ in essex.asked] == [*asked, f"{ESSEX}/detail", ""]


@pytest.mark.parametrize("path", ["", "/v3", "/v3/"])
@pytest.mark.parametrize("credentials", [PASSWORD, APPLICATION])
def test_keystone_v3_signs_in_by_password_and_by_application_credential(
    modern: Replay, path: str, credentials: dict[str, str]
) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1", EMPTY)
    driver = opened(modern, path, credentials=credentials)
    assert driver.check().version == "Keystone v3, Nova v2.1"
    assert driver.calls == len(modern.asked)
    assert modern.headers[-1]["X-Auth-Token"] == "token-1"


def test_a_root_of_diablos_shape_is_understood(essex: Replay) -> None:
    essex.replies["GET", "", "", ""] = [said(200, {"version": {"id": "v2.0", "status": "ALPHA"}})]
    essex.say("GET", f"{ESSEX}/detail?limit=1", EMPTY)
    assert opened(essex).check().version.startswith("Keystone v2.0")


def test_a_newer_minor_version_than_any_we_know_still_works(modern: Replay) -> None:
    modern.replies["GET", "", "", ""] = [said(300, {"versions": {"values": [{"id": "v3.99"}, {"id": "v9.0"}]}})]
    modern.say("GET", f"{MODERN}/detail?limit=1", EMPTY)
    assert opened(modern).check()


def test_behind_a_proxy_that_hides_the_root_both_versions_are_tried(essex: Replay) -> None:
    essex.replies["GET", "", "", ""] = [said(404, b"<html>Not here</html>")]
    essex.say("GET", f"{ESSEX}/detail?limit=1", EMPTY)
    assert opened(essex).check().version == "Keystone v2.0, Nova v1.1"
    assert [path for _, path, _, _ in essex.asked][:3] == ["", "/v3/auth/tokens", "/v2.0/tokens"]


@pytest.mark.parametrize("version", ["2.1", "v2.1", "4", "newest", "13"])
def test_a_registered_version_that_keystone_never_had_is_refused_in_words(modern: Replay, version: str) -> None:
    with pytest.raises(Refused, match="Register version 3 or 2.0"):
        opened(modern, version=version).check()


def test_a_cloud_that_offers_no_version_we_speak_is_refused_in_words(modern: Replay) -> None:
    modern.replies["GET", "", "", ""] = [said(300, {"versions": {"values": [{"id": "v7.0"}]}})]
    with pytest.raises(Refused, match="offers only v7"):
        opened(modern).check()


def test_a_wrong_password_is_told_in_keystones_words_without_the_password(modern: Replay) -> None:
    words = {"error": {"code": 401, "message": "No s3cret-word here.", "title": "Unauthorized"}}
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [said(401, words)]
    with pytest.raises(BadCredentials, match=r"No \[removed\] here") as caught:
        opened(modern).check()
    assert "s3cret-word" not in str(caught.value)


def test_recorded_refusals_of_both_keystones_are_bad_credentials(modern: Replay) -> None:
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [recorded("modern.txt")["ks-401"][2]]
    with pytest.raises(BadCredentials, match="requires authentication"):
        opened(modern).check()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (said(201, b"<html>"), Unexpected),
        (said(201, []), Unexpected),
        (said(201, {"token": 5}, X_Subject_Token="t"), Unexpected),
        (said(201, {"token": {}}, X_Subject_Token="t"), Refused),
        (said(500, {"error": {"message": "boom"}}), Unexpected),
        (said(503, b"", Retry_After="9"), SlowDown),
        (said(403, {"error": {"message": "disabled"}}), Refused),
        (said(404, b"<html>"), Refused),
    ],
)
def test_rubbish_from_keystone_is_a_fault(modern: Replay, reply: Reply, kind: type[Exception]) -> None:
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [reply]
    with pytest.raises(kind):
        opened(modern).check()


@pytest.mark.parametrize(
    "reply", [said(200, b"<html>"), said(200, {"access": 7}), said(200, {"access": {"token": {}}})]
)
def test_rubbish_from_an_old_keystone_is_a_fault(essex: Replay, reply: Reply) -> None:
    essex.replies["POST", "/v2.0/tokens", "", ""] = [reply]
    with pytest.raises((Unexpected, Refused)):
        opened(essex).check()


def test_an_essex_token_without_a_project_has_a_dict_for_a_catalog_and_is_refused(essex: Replay) -> None:
    token = {"expires": "2030-11-23T16:38:32Z", "id": "t"}
    essex.replies["POST", "/v2.0/tokens", "", ""] = [
        said(200, {"access": {"token": token, "serviceCatalog": {}, "user": {"id": "u", "name": "n", "roles": []}}})
    ]
    with pytest.raises(Refused, match="no project"):
        opened(essex).check()


@pytest.mark.parametrize(
    "credentials",
    [{}, {"username": "a"}, {"username": "a", "password": "", "project": "x"}, {"application_credential_id": "a"}],
)
def test_missing_parts_are_named_before_any_password_is_sent(modern: Replay, credentials: dict[str, str]) -> None:
    with pytest.raises(BadCredentials, match="lack"):
        opened(modern, credentials=credentials).check()
    assert not any(method == "POST" for method, *_ in modern.asked)


def test_application_credentials_need_v3(essex: Replay) -> None:
    with pytest.raises(Refused, match="need Keystone v3"):
        opened(essex, credentials=APPLICATION).check()


def test_a_rejected_token_is_renewed_once_in_the_middle_of_a_listing(modern: Replay) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1000", said(200, {"servers": [row(1)]}))
    refused = recorded("modern.txt")["unauth"][2]
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=id-1", refused, said(200, {"servers": [row(2)]}))
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=id-2", EMPTY)
    assert len(listed(opened(modern))) == 2
    assert sum(method == "POST" for method, *_ in modern.asked) == 2


def test_credentials_that_stop_working_in_the_middle_of_a_listing_are_bad(modern: Replay) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1000", recorded("modern.txt")["unauth"][2])
    token = modern.replies["POST", "/v3/auth/tokens", "", ""][0]
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [token, recorded("modern.txt")["ks-401"][2]]
    with pytest.raises(BadCredentials, match="again"):
        listed(opened(modern))


# --- endpoints


def test_every_region_is_listed_unless_one_is_registered(modern: Replay) -> None:
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [
        v3_token(("north", "http://127.0.0.1:1/v2.1"), ("south", "http://127.0.0.1:1/v2.1/p"))
    ]
    pages(modern, 1, 0)
    modern.say("GET", "/v2.1/p/servers/detail?limit=1000", said(200, {"servers": [row(9)]}))
    modern.say("GET", "/v2.1/p/servers/detail?limit=1000&marker=id-9", EMPTY)
    both = listed(opened(modern))
    assert [(facts.external_id, facts.region) for facts in both] == [("id-0", "north"), ("id-9", "south")]
    assert [facts.region for facts in listed(opened(modern, region="south"))] == ["south"]
    with pytest.raises(Refused, match=r"no region 'west'.*north, south"):
        listed(opened(modern, region="west"))


def test_a_catalog_without_compute_is_refused_in_words(modern: Replay) -> None:
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [v3_token()]
    with pytest.raises(Refused, match="no compute service"):
        opened(modern).check()


def test_a_catalog_on_another_host_is_refused_and_gets_no_token(modern: Replay) -> None:
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [v3_token(("r", "http://nova.example:8774/v2.1"))]
    with pytest.raises(Refused, match=r"sends us on to http://nova\.example:8774"):
        opened(modern).check()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "nonsense", "http://"])
def test_a_catalog_can_hold_anything_and_harms_nothing(modern: Replay, url: str) -> None:
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [v3_token(("r", url))]
    with pytest.raises((Refused, Unexpected)):
        opened(modern).check()


def test_an_unversioned_compute_endpoint_is_negotiated_from_its_recorded_root(modern: Replay) -> None:
    modern.replies["POST", "/v3/auth/tokens", "", ""] = [v3_token(("r", "http://127.0.0.1:38774/compute"))]
    modern.say("GET", "/compute", recorded("modern.txt")["v2root"][2])
    modern.say("GET", "/compute/v2.1/servers/detail?limit=1", EMPTY)
    assert opened(modern).check().version == "Keystone v3, Nova v2.1"


def test_an_unknown_platform_is_said_by_name() -> None:
    with pytest.raises(Unexpected, match="no driver for 'mainframe'"):
        clouds.open("mainframe", url="https://x/", credentials={}, transport=Transport())
