"""The page of a new server: which account, what its cloud offers at this moment, and the order that comes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from accounts import ready
from accounts.models import CloudAccount
from console.demo.openstack import Site
from console.lib import audit
from providers import customers
from servers.actions import creating
from servers.actions.models import ActionBatch
from servers.models import Server
from tests.acting import served
from tests.conftest import People
from tests.factories import AccountFactory, MembershipFactory, ServerFactory
from tests.pages import text

pytestmark = pytest.mark.django_db


@pytest.fixture
def cloud(people: People) -> Iterator[tuple[Site, CloudAccount]]:
    """Alice's one account, at a modern cloud with one server."""
    people.account.delete()
    with served(people, 1) as (site, account):
        yield site, account


def ask(people: People, account: CloudAccount, **more: str) -> Any:
    """The page when the cloud was asked."""
    return people.browser(people.alice).get("/servers/new", {"account": account.pk, "ask": "1", **more})


def offered(response: Any, name: str) -> dict[str, str]:
    """The values of a select or of radios by what they say."""
    content = response.content.decode()
    listed = re.search(rf'<select name="{name}".*?</select>', content, re.DOTALL)
    if listed:
        found = re.findall(r'<option value="([^"]*)"[^>]*>(.*?)</option>', listed[0])
        return {words: value for value, words in found}
    box = rf'<label[^>]*>\s*<input type="(?:radio|checkbox)" name="{name}" value="([^"]*)".*?<span[^>]*>(.*?)</span>'
    rows = re.findall(box, content, re.DOTALL)
    return {words: value for value, words in rows}


def chosen(response: Any, name: str) -> list[str]:
    """What is chosen in it."""
    content = response.content.decode()
    listed = re.search(rf'<select name="{name}".*?</select>', content, re.DOTALL)
    if listed:
        return re.findall(r'<option value="([^"]*)" selected', listed[0])
    return re.findall(rf'name="{name}" value="([^"]*)"[^>]*checked', content)


def order(people: People, account: CloudAccount, page: Any, **change: Any) -> Any:
    """The first image, the smallest size and a name, sent by alice."""
    images = [value for value in offered(page, "image").values() if value]
    given = {"account": account.pk, "name": "web-9", "count": 1, "image": images[0],
             "size": next(iter(offered(page, "size").values()), ""), **change}  # fmt: skip
    return people.browser(people.alice).post("/servers/new", {name: value for name, value in given.items() if value})


def test_the_list_an_account_and_a_server_lead_to_it(people: People, cloud: Any) -> None:
    _, account = cloud
    browser, server = people.browser(people.alice), Server.objects.get()
    assert 'href="/servers/new"' in browser.get("/servers/").content.decode()
    assert (
        f'href="/servers/new?account={account.pk}"' in browser.get(f"/servers/?account={account.pk}").content.decode()
    )
    assert f'href="/servers/new?account={account.pk}"' in browser.get(f"/accounts/{account.pk}/").content.decode()
    assert f'href="/servers/new?like={server.pk}"' in browser.get(f"/servers/{server.pk}/").content.decode()
    customers.suspend(people.customer, audit.SYSTEM)
    for address in ("/servers/", f"/accounts/{account.pk}/", f"/servers/{server.pk}/"):
        content = browser.get(address).content.decode()
        assert "/servers/new" not in content
        assert ready.SUSPENDED in content


def test_the_first_answer_comes_without_asking_the_cloud_and_then_asks(people: People, cloud: Any) -> None:
    site, account = cloud
    before = len(site.requests)
    page = people.browser(people.alice).get("/servers/new")
    assert len(site.requests) == before
    assert "Asking the cloud what it offers" in text(page)
    [at] = re.findall(r'hx-get="([^"]*)" hx-trigger="load"', page.content.decode())
    asked = parse_qs(urlsplit(at.replace("&amp;", "&")).query)
    assert asked == {"account": [str(account.pk)], "ask": ["1"]}
    assert "Create server" in text(ask(people, account))
    assert len(site.requests) > before


def test_what_is_chosen_is_ordered(people: People, cloud: Any) -> None:
    _, account = cloud
    page = ask(people, account)
    assert "m1.tiny 1 CPU 512 MB 1 GB disk" in text(page)
    [image, *_] = [value for value in offered(page, "image").values() if value]
    nets = list(offered(page, "networks").values())
    answer = order(
        people, account, page, count=2, networks=nets[:1], user_data="#cloud-config\r\npackages: [nginx]\r\n"
    )
    batch = ActionBatch.objects.get()
    assert answer["Location"] == f"/actions/{batch.pk}/"
    assert (batch.kind, batch.by, batch.customer) == ("create", people.alice, people.customer)
    rows = list(batch.actions.order_by("name"))
    assert [row.name for row in rows] == ["web-9-1", "web-9-2"]
    sent = creating.params_of(rows[0])
    assert sent["image"] == image
    assert sent["size"] == offered(page, "size")["m1.tiny"]
    assert sent.get("networks", []) == nets[:1]
    assert sent["user_data"] == "#cloud-config\npackages: [nginx]\n"
    progress = people.browser(people.bob).get(answer["Location"])
    assert "Create 2 servers" in text(progress)
    assert "cloud-config" not in progress.content.decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "This field is required."),
        ({"image": "stranger"}, "Select a valid choice"),
        ({"size": ""}, "Choose a size."),
        ({"count": 0}, "This field is required."),
        ({"count": creating.MOST + 1}, f"less than or equal to {creating.MOST}"),
        ({"user_data": "x" * (creating.USER_DATA + 1)}, "These are more than 16 KB."),
        ({"name": "tab\there"}, "without line breaks"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(people: People, cloud: Any, change: Any, words: str) -> None:
    _, account = cloud
    answer = order(people, account, ask(people, account), **change)
    assert answer.status_code == 422
    [field] = change
    [said] = re.findall(rf'id="id_{field}_words"(.*?)</div>', answer.content.decode(), re.DOTALL)
    assert words in said
    assert not ActionBatch.objects.exists()


def test_user_data_is_not_asked_for_where_a_new_server_takes_none(people: People, cloud: Any) -> None:
    _, account = cloud
    assert 'name="user_data"' in ask(people, account).content.decode()
    CloudAccount.objects.filter(pk=account.pk).update(generation="diablo-1.0")
    page = ask(people, account)
    assert 'name="user_data"' not in page.content.decode()
    assert "takes no user data with a new server." in text(page)


def test_an_image_that_does_not_fit_the_size_is_said_before_the_cloud_refuses_it(people: People, cloud: Any) -> None:
    site, account = cloud
    big = replace(next(iter(site.cloud.images.values())), min_disk=20)
    site.cloud.images[big.id] = big
    page = ask(people, account)
    answer = order(people, account, page, image=big.id, size=offered(page, "size")["m1.tiny"])
    assert f"This image needs {big.min_disk} GB of disk; m1.tiny has 1." in text(answer)


def test_a_cloud_that_does_not_answer_is_told_in_its_words_and_can_be_asked_again(people: People, cloud: Any) -> None:
    site, account = cloud
    site.faults.inject("truncated", path="/images", times=None)
    page = ask(people, account)
    assert "could not say what it offers" in text(page)
    assert "Nothing was ordered." in text(page)
    assert f'href="/servers/new?account={account.pk}&amp;ask=1"' in page.content.decode()
    assert "Create server" not in text(page)
    site.faults.clear()
    assert "Create server" in text(ask(people, account))


def test_networks_that_are_not_known_do_not_hold_up_the_rest(people: People, cloud: Any) -> None:
    site, account = cloud
    site.faults.inject("unavailable", path="/networks", times=40)
    page = ask(people, account)
    assert "The networks are not known" in text(page)
    assert order(people, account, page).status_code == 302


def test_an_account_without_images_says_so(people: People, cloud: Any) -> None:
    site, account = cloud
    site.cloud.images.clear()
    assert "This account offers no image to create a server from." in text(ask(people, account))


def test_accounts_that_cannot_are_there_with_their_reason(people: People, cloud: Any) -> None:
    _, account = cloud
    AccountFactory(customer=people.customer, endpoint=account.endpoint, name="Waiting")
    MembershipFactory(customer=people.elsewhere, user=people.alice)
    dark = AccountFactory(customer=people.elsewhere, name="Dark", generation="modern", credentials_version=1)
    type(dark.endpoint).objects.filter(pk=dark.endpoint_id).update(enabled=False)
    page = people.browser(people.alice).get("/servers/new")
    assert "Waiting Its account has no credentials that work." in text(page)
    assert "Dark Its cloud is switched off in this console." in text(page)
    radios = re.findall(r'name="account" value="([^"]*)"( checked)?( disabled)?', page.content.decode())
    assert {value: bool(off) for value, _, off in radios}[str(account.pk)] is False
    assert sum(bool(off) for *_, off in radios) == 2
    assert [value for value, on, _ in radios if on] == [str(account.pk)]
    refused = ask(people, dark)
    assert "No server can be created in this account" in text(refused)
    assert order(people, dark, ask(people, account)).status_code == 200
    assert not ActionBatch.objects.exists()


def test_one_of_several_accounts_is_chosen_first(people: People, cloud: Any) -> None:
    AccountFactory(customer=people.customer, endpoint=cloud[1].endpoint, name="Other", generation="modern",
                   credentials_version=1)  # fmt: skip
    page = text(people.browser(people.alice).get("/servers/new"))
    assert "Choose an account" in page
    assert "Asking the cloud" not in page


def test_another_like_a_server_begins_with_what_it_is(people: People, cloud: Any) -> None:
    site, account = cloud
    server = Server.objects.get()
    page = people.browser(people.alice).get("/servers/new", {"like": server.pk})
    assert f"like={server.pk}" in page.content.decode()
    page = people.browser(people.alice).get("/servers/new", {"like": server.pk, "ask": "1"})
    assert chosen(page, "size") == [offered(page, "size")[server.size]]
    assert chosen(page, "image") == [offered(page, "image")[server.image]]


def test_charlie_and_strangers_find_neither_account_nor_server(people: People, cloud: Any) -> None:
    _, account = cloud
    charlie = people.browser(people.charlie)
    foreign = ServerFactory()
    assert charlie.get("/servers/new", {"account": account.pk}).status_code == 404
    assert charlie.post("/servers/new", {"account": account.pk, "name": "x"}).status_code == 404
    assert charlie.get("/servers/new", {"like": Server.objects.exclude(pk=foreign.pk).get().pk}).status_code == 404
    assert people.browser(people.alice).get("/servers/new", {"like": foreign.pk}).status_code == 404
    for wrong in ({"account": "x"}, {"like": "x"}):
        assert people.browser(people.alice).get("/servers/new", wrong).status_code == 404
    assert "No cloud account is connected yet." in text(charlie.get("/servers/new"))
    assert Client().get("/servers/new").status_code == 302
    assert Client(headers={"HX-Request": "true"}).get("/servers/new").status_code == 401


def test_a_post_without_the_token_of_the_page_orders_nothing(people: People, cloud: Any) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(people.alice, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.post("/servers/new", {"account": cloud[1].pk, "name": "x"}).status_code == 403
