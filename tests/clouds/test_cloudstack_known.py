"""CloudStack's rows that are what they were are not decoded; all others are read as ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from accounts.clouds import cloudstack_rows
from accounts.clouds.base import Same, ServerFacts
from accounts.clouds.known import KnownRows
from console.demo.cloudstack import Cloud, Site, serve
from console.lib.faults import Fault
from tests.clouds.cloudstack_account import Said, Scripted, listing, opened, scripted

VERSIONS = ("3.0.7", "4.20.0.0")


@pytest.fixture(params=VERSIONS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(Cloud.sized(600, request.param)) as served:
        yield served


@pytest.fixture
def cloud() -> Iterator[Scripted]:
    with scripted() as served:
        served.say("listProjects", {})
        yield served


def read(url: str, known: KnownRows, **more: Any) -> tuple[list[ServerFacts], list[str]]:
    """What a listing reads, and what it knows."""
    told = [one for page in opened(url, **more).servers(known) for one in page]
    found = [one for one in told if isinstance(one, ServerFacts)]
    return found, [one.external_id for one in told if isinstance(one, Same)]


def kept(known: KnownRows) -> KnownRows:
    return KnownRows({fingerprint: external_id for external_id, fingerprint in known.noted.items() if fingerprint})


def test_only_what_changed_is_decoded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    plain = cloudstack_rows.facts
    monkeypatch.setattr(cloudstack_rows, "facts", lambda row: names.append(str(row["id"])) or plain(row))
    known = KnownRows({})
    found, same = read(site.url, known, credentials=site.cloud.credentials)
    assert (found, same) == (listing(opened(site.url, credentials=site.cloud.credentials)), [])
    names.clear()
    one = next(iter(site.cloud.machines.values()))
    one.state, one.rendered = "Stopped", {}
    found, same = read(site.url, kept(known), credentials=site.cloud.credentials)
    assert [(facts.external_id, facts.raw_state) for facts in found] == [(one.id, "Stopped")]
    assert (names, len(same), len(set(same))) == ([one.id], 599, 599)


def test_a_row_with_statistics_is_read_at_each_listing_and_has_no_fingerprint(cloud: Scripted) -> None:
    still = {"id": "a", "name": "a", "state": "Running", "nic": []}
    restless = still | {"id": "b", "cpuused": "3.1%", "networkkbsread": 7}
    cloud.say("listVirtualMachines", {"count": 2, "virtualmachine": [still, restless]}, {})
    known = KnownRows({})
    found, _ = read(cloud.url, known)
    assert [facts.external_id for facts in found] == ["a", "b"]
    assert (bool(known.noted["a"]), known.noted["b"]) == (True, "")


@pytest.mark.parametrize(
    "reply",
    [
        {"errorcode": 431, "cserrorcode": 4350, "errortext": "Something is wrong"},
        {"errorcode": 530, "errortext": "Internal error"},
        {"virtualmachine": "none"},
        {"virtualmachine": ["none"]},
        {"virtualmachine": [{"id": None, "state": "Running"}]},
        {"virtualmachine": [{"name": "no id"}]},
        {"virtualmachine": [{"id": "a", "state": 7}]},
        Said(b"7"),
        Said(b"<html>Sign in</html>"),
        Said(b'{"listvirtualmachinesresponse": {"virtualmachine": [{"id": "a"'),
        Said(b'{"listvirtualmachinesresponse": {"virtualmachine": [{"id": "\\ud800", "state": "\xff"}]}}'),
        Said({"virtualmachine": [{"id": "a", "state": "Running"}]}, 500),
    ],
)
def test_what_is_no_list_is_the_same_fault_as_without_fingerprints(cloud: Scripted, reply: Any) -> None:
    words = []
    for known in (None, KnownRows({})):
        cloud.replies.pop("listVirtualMachines", None)
        cloud.say("listVirtualMachines", reply, {})
        with pytest.raises(Fault) as caught:
            list(opened(cloud.url).servers(known))
        words.append((type(caught.value), caught.value.words))
    assert words[0] == words[1]


@pytest.mark.parametrize("extra", [{}, {"count": "two"}, {"vmlimit": 7}])
def test_a_list_with_more_in_it_than_usual_is_read_too(cloud: Scripted, extra: dict[str, Any]) -> None:
    row = {"id": "a", "displayname": "Ä", "state": "Running", "nic": []}
    for _ in range(2):
        cloud.say("listVirtualMachines", {"virtualmachine": [row]} | extra, {})
    known = KnownRows({})
    assert [facts.name for facts in read(cloud.url, known)[0]] == ["Ä"]
    cloud.replies.pop("listVirtualMachines", None)
    cloud.say("listVirtualMachines", {"virtualmachine": [row]} | extra, {})
    assert read(cloud.url, kept(known)) == ([], ["a"])
