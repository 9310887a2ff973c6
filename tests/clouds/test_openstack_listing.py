"""Listing an OpenStack account from bodies recorded on real Essex and modern servers (../shared/captures)."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest

from accounts import clouds
from accounts.clouds import Address, ServerFacts, State, openstack
from console.demo.openstack import Cloud, serve
from console.lib.faults import BadCredentials, Refused, SlowDown, Unexpected, Unreachable
from console.lib.outbound import Transport
from tests.clouds.openstack_account import (
    EMPTY,
    ESSEX,
    MODERN,
    TENANT,
    listed,
    opened,
    pages,
    row,
    said,
)
from tests.clouds.replay import Replay, Reply, recorded


def test_an_essex_account_is_listed_from_its_recorded_pages(essex: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openstack, "PAGE", 2)
    blocks = recorded("essex.txt")
    essex.say_recorded(blocks, "page1", "page2")
    last = "d0a5d4bf-4370-4d5b-a1c6-59f07a16129a"
    essex.say("GET", f"{ESSEX}/detail?limit=2&marker={last}", EMPTY)
    essex.say("GET", f"/v1.1/{TENANT}/flavors/detail?limit=2", blocks["flavors"][2])
    essex.say("GET", f"/v1.1/{TENANT}/flavors/detail?limit=2&marker=5", blocks["flavors"][2])
    found = listed(opened(essex))
    assert [facts.external_id for facts in found] == [
        "ed06b618-17d8-4f48-9bef-169dfaf4ee56",
        "643d444f-1c27-4106-93f1-3ddb34e23908",
        "2e517b10-2326-4409-b2e8-8c141887509f",
        last,
    ]
    assert found[0] == ServerFacts(
        external_id="ed06b618-17d8-4f48-9bef-169dfaf4ee56",
        name="srv 2 \u00e9",
        state=State.RUNNING,
        raw_state="ACTIVE",
        addresses=(Address("10.0.0.5", 4, "", "private", ""),),
        size="m1.tiny",
        image="70a599e0-31e7-49b7-b260-868f441e862b",
        region="RegionOne",
        cpus=1,
        memory_mb=512,
        disk_gb=0,
        key_name="k1",
        created_at=datetime(2026, 11, 22, 16, 38, 33, tzinfo=UTC),
    )


def test_a_modern_account_is_listed_from_its_recorded_page(modern: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openstack, "PAGE", 1)
    modern.say_recorded(recorded("modern.txt"), "v21")
    modern.say("GET", f"{MODERN}/detail?limit=1&marker=0ddf8e1f-e71f-4b7e-b2b0-2d241ec85e80", EMPTY)
    modern.say("GET", "/v2.1/flavors/detail?limit=1", *modern.replies.pop(("GET", "/v2.1/flavors/detail", "1000", "")))
    modern.say(
        "GET", "/v2.1/flavors/detail?limit=1&marker=a8b39f98-8e87-47b4-8077-720e9b0d9ac1", said(200, {"flavors": []})
    )
    [facts] = listed(opened(modern))
    assert (facts.name, facts.state, facts.raw_state) == ("mm-3", State.CHANGING, "BUILD")
    assert (facts.size, facts.cpus, facts.memory_mb, facts.disk_gb) == ("m1.tiny", 1, 64, 1)
    assert (facts.addresses, facts.key_name) == ((), "")


@pytest.mark.parametrize(
    ("exchange", "shown"), [("images-proxy", "cirros"), ("images-2.36", "3a48bad1-f787-4557-ae26-658070a5c39e")]
)
def test_an_image_is_shown_by_its_name_or_by_its_id_where_the_cloud_names_none(
    modern: Replay, exchange: str, shown: str
) -> None:
    blocks = recorded("modern.txt")
    modern.say("GET", f"{MODERN}/detail?limit=1000", blocks["p1"][2])
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=7e06766d-48e3-490a-a827-4385b1b98d85", EMPTY)
    modern.say("GET", "/v2.1/images/detail?limit=1000", blocks[exchange][2])
    assert {facts.image for facts in listed(opened(modern))} == {shown}


def test_flavors_embedded_since_2_47_need_no_second_call(modern: Replay) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1000", recorded("modern.txt")["p1"][2])
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=7e06766d-48e3-490a-a827-4385b1b98d85", EMPTY)
    found = listed(opened(modern))
    assert {(facts.size, facts.cpus, facts.memory_mb, facts.disk_gb) for facts in found} == {("m1.tiny", 1, 64, 1)}
    assert [facts.state for facts in found] == [State.CHANGING, State.FAILED]
    assert not any("flavors" in path for _, path, _, _ in modern.asked)


def test_deleted_rows_are_left_out(modern: Replay) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1000", recorded("modern.txt")["cs"][2])
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=58fbba97-10ad-4223-8911-c113a440a5b8", EMPTY)
    assert [facts.name for facts in listed(opened(modern))] == ["mm-2", "new"]


def test_one_server_is_read_by_id_and_an_unknown_one_is_none(essex: Replay) -> None:
    driver = opened(essex, "/v2.0")
    one = driver.server("2e517b10-2326-4409-b2e8-8c141887509f")
    assert one is not None
    assert (one.external_id, one.size) == ("2e517b10-2326-4409-b2e8-8c141887509f", "m1.tiny")
    assert driver.server("nope") is None


def test_an_id_cannot_reach_another_path(essex: Replay) -> None:
    driver = opened(essex, "/v2.0")
    driver.server("../flavors/1?x=")
    assert essex.asked[-1][1] == f"{ESSEX}/..%2Fflavors%2F1%3Fx%3D"


def test_the_serial_console_is_read(essex: Replay) -> None:
    essex.say_recorded(recorded("essex.txt"), "console")
    driver = opened(essex, "/v2.0")
    text = driver.console_text("2e517b10-2326-4409-b2e8-8c141887509f", lines=10)
    assert text == "FAKE CONSOLE OUTPUT\nANOTHER\nLAST LINE"
    with pytest.raises(Refused, match="no console"):
        driver.console_text("nope")


@pytest.mark.parametrize(
    ("capture", "title", "kind", "words"),
    [
        ("essex.txt", "unauth", BadCredentials, "did not accept the credentials"),
        ("essex.txt", "cs3", SlowDown, "rate-limited"),
        ("essex.txt", "confirm", Refused, "invalid state for 'confirmResize'"),
        ("essex.txt", "badcreate", Refused, "Invalid imageRef provided"),
        ("essex.txt", "filter", Unexpected, "failed inside"),
        ("modern.txt", "badmv", Refused, "Version 2.999 is not supported"),
        ("modern.txt", "unauth", BadCredentials, "requires authentication"),
        ("modern.txt", "404", Refused, "Instance nope could not be found"),
        ("modern.txt", "v2 tokens on modern", Refused, "The requested URL was not found"),
    ],
)
def test_a_recorded_error_becomes_a_fault_in_the_clouds_own_words(
    modern: Replay, capture: str, title: str, kind: type[Exception], words: str
) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1000", recorded(capture)[title][2])
    with pytest.raises(kind, match=words):
        listed(opened(modern))


def test_the_time_to_wait_comes_from_the_recorded_header(modern: Replay) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1000", recorded("essex.txt")["cs3"][2])
    with pytest.raises(SlowDown) as caught:
        listed(opened(modern))
    assert caught.value.retry_after == 20


# --- paging


@pytest.mark.parametrize("counts", [(0,), (1, 0), (1000, 0), (1000, 1, 0), (1000, 1000, 1000, 0), (300, 300, 7, 0)])
def test_a_listing_goes_on_to_an_empty_page_whatever_the_page_size(modern: Replay, counts: tuple[int, ...]) -> None:
    pages(modern, *counts)
    found = listed(opened(modern))
    assert [facts.external_id for facts in found] == [f"id-{number}" for number in range(sum(counts))]


def test_next_links_are_never_followed(modern: Replay) -> None:
    links = [{"rel": "next", "href": "http://127.0.0.1:1/elsewhere"}]
    modern.say("GET", f"{MODERN}/detail?limit=1000", said(200, {"servers": [row(1)], "servers_links": links}))
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=id-1", EMPTY)
    assert len(listed(opened(modern))) == 1


def test_a_server_that_two_pages_show_is_listed_once(modern: Replay) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1000", said(200, {"servers": [row(1), row(2)]}))
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=id-2", said(200, {"servers": [row(2), row(3)]}))
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=id-3", EMPTY)
    assert [facts.external_id for facts in listed(opened(modern))] == ["id-1", "id-2", "id-3"]


def test_a_deleted_marker_starts_the_listing_again_and_loses_nothing(modern: Replay) -> None:
    gone = recorded("essex.txt")["marker-deleted"][2]
    modern.say(
        "GET",
        f"{MODERN}/detail?limit=1000",
        said(200, {"servers": [row(1), row(2)]}),
        said(200, {"servers": [row(1), row(3)]}),
    )
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=id-2", gone)
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=id-3", EMPTY)
    assert [facts.external_id for facts in listed(opened(modern))] == ["id-1", "id-2", "id-3"]


def test_a_listing_that_keeps_losing_its_marker_is_given_up(modern: Replay) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1000", said(200, {"servers": [row(1)]}))
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=id-1", recorded("essex.txt")["marker-deleted"][2])
    with pytest.raises(Unexpected, match="start again 3 times"):
        listed(opened(modern))


def test_a_cloud_that_ignores_the_marker_is_a_fault_and_not_a_short_list(modern: Replay) -> None:
    same = said(200, {"servers": [row(1)]})
    modern.say("GET", f"{MODERN}/detail?limit=1000", same)
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=id-1", same)
    with pytest.raises(Unexpected, match="repeats the same page"):
        listed(opened(modern))


def test_a_listing_without_end_is_cut(modern: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openstack, "MOST_PAGES", 3)
    pages(modern, 1, 1, 1, 1, 0)
    with pytest.raises(Unexpected, match="more than 3 pages"):
        listed(opened(modern))


@pytest.mark.parametrize(
    "broken",
    [
        said(200, b'{"servers": [{"id": "id-2", "na'),
        said(200, b"<html><h1>Maintenance</h1></html>"),
        said(200, b""),
        said(200, {"servers": "none"}),
        said(200, {"servers": [{"name": "no id"}]}),
        said(200, {"servers": [{"id": "x"}]}),
        said(200, {"servers": [row(2, addresses=[1, 2])]}),
        said(200, ["servers"]),
        said(200, {}),
        said(500, {"computeFault": {"message": "boom", "code": 500}}),
        said(502, b"<html><h1>502 Bad Gateway</h1></html>"),
        said(503, b"", Retry_After="7"),
    ],
)
def test_a_listing_cut_in_the_middle_is_a_fault_and_never_a_short_list(modern: Replay, broken: Reply) -> None:
    modern.say("GET", f"{MODERN}/detail?limit=1000", said(200, {"servers": [row(1)]}))
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=id-1", broken)
    seen: list[ServerFacts] = []
    with pytest.raises((Unexpected, SlowDown, Unreachable)):
        for page in opened(modern).servers():
            seen.extend(page)
    assert len(seen) <= 1


def test_a_modern_cloud_is_asked_for_one_stable_order_the_oldest_first_and_by_id_within_a_second(
    modern: Replay,
) -> None:
    pages(modern, 2, 0)
    listed(opened(modern))
    queries = [parse_qs(query) for query in modern.queries if "sort_key" in query]
    assert len(queries) == 2
    for query in queries:
        assert (query["sort_key"], query["sort_dir"]) == (["created_at", "uuid"], ["asc", "asc"])


def test_servers_made_in_the_same_second_are_each_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openstack, "PAGE", 3)
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    with serve(Cloud(clock=lambda: at)) as site:
        for number in range(10):
            site.cloud.add(f"web-{number}")
        transport = Transport(["127.0.0.1/32"], allow_http=True)
        driver = clouds.open("openstack", url=site.url, credentials=site.cloud.credentials, transport=transport)
        found = [facts.external_id for facts in listed(driver)]
        assert found == sorted(site.cloud.instances)


def test_a_size_and_an_image_made_since_are_asked_for_and_a_deleted_one_only_once(modern: Replay) -> None:
    def one(image: str, flavor: str) -> None:
        told = row(1, flavor={"id": flavor}, image={"id": image})
        modern.replies["GET", f"{MODERN}/id-1", "", ""] = [said(200, {"server": told})]

    def names(*images: str) -> None:
        modern.replies["GET", "/v2.1/images/detail", "1000", ""] = [
            said(200, {"images": [{"id": image, "name": f"named {image}"} for image in images]})
        ]

    known = "a8b39f98-8e87-47b4-8077-720e9b0d9ac1"
    names("i")
    driver = opened(modern)
    one("i", known)
    first = driver.server("id-1")
    assert first is not None
    assert (first.image, first.size) == ("named i", "m1.tiny")
    names("i", "new")
    one("new", known)
    assert (second := driver.server("id-1")) is not None
    assert second.image == "named new"
    one("deleted", known)
    shown = [facts.image for _ in range(3) if (facts := driver.server("id-1"))]
    assert shown == ["deleted"] * 3
    assert sum("/images/" in path for _, path, _, _ in modern.asked) == 3
    assert sum("/flavors/" in path for _, path, _, _ in modern.asked) == 1
