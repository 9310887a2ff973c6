"""The list of servers: one page for all accounts, quick at any size, honest about what could not be read."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import CloudAccount
from servers.agents.models import Agent
from servers.models import Server
from tests.conftest import People
from tests.factories import AccountFactory, EndpointFactory, MembershipFactory, ServerFactory
from tests.pages import link, rows, text


def agent(server: Server, **fields: object) -> Agent:
    now = timezone.now()
    return Agent.objects.create(
        **{"server": server, "public_key": server.pk.hex, "version": "0.1.0", "first_seen_at": now, "last_seen_at": now}
        | fields
    )


def test_alice_and_bob_see_the_servers_of_their_customer_and_charlie_sees_none(people: People) -> None:
    ServerFactory(account=people.account, name="orchard-web")
    for person in (people.alice, people.bob):
        assert rows(people.browser(person).get("/servers/")) == ["orchard-web"]
    page = people.browser(people.charlie).get("/servers/")
    assert rows(page) == []
    assert "No cloud account is connected yet." in text(page)


def test_a_person_of_two_customers_sees_the_servers_of_both_in_one_order(people: People) -> None:
    other = AccountFactory(name="Other")
    MembershipFactory(customer=other.customer, user=people.alice)
    for number in range(60):
        ServerFactory(account=people.account if number % 2 else other, name=f"web-{number:03}")
    browser = people.browser(people.alice)
    first = browser.get("/servers/")
    second = browser.get(link(first, "next"))
    assert rows(first) + rows(second) == [f"web-{number:03}" for number in range(60)]


def test_a_provider_issued_sign_in_sees_only_that_providers_customer(people: People) -> None:
    other = AccountFactory()
    MembershipFactory(customer=other.customer, user=people.alice)
    ServerFactory(account=people.account, name="here")
    ServerFactory(account=other, name="elsewhere")
    browser = people.browser(people.alice)
    session = browser.session
    session["door"] = str(people.customer.pk)
    session.save()
    assert rows(browser.get("/servers/")) == ["here"]


def test_pages_go_forth_and_back_by_the_last_name_and_not_by_a_number(people: People) -> None:
    for number in range(120):
        ServerFactory(account=people.account, name=f"web-{number % 40:02}")  # three of each name
    browser = people.browser(people.alice)
    first = browser.get("/servers/")
    second = browser.get(link(first, "next"))
    third = browser.get(link(second, "next"))
    assert [len(rows(page)) for page in (first, second, third)] == [50, 50, 20]
    assert rows(first) + rows(second) + rows(third) == sorted(f"web-{number % 40:02}" for number in range(120))
    assert link(third, "next") == ""
    assert rows(browser.get(link(third, "prev"))) == rows(second)
    assert link(browser.get(link(second, "prev")), "prev") == ""


@pytest.mark.parametrize("column", ["name", "state", "age"])
def test_each_order_goes_both_ways_and_meets_every_server_once(people: People, column: str) -> None:
    now, states = timezone.now(), ["running", "stopped", "failed"]
    for number in range(57):
        born = now - timedelta(days=number % 7) if number % 5 else None
        ServerFactory(account=people.account, name=f"s{number:02}", state=states[number % 3], cloud_created_at=born)
    browser = people.browser(people.alice)

    def all_of(sort: str) -> list[str]:
        page = browser.get(f"/servers/?sort={sort}")
        return rows(page) + rows(browser.get(link(page, "next")))

    assert sorted(all_of(column)) == [f"s{number:02}" for number in range(57)]
    assert all_of(f"-{column}") == all_of(column)[::-1]


def test_a_cursor_that_is_not_ours_shows_the_first_page(people: People) -> None:
    ServerFactory(account=people.account, name="web")
    browser = people.browser(people.alice)
    for cursor in ("x", "W10", "WzFd", "%00", "WyJhIiwiYiIsImMiXQ"):
        assert rows(browser.get(f"/servers/?cursor={cursor}")) == ["web"]
    assert rows(browser.get("/servers/?sort=colour")) == ["web"]


def test_the_number_of_queries_is_the_same_for_one_server_and_for_many(people: People) -> None:
    browser = people.browser(people.alice)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert browser.get("/servers/").status_code == 200
        return len(seen)

    agent(ServerFactory(account=people.account))
    queries()  # from now on the provider's look comes from the cache
    few = queries()
    endpoint = EndpointFactory(provider=people.customer.provider, slug="two")
    more = [
        people.account,
        *(AccountFactory(customer=people.customer, endpoint=endpoint, status="error") for _ in range(6)),
    ]
    for number in range(70):
        agent(ServerFactory(account=more[number % 7]))
    assert queries() == few <= 8


def test_a_person_of_many_customers_costs_one_query_more(people: People) -> None:
    for _ in range(4):
        account = AccountFactory()
        MembershipFactory(customer=account.customer, user=people.alice)
        ServerFactory(account=account)
    browser = people.browser(people.alice)
    with CaptureQueriesContext(connection) as seen:
        assert len(rows(browser.get("/servers/"))) == 4
    assert len(seen) <= 8


def test_the_search_stands_in_the_address_and_a_wrong_one_says_what_would_be_right(people: People) -> None:
    ServerFactory(account=people.account, name="web", state="running")
    ServerFactory(account=people.account, name="db", state="stopped")
    browser = people.browser(people.alice)
    assert rows(browser.get("/servers/?q=state:stopped")) == ["db"]
    wrong = browser.get("/servers/?q=stat:stopped")
    assert wrong.status_code == 200
    assert rows(wrong) == []
    assert 'There is no key "stat:". The keys are state, agent' in text(wrong)
    assert 'value="stat:stopped"' in wrong.content.decode()
    assert "No server matches this search." in text(browser.get("/servers/?q=nothing"))


def test_a_facet_is_a_link_that_narrows_the_list_and_undoes_itself(people: People) -> None:
    ServerFactory(account=people.account, name="web", state="running")
    ServerFactory(account=people.account, name="db", state="stopped")
    browser = people.browser(people.alice)

    def chip(page: object, label: str) -> str:
        found = re.search(rf'class="facet" href="([^"]*)"[^>]*title="State: {label}"', page.content.decode())  # type: ignore[attr-defined]
        assert found, label
        return unescape(found[1])

    narrowed = browser.get(chip(browser.get("/servers/"), "Stopped"))
    assert rows(narrowed) == ["db"]
    assert rows(browser.get(chip(narrowed, "Running"))) == ["db", "web"]
    assert rows(browser.get(chip(narrowed, "Stopped"))) == ["db", "web"]


def test_the_switcher_narrows_to_one_account_and_a_foreign_one_shows_nothing(people: People) -> None:
    ServerFactory(account=people.account, name="web")
    foreign = ServerFactory(name="foreign")
    browser = people.browser(people.alice)
    assert rows(browser.get(f"/servers/?account={people.account.pk}")) == ["web"]
    for wrong in (foreign.account_id, "x", "'"):
        assert rows(browser.get("/servers/", {"account": wrong})) == []


def test_an_account_that_could_not_be_read_is_named_with_the_reason_and_the_age_of_what_is_shown(
    people: People,
) -> None:
    CloudAccount.objects.filter(pk=people.account.pk).update(
        status="bad_credentials", status_reason="The cloud said: 'Invalid user'.",
        last_sync_at=timezone.now() - timedelta(hours=5),
    )  # fmt: skip
    ServerFactory(account=people.account, name="web")
    said = text(people.browser(people.alice).get("/servers/"))
    assert "This account could not be read Main account : The cloud said: 'Invalid user'." in said
    assert "What is shown was read 5 h ago" in said
    assert "Ask North Cloud to send new credentials." in said
    assert "Stale, read 5 h ago" in said


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Managed"),
        ({"last_seen_at": timedelta(hours=3, minutes=1)}, "Offline 3 h"),
        ({"first_seen_at": None, "last_seen_at": None}, "Pending"),
        (None, "Missing"),
    ],
)
def test_the_row_says_how_the_agent_is(people: People, fields: dict[str, timedelta | None] | None, words: str) -> None:
    server = ServerFactory(account=people.account)
    if fields is not None:
        agent(server, **{name: timezone.now() - value if value else value for name, value in fields.items()})
    browser = people.browser(people.alice)
    row = browser.get(f"/servers/{server.pk}/row")
    assert words in text(row)
    assert rows(browser.get(f"/servers/?q=agent:{words.split()[0].lower()}")) == [server.name]
    for other in {"managed", "offline", "off", "pending", "missing"} - {words.split()[0].lower()}:
        assert rows(browser.get(f"/servers/?q=agent:{other}")) == []


def test_a_managed_row_shows_load_memory_and_disk(people: People) -> None:
    server = ServerFactory(account=people.account)
    agent(server, load1=0.25, memory_used=1, memory_total=4, disk_used=9, disk_total=10, recent_load=[0.1, 0.3, 0.25])
    content = people.browser(people.alice).get(f"/servers/{server.pk}/row").content.decode()
    said = {metric: re.sub(r"<[^>]+>", " ", body).split() for metric, body in
            re.findall(r'data-metric="(\w+)">(.*?)</td>', content, re.DOTALL)}  # fmt: skip
    assert said == {"load": ["0.25"], "memory": ["25", "%"], "disk": ["90", "%"]}
    assert "polyline" in content


def test_a_long_name_many_addresses_and_no_address_are_shown_and_escaped(people: People) -> None:
    ServerFactory(account=people.account, name="<b>" + "x" * 240)
    addresses = [{"ip": f"10.0.0.{n}", "version": 4, "kind": "fixed", "network": "n", "mac": ""} for n in range(60)]
    ServerFactory(account=people.account, name="many", addresses=addresses)
    page = people.browser(people.alice).get("/servers/")
    assert rows(page) == ["<b>" + "x" * 240, "many"]
    assert "<b>" not in page.content.decode()
    assert "10.0.0.0 +59" in text(page)
    assert "No address" in text(page)


def test_a_row_refetches_itself_on_a_hint_and_not_the_list_around_it(people: People) -> None:
    server = ServerFactory(account=people.account)
    content = people.browser(people.alice).get("/servers/").content.decode()
    tag = re.search(rf'<tr id="server-{server.pk}"[^>]*>', content)
    assert tag
    assert f'hx-get="/servers/{server.pk}/row"' in tag[0]
    assert 'hx-trigger="hint consume"' in tag[0]
    assert 'data-hints="servers accounts"' in content


def test_nothing_in_the_page_needs_an_inline_script_or_style(people: People) -> None:
    ServerFactory(account=people.account)
    content = people.browser(people.alice).get("/servers/").content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|hx-on|javascript:", content)


def test_those_without_an_agent_can_be_installed_on_from_any_search(people: People) -> None:
    for name in ("web-1", "web-2", "db-1"):
        ServerFactory(account=people.account, name=name)
    agent(ServerFactory(account=people.account, name="web-3"))
    browser = people.browser(people.alice)

    def offered(q: str) -> str:
        found = re.search(r'href="(/installs/new\?q=[^"]*)"', browser.get("/servers/", {"q": q}).content.decode())
        return unescape(found[1]) if found else ""

    assert offered("") == "/installs/new?q=state%3Arunning+agent%3Amissing&all_matching=1"
    assert offered("agent:missing") == "/installs/new?q=agent%3Amissing&all_matching=1"
    assert offered("web") == "/installs/new?q=web+agent%3Amissing&all_matching=1"
    assert "Install on 2 without agent" in text(browser.get("/servers/", {"q": "web"}))
    assert offered("agent:managed") == offered("-agent:missing") == offered("nothing-so-called") == ""
    form = text(browser.get(offered("web")))
    assert "web-1" in form and "web-2" in form and "web-3" not in form and "db-1" not in form
