"""The form of a resize: the sizes of the cloud, or CPUs and memory where a cloud lets people say."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.clouds.operations import Size
from servers.actions.models import Action, ActionBatch
from servers.actions.web.shapes import ShapedForm
from tests.conftest import People
from tests.factories import AccountFactory, EndpointFactory, ServerFactory
from tests.pages import text

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
