"""New servers: an order is refused in words or becomes rows, each is made once, and shows in the list at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import ready
from accounts.models import CloudAccount
from console.demo.openstack import Site
from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.models import AuditEntry
from providers import customers
from servers.actions import ability, actions, creating, offers
from servers.actions.kinds import KINDS, MARK
from servers.actions.models import Action, ActionBatch
from servers.models import Server
from tests.acting import served, settle, step
from tests.conftest import People
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db

SECRET = "#cloud-config\npassword: hunter2-hunter2\n"


@pytest.fixture
def far(people: People) -> Iterator[tuple[Site, CloudAccount]]:
    with served(people, 1) as made:
        yield made


def order(site: Site, **fields: Any) -> dict[str, Any]:
    cloud = site.cloud
    return {"name": "shop", "image": next(iter(cloud.images)), "size": next(iter(cloud.flavors))} | fields


def create(people: People, far: Any, count: int = 1, **fields: Any) -> ActionBatch:
    site, account = far
    return creating.create(account, order=order(site, **fields), count=count, by=people.alice, customer=people.customer)


def orders(site: Site) -> int:
    return sum(method == "POST" and path.endswith("/servers") for method, path in site.requests)


def test_an_ordered_server_is_made_once_and_is_in_the_list_as_soon_as_its_cloud_has_it(
    people: People, far: Any
) -> None:
    site, account = far
    site.cloud.settle = timedelta(hours=1)
    network, key = next(iter(site.cloud.networks)), next(iter(offers.key_pairs(account)), None)
    named = {"key_name": key.name} if key else {}
    row = create(people, far, networks=[network], user_data=SECRET, **named).actions.get()
    assert (row.state, row.server, row.name) == ("queued", None, "shop")
    step(row)
    assert row.state == "waiting"
    assert (row.server.name, row.server.state) == ("shop", "changing")
    words = ability.refusal(row.server, KINDS["stop"], ability.under_way([row.server])[row.server_id])
    assert words.startswith("Another action is under way on this server: create")
    assert words.endswith("A cloud that does not finish it is waited for 2 hours at most; Delete gives it up.")
    made = site.cloud.instances[row.server.external_id]
    assert made.metadata[MARK] == str(row.pk)
    assert made.user_data
    site.cloud.set_status(made.id, "ACTIVE")
    step(row)
    assert (row.state, row.outcome, row.percent) == ("done", "Created.", 100)
    row.server.refresh_from_db()
    assert (row.server.state, row.server.customer, row.server.account) == ("running", people.customer, account)
    assert orders(site) == 1
    verbs = AuditEntry.objects.filter(verb__startswith="action.").order_by("pk").values_list("verb", "target_name")
    assert list(verbs)[1] == ("action.done", "shop")


def test_several_are_numbered_and_each_has_its_row(people: People, far: Any) -> None:
    site, _ = far
    batch = create(people, far, 3)
    settle(batch.actions)
    assert list(batch.actions.values_list("name", "state")) == [("shop-1", "done"), ("shop-2", "done"),
                                                                ("shop-3", "done")]  # fmt: skip
    assert set(Server.objects.values_list("name", flat=True)) == {"web-0", "shop-1", "shop-2", "shop-3"}
    assert orders(site) == 3
    batch.refresh_from_db()
    assert batch.ended_at is not None


def test_what_the_cloud_refuses_is_told_in_its_own_words(people: People, far: Any) -> None:
    batch = create(people, far, image="no-such-image")
    settle(batch.actions)
    row = batch.actions.get()
    assert row.state == "failed"
    assert "Invalid imageRef provided." in row.outcome
    assert row.server is None


def test_a_server_that_its_cloud_could_not_make_is_shown_as_failed_with_the_reason(people: People, far: Any) -> None:
    site, _ = far
    site.cloud.settle = timedelta(hours=1)
    row = step(create(people, far).actions.get())
    site.cloud.set_status(row.server.external_id, "ERROR", fault="No valid host was found.")
    step(row)
    assert row.state == "failed"
    assert "No valid host was found." in row.outcome
    row.server.refresh_from_db()
    assert row.server.state == "failed"


def test_user_data_is_sealed_until_it_is_sent_and_nobody_reads_it_afterwards(people: People, far: Any) -> None:
    batch = create(people, far, user_data=SECRET)
    row = batch.actions.get()
    assert row.params["user_data"] == f"{len(SECRET)} bytes"
    assert row.order_sealed.startswith("v1:")
    assert creating.params_of(row)["user_data"] == SECRET
    settle(batch.actions)
    row.refresh_from_db()
    assert (row.state, row.order_sealed) == ("done", "")
    assert "hunter2" not in str([*AuditEntry.objects.values(), *Action.objects.values(), *ActionBatch.objects.values()])


def test_an_order_that_is_canceled_leaves_nothing_sealed(people: People, far: Any) -> None:
    row = create(people, far, user_data=SECRET).actions.get()
    customers.suspend(people.customer, audit.SYSTEM)
    row.refresh_from_db()
    assert (row.state, row.order_sealed) == ("canceled", "")


@pytest.mark.parametrize(
    ("fields", "count", "field", "words"),
    [
        ({"name": ""}, 1, "name", "This field is required."),
        ({"name": "a\nb"}, 1, "name", "Write 1 to 255 characters"),
        ({"name": "a" * 255}, 12, "name", "too long to be numbered"),
        ({"image": ""}, 1, "image", "Choose an image."),
        ({"size": ""}, 1, "size", "Choose a size."),
        ({"cpus": "two"}, 1, "cpus", "Write a whole number from 1."),
        ({"networks": "net"}, 1, "networks", "Give the ids of at most 20 networks."),
        ({"networks": [7]}, 1, "networks", "Give the ids of at most 20 networks."),
        ({"user_data": "x" * 16385}, 1, "user_data", "at most 16 KB"),
        ({"user_data": "é" * 8193}, 1, "user_data", "at most 16 KB"),
        ({"colour": "red"}, 1, "colour", "Create takes no such field."),
        ({}, 0, "count", "Order 1 to 50 servers at once."),
        ({}, 51, "count", "Order 1 to 50 servers at once."),
        ({}, True, "count", "Order 1 to 50 servers at once."),
    ],
)
def test_what_is_wrong_with_an_order_is_told_by_field(
    people: People, fields: Any, count: int, field: str, words: str
) -> None:
    given = {"name": "shop", "image": "1", "size": "2"} | fields
    CloudAccount.objects.update(credentials_version=1, generation="modern")
    with pytest.raises(Wrong) as caught:
        creating.create(people.account, order=given, count=count, by=people.alice, customer=people.customer)
    assert list(caught.value.fields) == [field]
    assert words in caught.value.fields[field][0]
    assert not ActionBatch.objects.exists()


def test_what_a_platform_does_not_have_is_refused_with_its_reason(people: People) -> None:
    given = {"name": "shop", "image": "1", "size": "2", "networks": ["n"], "key_name": "k", "user_data": "x"}
    CloudAccount.objects.update(credentials_version=1, generation="diablo-1.0")
    with pytest.raises(Wrong) as caught:
        creating.create(people.account, order=given, by=people.alice, customer=people.customer)
    assert caught.value.fields["networks"] == ["OpenStack Diablo has no call for networks. It picks one itself."]
    assert caught.value.fields["key_name"][0].startswith("Nova v1.0 of OpenStack Diablo knows no key pairs.")
    assert caught.value.fields["user_data"] == ["Nova v1.0 of OpenStack Diablo takes no user data with a new server."]


@pytest.mark.parametrize(
    ("platform", "generation", "measure", "words"),
    [
        ("openstack", "modern", {"cpus": 2, "memory_mb": 2048}, "OpenStack takes CPUs and memory by size only."),
        ("cloudstack", "4.17", {"cpus": 2}, "CloudStack needs a size. Choose one on offer"),
        ("cloudstack", "4.17", {}, "Choose a size."),
        ("vcloud", "1.5", {"size": "small"}, "There is no list of sizes in vCloud before 33"),
        ("vcloud", "33", {"cpus": 2, "memory_mb": 2048}, ""),
        ("vcloud", "33", {"size": "urn:vcloud:vdcComputePolicy:1"}, ""),
        ("vcloud", "33", {}, ""),  # as large as its image
    ],
)
def test_a_size_or_cpus_and_memory_are_taken_where_the_platform_takes_them(
    people: People, platform: str, generation: str, measure: Any, words: str
) -> None:
    account = AccountFactory(
        customer=people.customer,
        endpoint__platform=platform,
        endpoint__slug="another",
        generation=generation,
        credentials_version=1,
    )
    given = {"name": "shop", "image": "1"} | measure

    def batch() -> ActionBatch:
        return creating.create(account, order=given, by=people.alice, customer=people.customer)

    assert ready.table(account) is not None
    if not words:
        assert batch().params == given
        return
    with pytest.raises(Wrong) as caught:
        batch()
    assert caught.value.fields["size"][0].startswith(words)
    assert not ActionBatch.objects.exists()


def test_an_account_that_cannot_be_asked_says_why(people: People) -> None:
    given = {"name": "shop", "image": "1", "size": "2"}

    def refusal(account: CloudAccount) -> str:
        with pytest.raises(Denied) as caught:
            creating.create(account, order=given, by=people.alice, customer=people.customer)
        return caught.value.words

    assert refusal(people.account).startswith("Its account has no credentials that work.")
    CloudAccount.objects.update(credentials_version=1)
    people.account.endpoint.enabled = False
    people.account.endpoint.save()
    assert refusal(people.account).startswith("Its cloud is switched off in this console.")
    customers.suspend(people.customer, audit.SYSTEM)
    assert refusal(people.account) == ability.SUSPENDED
    assert refusal(AccountFactory(customer=people.elsewhere)) == "Some fields are wrong."  # another customer's
    assert not Action.objects.exists()


def test_the_same_name_is_not_ordered_twice_at_once(people: People, far: Any) -> None:
    batch = create(people, far, 2)
    with pytest.raises(Wrong) as caught:
        create(people, far, 3)
    assert caught.value.fields["name"] == ["A server called shop-1 is being created in this account at the moment."]
    settle(batch.actions)
    assert create(people, far).actions.count() == 1


def test_create_is_offered_for_no_server_that_is_there(people: People, far: Any) -> None:
    chosen = Server.objects.select_related("customer", "account__endpoint").get()
    assert "create" not in [kind.name for kind, _ in ability.offered(chosen)]
    with pytest.raises(Wrong) as caught:
        actions.start([chosen], kind="create", by=people.alice, customer=people.customer)
    assert "There is no such action." in caught.value.fields["kind"][0]


def test_offers_are_asked_once_and_kept_for_a_little(people: People, far: Any) -> None:
    site, account = far
    for _ in range(2):
        assert {one.id for one in offers.images(account)} == set(site.cloud.images)
        assert {one.id for one in offers.networks(account)} == set(site.cloud.networks)
        assert [one.memory_mb for one in offers.sizes(account)] == sorted(
            one.ram for one in site.cloud.flavors.values()
        )
        assert {one.name for one in offers.key_pairs(account)} == set(site.cloud.keypairs)
    assert sum(path.endswith("/os-keypairs") for _, path in site.requests) == 1


class TestCutOff:
    """The worker died after it had written that it would order."""

    def row(self, people: People, far: Any, ago: timedelta) -> Action:
        made: Action = create(people, far).actions.get()
        Action.objects.filter(pk=made.pk).update(called_at=timezone.now() - ago)
        made.refresh_from_db()
        return made

    def test_the_server_is_found_by_its_mark_among_others_of_its_name(self, people: People, far: Any) -> None:
        site, _ = far
        row = self.row(people, far, timedelta(seconds=5))
        site.cloud.add("shop", status="ACTIVE")
        site.cloud.add("shop", status="ACTIVE", metadata={MARK: "another"})
        made = site.cloud.add("shop", status="BUILD", metadata={MARK: str(row.pk)})
        step(row)
        assert (row.state, row.server.external_id) == ("waiting", made.id)
        site.cloud.set_status(made.id, "ACTIVE")
        step(row)
        assert row.state == "done"
        assert row.outcome.startswith("Created. The worker stopped in the middle;")
        assert orders(site) == 0

    def test_one_that_does_not_show_is_waited_for_and_not_ordered_again(self, people: People, far: Any) -> None:
        site, _ = far
        row = self.row(people, far, timedelta(seconds=5))
        site.cloud.add("shop", status="ACTIVE")
        assert step(row).state == "waiting"
        Action.objects.filter(pk=row.pk).update(called_at=timezone.now() - timedelta(minutes=2))
        step(row)
        assert row.state == "interrupted"
        assert "the cloud shows no new server called shop. It was not ordered again" in row.outcome
        assert orders(site) == 0

    def test_without_marks_a_new_one_of_the_name_is_ours_and_two_are_a_matter_for_a_person(
        self, people: People, far: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site, _ = far
        monkeypatch.setattr("accounts.clouds.openstack_acting.OpenStack.metadata_at_once", False)
        row = self.row(people, far, timedelta(seconds=5))
        made = site.cloud.add("shop", status="ACTIVE")
        made.created = timezone.now()
        step(row)
        assert (row.state, row.server.external_id) == ("done", made.id)
        second = self.row(people, far, timedelta(seconds=5))
        for _ in range(2):
            site.cloud.add("shop", status="ACTIVE").created = timezone.now()
        step(second)
        assert second.state == "interrupted"
        assert "shows 2 new servers called shop" in second.outcome
