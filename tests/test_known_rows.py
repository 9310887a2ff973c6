"""Rows that a cloud shows as it did the last time are not read again, and nobody can see a difference but the clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.clouds import openstack, openstack_reading, openstack_rows
from accounts.clouds.base import ServerFacts
from accounts.models import CloudAccount
from console.demo.openstack import Site
from console.lib import notify
from servers import comparing, refreshing, sync, writing
from servers.models import Server
from tests.factories import AccountFactory
from tests.farclouds import account_at

pytestmark = pytest.mark.django_db
COLUMNS = [field.name for field in Server._meta.fields if field.name not in ("id", "account", "customer", "changed_at")]


@pytest.fixture
def account(site: Site) -> CloudAccount:
    made = account_at(site)
    sync.now(made)
    return made


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the servers whose facts were made."""
    names: list[str] = []
    plain = openstack_rows.facts

    def facts(row: openstack_rows.Row, *more: Any) -> ServerFacts | None:
        names.append(row.name or "")
        return plain(row, *more)

    monkeypatch.setattr(openstack_rows, "facts", facts)
    return names


def test_no_fact_is_made_of_what_did_not_change(site: Site, account: CloudAccount, decoded: list[str]) -> None:
    run = sync.now(account)
    assert (run.seen, run.added, run.changed, run.missing) == (25, 0, 0, 0)
    assert decoded == []
    one = next(iter(site.cloud.instances.values()))
    site.cloud.set_status(one.id, "PAUSED")
    assert sync.now(account).changed == 1
    assert decoded == [one.name]
    assert Server.objects.get(external_id=one.id).state == "suspended"
    decoded.clear()
    sync.now(account)
    assert decoded == []


def test_one_row_a_page_is_looked_into_to_learn_what_it_needs(
    account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Any] = []
    plain = openstack_rows.read
    monkeypatch.setattr(openstack_rows, "read", lambda raw: looked.append(raw) or plain(raw))
    monkeypatch.setattr(openstack, "PAGE", 10)
    sync.now(account)
    assert len(looked) == 3


def test_a_size_or_an_image_with_another_name_is_read_again_though_no_row_changed(
    site: Site, account: CloudAccount, decoded: list[str]
) -> None:
    cloud = site.cloud
    server = Server.objects.earliest("name")
    instance = cloud.instances[server.external_id]
    cloud.flavors[instance.flavor] = replace(cloud.flavors[instance.flavor], name="m9.huge")
    cloud.images[instance.image] = replace(cloud.images[instance.image], name="plan 9")
    assert sync.now(account).changed >= 1
    assert len(decoded) == 25
    server.refresh_from_db()
    assert (server.size, server.image) == ("m9.huge", "plan 9")
    decoded.clear()
    assert sync.now(account).changed == 0
    assert decoded == []


def test_another_account_with_the_same_rows_reads_them_itself(site: Site, account: CloudAccount) -> None:
    other = account_at(site, endpoint=account.endpoint, customer=account.customer)
    assert sync.now(other).added == 25
    stored = Server.objects.filter(account=account).values_list("external_id", "fingerprint")
    assert dict(stored) == dict(Server.objects.filter(account=other).values_list("external_id", "fingerprint"))
    Server.objects.filter(account=other).update(name="theirs")
    sync.now(account)
    assert not Server.objects.filter(account=account, name="theirs").exists()


def test_what_nobody_sees_changes_no_server_and_is_read_once(
    site: Site, account: CloudAccount, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr(notify, "changed", lambda customer, what: heard.append(what))
    one = next(iter(site.cloud.instances.values()))
    before = Server.objects.get(external_id=one.id)
    site.cloud.set_status(one.id, one.status)  # only the time of its last change is another
    run = sync.now(account)
    after = Server.objects.get(external_id=one.id)
    assert decoded == [one.name]
    assert (run.changed, after.changed_at, after.digest) == (0, before.changed_at, before.digest)
    assert after.fingerprint != before.fingerprint
    assert "servers" not in heard
    sync.now(account)
    assert decoded == [one.name]


def test_one_that_was_refreshed_by_id_is_read_again_even_when_it_is_listed_as_before(
    site: Site, account: CloudAccount
) -> None:
    one = next(iter(site.cloud.instances.values()))
    server = Server.objects.get(external_id=one.id)
    was = replace(one)
    site.cloud.set_status(one.id, "PAUSED")
    refreshing.refresh(account.pk, [server.pk])
    server.refresh_from_db()
    assert (server.state, server.fingerprint) == ("suspended", "")
    site.cloud.instances[one.id] = was
    site.cloud._order.clear()
    sync.now(account)
    server.refresh_from_db()
    assert server.state == "running"


def test_a_missing_one_that_is_listed_as_before_is_back(site: Site, account: CloudAccount) -> None:
    one = next(iter(site.cloud.instances.values()))
    was = replace(one)
    site.cloud.remove(one.id)
    assert sync.now(account).missing == 1
    site.cloud.instances[one.id] = was
    site.cloud._order.clear()
    run = sync.now(account)
    assert (run.seen, run.added, run.missing) == (25, 0, 0)
    assert Server.objects.get(external_id=one.id).missing_since is None


def test_the_first_servers_and_later_ones_are_written_alike(site: Site, account: CloudAccount) -> None:
    late = account_at(site, endpoint=account.endpoint, customer=account.customer)
    kept = dict(site.cloud.instances)
    for external_id in list(kept)[1:]:
        del site.cloud.instances[external_id]
    site.cloud._order.clear()
    assert sync.now(late).added == 1
    site.cloud.instances.update(kept)
    site.cloud._order.clear()
    assert sync.now(late).added == 24
    columns = [name for name in COLUMNS if name != "first_seen_at"]
    assert list(Server.objects.filter(account=late).order_by("external_id").values_list(*columns)) == list(
        Server.objects.filter(account=account).order_by("external_id").values_list(*columns)
    )


# --- any sequence


def forgetting(listing: Callable[[Any], list[Any]], known: Any) -> list[Any]:
    return listing(None)


server_rows = st.fixed_dictionaries({
    "name": st.sampled_from(["a", "b", "t\tab\n\\N", 'q"{,}\\']),
    "status": st.sampled_from(["ACTIVE", "PAUSED", "DELETED"]),
    "flavor": st.sampled_from([{"id": "1"}, {"id": "2"}, {"vcpus": 2, "name": "own"}]),
    "image": st.sampled_from(["", {"id": "i"}]),
    "updated": st.integers(0, 2),
    "addresses": st.sampled_from([{}, {"n": [{"addr": "10.0.0.1"}, {"addr": 'odd"{},\\'}]}]),
})  # fmt: skip
clouds = st.fixed_dictionaries({
    "servers": st.dictionaries(st.sampled_from("vwxyz"), server_rows, max_size=5),
    "flavors": st.sampled_from(["small", "renamed"]),
    "images": st.sampled_from(["plan 9", "minix"]),
    "by_id": st.sampled_from("vwxyz"),
})  # fmt: skip


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(clouds, min_size=2, max_size=5))
def test_any_sequence_of_listings_and_refreshes_gives_the_same_rows_with_and_without_what_is_known(
    history: list[dict[str, Any]],
) -> None:
    Server.objects.all().delete()
    knowing, forgetful = AccountFactory(), AccountFactory()
    for cloud in history:
        raws = [
            msgspec.Raw(json.dumps({"id": key} | row, sort_keys=True).encode()) for key, row in cloud["servers"].items()
        ]

        def reader(known: Any, cloud: dict[str, Any] = cloud) -> openstack_reading.Reader:
            flavors = {"1": openstack_rows.Flavor(cloud["flavors"], 1, 1, 1)}
            names = openstack_reading.Names(lambda: flavors, lambda: {"i": cloud["images"]})
            return openstack_reading.Reader("r", names, known)

        def listing(*known: Any, raws: list[msgspec.Raw] = raws, reader: Any = reader) -> list[Any]:
            read = reader(known[0])
            return [read.facts(read.split(page)) for page in (raws[:2], raws[2:])]

        for account in (knowing, forgetful):
            shown = listing if account == knowing else partial(forgetting, listing)
            writing.write(account, comparing.compare(account.pk, shown))
            one = cloud["by_id"]
            if one in cloud["servers"]:  # seen by its id in another moment: with another name
                raw = json.dumps({"id": one} | cloud["servers"][one] | {"name": "by id"}).encode()
                read = reader(None)
                told = [facts for facts in read.facts(read.split([msgspec.Raw(raw)])) if isinstance(facts, ServerFacts)]
                writing.write(account, comparing.compare_some(account.pk, told, []))
        columns = [name for name in COLUMNS if name not in ("fingerprint", "first_seen_at", "missing_since")]
        ours, theirs = (
            list(Server.objects.filter(account=one).order_by("external_id").values_list(*columns))
            for one in (knowing, forgetful)
        )
        assert ours == theirs
        missing = (
            set(Server.objects.filter(account=one, missing_since__isnull=False).values_list("external_id", flat=True))
            for one in (knowing, forgetful)
        )
        assert next(missing) == next(missing)
