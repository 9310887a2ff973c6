"""A new cloud is one driver file and one entry in `providers.platforms`: everything else reads it from there."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts import clouds
from accounts.clouds import matrix
from accounts.models import CloudAccount, SyncRun
from console.lib.jobs.rows import JobState
from providers.models import CloudEndpoint, Provider
from providers.platforms import PLATFORMS, Platform
from servers import query, sync
from servers.actions import ability, kinds
from servers.agents import channels
from servers.models import Server
from tests.clouds import fakecloud
from tests.conftest import People
from tests.factories import UserFactory
from tests.loopback import answering, page, request_of
from tests.pages import rows, text
from tests.provider_api.calls import Api, shaped

pytestmark = pytest.mark.django_db

BADGE = "b-417"
ROWS = [{"id": "f-1", "name": "fake-web"}, {"id": "f-2", "name": "fake-db"}]
FAKE = Platform("Fake Cloud", "tests.clouds.fakecloud:Fake", "tests.clouds.fakecloud:CAPABILITIES", ("badge motto?",))


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLATFORMS, "fake", FAKE)


@pytest.fixture
def url() -> Iterator[str]:
    """Where the fake cloud listens."""

    def answer(conn: socket.socket) -> None:
        if f"Authorization: Badge {BADGE}\r\n".encode() in request_of(conn):
            conn.sendall(page(json.dumps({"servers": ROWS}).encode()))
        else:
            conn.sendall(page(b"", status="401 Unauthorized"))

    with answering(answer) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def provider(people: People) -> Provider:
    found = people.customer.provider
    assert found is not None
    return found


@pytest.fixture
def endpoint(provider: Provider, url: str) -> CloudEndpoint:
    words = ("--name", "Lab", "--allow-http", "--allow-network", "127.0.0.1/32")
    call_command("add_endpoint", provider.slug, "lab", "fake", url, *words)
    return CloudEndpoint.objects.get(slug="lab")


def pushed(people: People, **credentials: str) -> CloudAccount:
    """An account of alice's customer, pushed by the provider's program and then read."""
    asked = {"endpoint": "lab", "name": "Fakes", "version": 1, "credentials": credentials}
    reply = Api(people.customer.provider)("PUT", f"customers/{people.customer.external_id}/accounts/fakes", asked)
    assert (reply.status_code, reply.json()["platform"]) == (202, "fake"), reply.content
    account = CloudAccount.objects.get(external_id="fakes")
    sync.now(account)
    account.refresh_from_db()
    return account


def test_its_endpoint_is_registered_and_shown_by_its_title(endpoint: CloudEndpoint) -> None:
    assert (endpoint.platform, endpoint.get_platform_display()) == ("fake", "Fake Cloud")
    listed = Api(endpoint.provider)("GET", "endpoints").json()
    assert "fake" in [one["platform"] for one in listed["results"]]


def test_an_endpoint_of_a_platform_without_an_entry_is_refused_with_those_that_have_one(provider: Provider) -> None:
    with pytest.raises(CommandError, match="openstack, cloudstack, vcloud, fake"):
        call_command("add_endpoint", provider.slug, "lab", "fakes", "https://cloud.example/")


def test_staff_choose_it_in_their_form(provider: Provider) -> None:
    browser = People.browser(UserFactory(is_staff=True, is_superuser=True))
    address = reverse("admin:providers_cloudendpoint_add")
    form = {"provider": provider.pk, "slug": "lab", "platform": "fake", "url": "https://cloud.example/"}
    assert '<option value="fake">Fake Cloud</option>' in browser.get(address).content.decode()
    assert browser.post(address, form).status_code == 302
    assert CloudEndpoint.objects.get(slug="lab").platform == "fake"


@pytest.mark.usefixtures("endpoint")
def test_credentials_of_another_form_are_refused_with_its_own(people: People) -> None:
    asked = {"endpoint": "lab", "name": "Fakes", "version": 1, "credentials": {"api_key": "k", "secret_key": "s"}}
    reply = Api(people.customer.provider)("PUT", f"customers/{people.customer.external_id}/accounts/fakes", asked)
    assert shaped(reply, 400)["fields"] == {"credentials": ["Fake Cloud takes {badge, motto?}."]}


@pytest.mark.usefixtures("endpoint")
def test_a_pushed_account_is_verified_and_its_servers_are_found_by_those_who_may_see_them(people: People) -> None:
    account = pushed(people, badge=BADGE)
    assert (account.status, account.generation, account.speaks) == ("ok", "first", "Fake Cloud Fake 1")
    assert SyncRun.objects.get(account=account).state == JobState.DONE
    for person in (people.alice, people.bob):
        listed = people.browser(person).get("/servers/", {"q": "platform:fake"})
        assert sorted(rows(listed)) == ["fake-db", "fake-web"]
    assert rows(people.browser(people.alice).get("/servers/", {"q": "platform:openstack"})) == []
    assert rows(people.browser(people.charlie).get("/servers/", {"q": "platform:fake"})) == []
    server = Server.objects.get(name="fake-web")
    for address in (f"/servers/{server.pk}/", f"/accounts/{account.pk}/"):
        assert "Fake Cloud" in text(people.browser(people.alice).get(address))
        assert people.browser(people.charlie).get(address).status_code == 404


@pytest.mark.usefixtures("endpoint")
def test_credentials_that_its_cloud_refuses_are_refused_in_its_words(people: People) -> None:
    account = pushed(people, badge="stolen", motto="ever upward")
    assert account.status == "bad_credentials"
    assert "does not know this badge" in account.status_reason


@pytest.mark.usefixtures("endpoint")
def test_what_its_table_says_no_to_is_refused_with_its_reason(people: People) -> None:
    account = pushed(people, badge=BADGE)
    server = Server.objects.get(account=account, name="fake-web")
    assert ability.refusal(server, kinds.KINDS["stop"]) == fakecloud.NO_MORE.reason
    assert "No way is known" in channels.refusal(account)


def test_the_search_names_it_and_the_help_of_the_search_too(people: People) -> None:
    assert query.parse("platform:fake").values("platform") == {"fake"}
    with pytest.raises(query.QueryError, match="openstack, cloudstack, vcloud or fake"):
        query.parse("platform:faked")
    assert "openstack, cloudstack, vcloud, fake" in text(people.browser(people.alice).get("/servers/"))


def test_the_docs_tell_what_it_can_do() -> None:
    told = matrix.markdown().partition("## Fake Cloud")[2]
    assert "| operation | first |" in told
    assert "| list | yes |" in told
    assert f"1. {fakecloud.NO_MORE.reason}" in told


@pytest.mark.parametrize("word", ["openstack", "cloudstack", "vcloud", "fake"])
def test_every_entry_is_whole(word: str) -> None:
    platform = PLATFORMS[word]
    assert len(word) <= CloudEndpoint._meta.get_field("platform").max_length
    assert platform.title
    assert platform.forms and all(form.needed for form in platform.forms)
    assert clouds.tables(word)


@pytest.mark.usefixtures("endpoint")
def test_the_page_that_orders_a_server_tells_why_it_cannot(people: People) -> None:
    account = pushed(people, badge=BADGE)
    ordering = people.browser(people.alice).get("/servers/new", {"account": account.pk})
    assert ordering.status_code == 200
    assert fakecloud.NO_MORE.reason in text(ordering)
