"""What a program does about an install that it started: cancel it, try the failed again, vouch for host keys."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from servers.installs.models import HostKey, Install, InstallBatch
from servers.models import Server
from tests.conftest import People
from tests.factories import ServerFactory
from tests.provider_api.calls import shaped
from tests.test_customer_api import Api

pytestmark = pytest.mark.django_db
SHOWN = "SHA256:8Yh1nXQmJcN0r0mVvQm3cGzYk2yDq2k3m1o8bqkZr5E"
ADDRESS = [{"ip": "192.0.2.7", "version": 4, "kind": "fixed", "network": "", "mac": ""}]


@pytest.fixture
def server(people: People) -> Server:
    made: Server = ServerFactory(account=people.account, addresses=ADDRESS)
    return made


@pytest.fixture
def api(people: People) -> Api:
    return Api(people.customer, people.alice)


def started(api: Api, server: Server) -> str:
    answer = api("POST", "installs", {"servers": [str(server.pk)], "user": "root", "password": "hunter2"})
    assert answer.status_code == 202
    return str(answer.json()["id"])


def asks(pk: str) -> None:
    Install.objects.filter(batch=pk).update(
        state="waiting", stage="verify_host", fingerprint=SHOWN, host_key="AAAA", host_key_type="ssh-ed25519"
    )


def test_a_canceled_install_stops_and_canceling_it_again_changes_nothing(api: Api, server: Server) -> None:
    pk = started(api, server)
    for _ in range(2):
        told = api("POST", f"installs/{pk}/cancel")
        assert told.status_code == 200
        assert [(row["state"], row["outcome"]) for row in told.json()["installs"]] == [
            ("canceled", "Canceled by alice@example.com.")
        ]


def test_the_failed_are_tried_again_with_credentials_given_anew(api: Api, server: Server) -> None:
    pk = started(api, server)
    shaped(api("POST", f"installs/{pk}/retry", {"password": "hunter2"}), 409, "nothing_failed")
    Install.objects.filter(batch=pk).update(state="failed", cause="No Python.", ended_at=timezone.now())
    fields = shaped(api("POST", f"installs/{pk}/retry", {}), 400, "invalid")["fields"]
    assert fields["private_key"] == ["Give either a private key or a password."]
    told = api("POST", f"installs/{pk}/retry", {"password": "other", "jump": {"password": "unused"}})
    assert told.status_code == 202
    assert told.json()["id"] != pk
    assert [row["server_id"] for row in told.json()["installs"]] == [str(server.pk)]
    assert InstallBatch.objects.get(pk=told.json()["id"]).ssh_user == "root"
    assert b"other" not in told.content


def test_only_the_host_key_that_is_named_is_trusted(api: Api, server: Server) -> None:
    pk = started(api, server)
    asks(pk)
    shaped(api("POST", f"installs/{pk}/confirm-keys", {"fingerprints": []}), 400, "invalid")
    shaped(api("POST", f"installs/{pk}/confirm-keys", {"fingerprints": ["SHA256:another"]}), 409, "nothing_waits")
    assert not HostKey.objects.exists()
    told = api("POST", f"installs/{pk}/confirm-keys", {"fingerprints": [SHOWN]})
    assert (told.status_code, told.json()["installs"][0]["state"]) == (202, "queued")
    assert HostKey.objects.get().fingerprint == SHOWN


@pytest.mark.parametrize(
    ("deed", "body"), [("cancel", None), ("retry", {"password": "x"}), ("confirm-keys", {"fingerprints": [SHOWN]})]
)
def test_bob_may_and_to_charlie_there_is_no_such_install(
    people: People, api: Api, server: Server, deed: str, body: Any
) -> None:
    pk = started(api, server)
    asks(pk)
    shaped(Api(people.elsewhere, people.charlie)("POST", f"installs/{pk}/{deed}", body), 404, "install_unknown")
    assert Install.objects.get(batch=pk).state == "waiting"
    assert Api(people.customer, people.bob)("POST", f"installs/{pk}/{deed}", body).status_code in (200, 202, 409)
    reader = Api(people.customer, people.alice, ["installs:read"])
    shaped(reader("POST", f"installs/{pk}/{deed}", body), 403, "scope_missing")
