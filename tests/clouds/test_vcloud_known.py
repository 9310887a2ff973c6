"""vCloud's records that are what they were: neither they nor the documents of their servers are read again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.clouds import vcloud_reading
from accounts.clouds import vcloud_xml as xml
from accounts.clouds.base import Page, Same, ServerFacts
from accounts.clouds.known import KnownRows
from accounts.clouds.vcloud import VCloud
from console.demo.vcloud import Cloud, Site, serve
from tests.clouds.vcloud_account import listed, opened

HOUR = vcloud_reading.EVERY


@pytest.fixture(params=["1.5", "38.1"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(Cloud.sized(200, generation=request.param)) as served:
        yield served


@pytest.fixture
def old() -> Iterator[Site]:
    """A cell whose records have no addresses."""
    with serve(Cloud.sized(200, generation="1.5")) as served:
        yield served


@pytest.fixture(autouse=True)
def _it_stays_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """At some moment of each hour a document is read though its record did not change."""
    monkeypatch.setattr(vcloud_reading, "time", SimpleNamespace(time=lambda: 1_800_000_000.0))


def account(site: Site) -> VCloud:
    return opened(site.url, site.cloud.credentials)


def read(site: Site, known: KnownRows) -> tuple[list[ServerFacts], list[str], KnownRows]:
    """What a listing reads, what it knows, and what the next one knows."""
    pages: list[Page] = list(account(site).servers(known))
    found = [one for page in pages for one in page if isinstance(one, ServerFacts)]
    same = [one.external_id for page in pages for one in page if isinstance(one, Same)]
    kept = {external_id: fingerprint for fingerprint, external_id in known.had.items()} | known.noted
    return found, same, KnownRows({fingerprint: external_id for external_id, fingerprint in kept.items()})


def documents(site: Site) -> list[str]:
    asked = [path.rpartition("/")[2] for _, path in site.requests if "/vApp/" in path]
    site.requests.clear()
    return asked


def test_what_did_not_change_is_not_read(site: Site) -> None:
    found, same, known = read(site, KnownRows({}))
    assert (found, same) == (listed(account(site)), [])
    documents(site)
    found, same, _ = read(site, known)
    assert (found, len(same), len(set(same))) == ([], 200, 200)
    assert documents(site) == []


def test_of_one_that_changed_alone_in_its_vapp_only_its_own_document_is_read(old: Site) -> None:
    _, _, known = read(old, KnownRows({}))
    assert len(documents(old)) == 40
    one = list(old.cloud.vms)[7]
    old.cloud.set_status(one, "SUSPENDED", deployed=False)
    found, same, known = read(old, known)
    assert documents(old) == [f"vm-{one}"]
    assert (found, len(same)) == ([facts for facts in listed(account(old)) if facts.external_id == f"vm-{one}"], 199)
    documents(old)
    for beside in old.cloud.vms[one].vapp.vms:
        old.cloud.set_status(beside.id, "POWERED_OFF", deployed=False)
    found, same, _ = read(old, known)
    assert documents(old) == [f"vapp-{old.cloud.vms[one].vapp.id}"]
    assert (len(found), len(same)) == (5, 195)


def test_in_an_hour_each_document_is_read_again_though_no_record_changed(
    old: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(vcloud_reading, "time", SimpleNamespace(time=lambda: now))
    _, _, known = read(old, KnownRows({}))
    every = sorted(documents(old))
    again = []
    for _ in range(12):
        now += HOUR / 12
        _, _, known = read(old, known)
        again.append(documents(old))
    assert sorted(path for some in again for path in some) == every
    assert max(map(len, again)) < len(every) / 2  # spread over the hour


def test_what_a_task_is_at_work_on_is_read_at_each_listing(old: Site) -> None:
    one = next(iter(old.cloud.vms.values()))
    old.cloud.settle = timedelta(hours=1)
    account(old).reset(f"vm-{one.id}")
    known = KnownRows({})
    for _ in range(2):
        found, _, known = read(old, known)
        busy = {facts.external_id for facts in found if facts.raw_state.endswith("busy")}
        assert busy >= {f"vm-{one.id}"}
        assert busy.isdisjoint(known.had.values())
    assert {facts.external_id for facts in found} == busy


def test_another_name_of_the_data_centre_is_another_fact_of_each_server(
    old: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, known = read(old, KnownRows({}))
    old.cloud.org = "renamed"
    found, same, _ = read(old, known)
    assert (len(found), same) == (200, [])
    assert {facts.region for facts in found} == {"renamed-vdc"}


values = st.lists(
    st.sampled_from(["/>", ">", '"', "'", "=", " ", "a"])
    | st.text(st.characters(codec="utf-8", exclude_characters="-", categories=("L", "N", "P", "S", "Zs")))
).map("".join)
shapes = st.sampled_from(["{}/>", "{}></{}>", "{}><Link href='x'/></{}>", "!--<{}/>--"])


@given(st.lists(st.tuples(values, shapes, st.booleans()), max_size=12))
def test_a_page_without_its_known_records_has_all_the_others_as_they_were(rows: list[tuple[str, str, bool]]) -> None:
    tag = "v:VMRecord"
    records = []
    for number, (name, shape, _) in enumerate(rows):
        inside = f"{tag} href={quoteattr(f'{number}/vm-{number}')} name={quoteattr(name).replace('&gt;', '>')}"
        text = shape.replace("{}", inside, 1).replace("{}", tag)
        records.append(f"<{text}>" if text.endswith("--") else f"<{text}")
    whole = f'<p xmlns:v="urn:v" total="{len(rows)}">{"".join(records)}</p>'.encode()
    wire = SimpleNamespace(spoken=SimpleNamespace(version=(1, 5)))
    told = {element.get("href"): element.get("name") for element in xml.parse(whole)}

    first = vcloud_reading.Reader(wire, {}, known=KnownRows({}))  # type: ignore[arg-type]
    content, same = first.cut(whole)
    marked = list(xml.parse(content))
    assert ({element.get("href"): element.get("name") for element in marked}, same) == (told, [])
    prints = {
        element.get("muster-print"): xml.tail(element.get("href"))
        for element in marked
        if element.get("muster-print") and rows[int(element.get("href").partition("/")[0])][2]
    }
    again = vcloud_reading.Reader(wire, {}, known=KnownRows(prints))  # type: ignore[arg-type]
    content, same = again.cut(whole)
    left = {xml.tail(element.get("href")): element.get("name") for element in xml.parse(content)}
    assert sorted(same) == sorted(prints.values())
    assert left == {xml.tail(href): name for href, name in told.items() if xml.tail(href) not in same}
