"""The form of a resize: the sizes of the cloud, or CPUs and memory where a cloud lets people say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache

from accounts.clouds.operations import Size
from accounts.models import CloudAccount
from console.demo import vcloud
from servers import sync
from servers.actions import actions
from servers.actions.models import Action, ActionBatch
from servers.actions.web.shapes import OWN, ShapedForm
from tests.conftest import People
from tests.factories import AccountFactory, EndpointFactory, ServerFactory
from tests.pages import text
from tests.test_customer_api import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(people: People) -> Any:
    """A stopped server in a vCloud account of alice's."""
    endpoint = EndpointFactory(provider=people.customer.provider, slug="cell", platform="vcloud")
    account = AccountFactory(
        customer=people.customer, endpoint=endpoint, generation="1.5", credentials_version=1, external_id="v"
    )
    return ServerFactory(account=account, state="stopped", cpus=2, memory_mb=4096)


def resize(people: People, *servers: Any, **given: Any) -> Any:
    targets = ",".join(str(one.pk) for one in servers)
    return people.browser(people.alice).post("/actions/new", {"kind": "resize", "targets": targets, **given})


def test_where_there_are_no_sizes_it_asks_for_cpus_and_memory_without_a_call(people: People, server: Any) -> None:
    page = people.browser(people.alice).get("/actions/new", {"kind": "resize", "ids": server.pk})
    said, content = text(page), page.content.decode()
    assert "It has 2 CPUs and 4 GB now. What is left empty stays as it is." in said
    assert 'name="cpus"' in content
    assert 'name="memory"' in content
    assert 'name="size"' not in content


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"cpus": "4", "memory": "6.5"}, {"cpus": 4, "memory_mb": 6656}),
        ({"cpus": "4", "memory": ""}, {"cpus": 4}),
        ({"cpus": "", "memory": "0.25"}, {"memory_mb": 256}),
    ],
)
def test_what_is_said_is_asked_for(people: People, server: Any, given: Any, kept: Any) -> None:
    assert resize(people, server, **given).status_code == 302
    assert ActionBatch.objects.get().params == kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Say how many."),
        ({}, "Say how much."),
        ({"cpus": "0"}, "greater than or equal to 1"),
        ({"cpus": "two"}, "Enter a whole number."),
        ({"memory": "0.3"}, "Write quarters of a GB"),
        ({"memory": "99999"}, "less than or equal to 16384"),
    ],
)
def test_what_cannot_be_is_said_beside_the_field(people: People, server: Any, given: Any, words: str) -> None:
    answer = resize(people, server, **given)
    assert answer.status_code == 422
    assert words in text(answer)
    assert not Action.objects.exists()


def test_several_of_such_clouds_are_resized_together(people: People, server: Any) -> None:
    other = AccountFactory(
        customer=people.customer, endpoint=server.account.endpoint, generation="vcd", credentials_version=1
    )
    second = ServerFactory(account=other, state="stopped", cpus=1, memory_mb=1024)
    page = people.browser(people.alice).get("/actions/new", {"kind": "resize", "ids": [server.pk, second.pk]})
    assert 'name="cpus"' in page.content.decode()
    assert "It has" not in text(page)
    assert resize(people, server, second, cpus="4").status_code == 302
    assert Action.objects.filter(params={"cpus": 4}, state="queued").count() == 2


@pytest.fixture
def cell(people: People) -> Iterator[tuple[vcloud.Site, Any]]:
    """A stopped server at a cell that has sizing policies, in an account that was last seen as an older one."""
    cloud = vcloud.Cloud.sized(1, generation="38.1")
    with vcloud.serve(cloud) as site:
        account = AccountFactory(
            customer=people.customer, endpoint__platform="vcloud", endpoint__url=site.url, endpoint__slug="new-cell",
            endpoint__networks=["127.0.0.1/32"], generation="vcd",
        )  # fmt: skip
        account.close_pending(cloud.credentials, 1)
        account.save()
        assert sync.now(account).state == "done"
        server = account.servers.get()
        server.state = "stopped"
        server.save(update_fields=["state"])
        yield site, server


def test_where_both_are_taken_the_page_offers_both(people: People, cell: Any) -> None:
    site, server = cell
    browser = people.browser(people.alice)

    def names() -> list[str]:
        cache.clear()
        content = browser.get("/actions/new", {"kind": "resize", "ids": server.pk}).content.decode()
        assert content.count('name="cpus"') == content.count('name="memory"') == 1
        return re.findall(r'class="choice-name cut" title="([^"]*)"', content)

    assert names() == ["System Default", "Small", "Large"]
    *_, large = site.cloud.policies
    assert resize(people, server, size=large, cpus="9").status_code == 302
    assert Action.objects.get().params == {"size": large, "size_name": "Large"}
    Action.objects.all().delete()
    site.cloud.policies.pop(next(iter(site.cloud.policies)))
    assert names() == ["Small", "Large", OWN.name]
    assert resize(people, server, size="own").status_code == 422
    assert resize(people, server, size="own", cpus="3").status_code == 302
    assert Action.objects.get().params == {"cpus": 3}
    Action.objects.all().delete()
    site.cloud.policies.clear()
    assert names() == []
    assert resize(people, server, cpus="4").status_code == 302


def test_where_the_sizes_may_not_be_listed_cpus_and_memory_are_said_all_the_same(people: People, cell: Any) -> None:
    site, server = cell
    browser = people.browser(people.alice)
    site.faults.inject("forbidden", path="computePolicies", times=None)
    for address, given in (
        ("/actions/new", {"kind": "resize", "ids": server.pk}),
        ("/servers/new", {"account": server.account_id, "ask": "1"}),
    ):
        page = browser.get(address, given)
        assert "The sizes on offer are not known. The vCloud cell refused" in text(page)
        content = page.content.decode()
        assert 'name="cpus"' in content
        assert 'name="size"' not in content
    told = Api(people.customer, people.alice)("GET", f"accounts/{server.account_id}/offers").json()
    assert told["sizes"] == []
    assert "The vCloud cell refused" in told["missing"]["sizes"]
    assert told["images"]


def test_the_page_of_a_new_server_offers_both_too(people: People, cell: Any) -> None:
    _, server = cell
    content = people.browser(people.alice).get("/servers/new", {"account": server.account_id, "ask": "1"})
    said = text(content)
    assert "Small 2 CPUs 4 GB" in said
    assert "System Default As you say" in said
    assert "What is left empty is as in the image." in said


def test_an_account_last_seen_as_an_older_generation_is_known_anew_by_its_next_sync(people: People, cell: Any) -> None:
    _, server = cell
    assert CloudAccount.objects.get(pk=server.account_id).generation == "33"
    CloudAccount.objects.filter(pk=server.account_id).update(generation="vcd")
    assert sync.now(CloudAccount.objects.get(pk=server.account_id)).state == "done"
    assert CloudAccount.objects.get(pk=server.account_id).generation == "33"


@pytest.mark.parametrize(
    ("generation", "given", "words"),
    [
        ("1.5", {"size": "small"}, "There is no list of sizes in vCloud before 33"),
        ("33", {"size": "urn:vcloud:vdcComputePolicy:1"}, ""),
        ("33", {"memory_mb": 512}, ""),
    ],
)
def test_a_resize_that_a_cloud_does_not_take_is_refused_in_words_at_once(
    people: People, server: Any, generation: str, given: Any, words: str
) -> None:
    CloudAccount.objects.filter(pk=server.account_id).update(generation=generation)
    row = actions.start([server], kind="resize", params=given, by=people.alice, customer=people.customer).actions.get()
    assert row.state == ("failed" if words else "queued")
    assert row.outcome.startswith(words)


OFFERED = (Size("1", "small", 1, 1024), Size("c", "custom"))


class Form(ShapedForm):
    """A size of which one leaves the rest open, as CloudStack's custom offerings do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shape(OFFERED, free=False)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"size": "1", "cpus": "9", "memory": "x"}, {"size": "1"}),
        ({"size": "c", "cpus": "2", "memory": "1.5"}, {"size": "c", "cpus": 2, "memory_mb": 1536}),
        ({"size": "c", "cpus": "2"}, None),
        ({"size": "x"}, None),
        ({}, None),
    ],
)
def test_a_size_that_leaves_them_open_wants_both_and_others_neither(given: Any, kept: Any) -> None:
    form = Form(given)
    assert form.is_valid() is (kept is not None)
    if kept is not None:
        assert form.shape_params() == kept
    assert str(form["size"]).count("data-open") == 1
