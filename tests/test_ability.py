"""Why something cannot be done to a server: true in every state, the same sentence for page, API and deed."""

from __future__ import annotations

import pytest

from accounts import clouds
from accounts.clouds import State
from accounts.models import CloudAccount
from servers.actions import ability, actions
from servers.actions.kinds import KINDS
from servers.models import Server
from tests.conftest import People
from tests.factories import AccountFactory, EndpointFactory, ServerFactory
from tests.pages import text
from tests.test_customer_api import Api

pytestmark = pytest.mark.django_db
TABLES = [(platform, generation) for platform in clouds.platforms() for generation in clouds.tables(platform)]


def server_at(platform: str, generation: str, state: State, raw_state: str) -> Server:
    account: CloudAccount = AccountFactory(
        endpoint=EndpointFactory(platform=platform, slug="far"), generation=generation, credentials_version=1
    )
    made: Server = ServerFactory(account=account, state=state, raw_state=raw_state)
    return made


@pytest.mark.parametrize(("platform", "generation"), TABLES)
def test_what_a_failed_server_is_refused_names_its_clouds_word_and_what_leads_out(
    platform: str, generation: str
) -> None:
    server = server_at(platform, generation, State.FAILED, "ERROR")
    said = dict(zip(KINDS, (words for _, words in ability.offered(server)), strict=True))
    for name, kind in KINDS.items():
        able = clouds.tables(platform)[generation][kind.operation]
        if not able.allowed:
            assert said[name] == able.reason
        elif not able.refusal(State.FAILED):
            assert said[name] == ""
        else:
            assert said[name].startswith("Its cloud says ERROR; what it takes then is: ")
            ways = said[name].split(": ")[1].rstrip(".").split(", ")
            assert ways
            assert all(not said[one.name] for one in KINDS.values() if one.label in ways), "no way leads in a circle"


@pytest.mark.parametrize(("platform", "generation"), TABLES)
def test_a_server_of_unknown_state_is_left_to_its_cloud_but_for_what_cannot_be_brought_back(
    platform: str, generation: str
) -> None:
    server = server_at(platform, generation, State.UNKNOWN, "MIXED")
    for kind, words in ability.offered(server):
        able = clouds.tables(platform)[generation][kind.operation]
        if not able.allowed:
            assert words == able.reason
        elif kind.danger and able.refusal(State.UNKNOWN):
            assert words == "Its cloud says MIXED; wait until it says whether the server runs."
        else:
            assert words == ""


@pytest.mark.parametrize("kind", ["start", "stop"])
def test_page_api_and_deed_say_the_same_of_it(people: People, kind: str) -> None:
    CloudAccount.objects.filter(pk=people.account.pk).update(generation="modern", credentials_version=1)
    server = ServerFactory(account=people.account, state=State.FAILED, raw_state="ERROR")
    words = "Its cloud says ERROR; what it takes then is: Reset, Revert to a snapshot, Delete."
    assert words in people.browser(people.bob).get(f"/servers/{server.pk}/").content.decode()
    told = Api(people.customer, people.alice)("GET", f"servers/{server.pk}/actions").json()
    assert {one["kind"]: one["reason"] for one in told}[kind] == words
    row = actions.start([server], kind=kind, by=people.alice, customer=people.customer).actions.get()
    assert (row.state, row.outcome, row.called_at) == ("failed", words, None)


def test_a_gone_servers_page_offers_nothing_that_leads_nowhere(people: People) -> None:
    CloudAccount.objects.filter(pk=people.account.pk).update(generation="modern", credentials_version=1)
    server = ServerFactory(account=people.account)
    Server.objects.filter(pk=server.pk).update(gone_at="2026-01-02T03:04:05Z")
    page = people.browser(people.alice).get(f"/servers/{server.pk}/")
    assert "This server is gone" in text(page)
    content = page.content.decode()
    assert f"/actions/new?kind=stop&amp;ids={server.pk}" not in content
    assert f"/actions/snapshots/{server.pk}/" not in content
    server = Server.objects.select_related("customer", "account__endpoint").get(pk=server.pk)
    assert {words for _, words in ability.offered(server)} == {ability.GONE}
