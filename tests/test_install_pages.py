"""The install form and its progress: who is frozen and shown, no secret is written back, every outcome has words."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from console.lib import audit
from providers import customers
from servers.installs import install
from servers.installs.models import HostKey, Install, InstallBatch
from servers.models import Server
from tests.conftest import People
from tests.factories import AccountFactory, MembershipFactory, ServerFactory
from tests.pages import text
from tests.test_server_list import agent

VIEWS = ("waiting", "failed", "active", "done")
WAY = {"user": "root", "port": "22", "method": "password", "password": "hunter2", "host_keys": "show", "use_sudo": "on"}


def server(people: People, **fields: Any) -> Server:
    address = {"ip": "192.0.2.7", "version": 4, "kind": "fixed", "network": "n", "mac": ""}
    return ServerFactory(**{"account": people.account, "addresses": [address]} | fields)


def frozen(content: str) -> set[str]:
    """The ids that the form would send."""
    found = re.search(r'name="targets" value="([^"]*)"', content)
    return set(found[1].split(",")) if found and found[1] else set()


def test_the_form_lists_exactly_the_ticked_servers_and_freezes_them(people: People) -> None:
    one, two, other = (server(people, name=name) for name in ("one", "two", "other"))
    content = people.browser(people.alice).get("/installs/new", {"ids": [one.pk, two.pk]}).content.decode()
    assert frozen(content) == {str(one.pk), str(two.pk)}
    assert other.name not in content


def test_all_that_match_means_the_query_of_the_page_and_not_what_was_ticked(people: People) -> None:
    matching = {str(server(people, name=f"web-{number}").pk) for number in range(3)}
    ticked = server(people, name="db")
    browser = people.browser(people.alice)
    page = browser.get("/installs/new", {"ids": [ticked.pk], "all_matching": "1", "q": "web"})
    assert frozen(page.content.decode()) == matching
    assert frozen(browser.get("/installs/new", {"ids": [ticked.pk], "q": "web"}).content.decode()) == {str(ticked.pk)}
    refused = browser.get("/installs/new", {"all_matching": "1", "q": "colour:red"}, follow=True)
    assert 'There is no key "colour:"' in text(refused)


def test_servers_that_cannot_be_done_are_shown_with_the_reason_and_left_out(people: People) -> None:
    fine, stopped, managed = server(people), server(people, state="stopped"), server(people)
    agent(managed)
    bare = server(people, addresses=[])
    page = people.browser(people.alice).get(
        "/installs/new", {"ids": [one.pk for one in (fine, stopped, managed, bare)]}
    )
    assert frozen(page.content.decode()) == {str(fine.pk)}
    said = text(page)
    for words in ("3 are left out", "The server is stopped.", "Its agent reports already.", "shows no address"):
        assert words in said


def test_what_was_frozen_is_what_is_installed_on_whatever_matches_by_then(people: People) -> None:
    chosen = server(people, name="web-1")
    browser = people.browser(people.bob)
    content = browser.get("/installs/new", {"q": "web"}).content.decode()
    server(people, name="web-2")
    answer = browser.post("/installs/new", {**WAY, "targets": ",".join(frozen(content))})
    batch = InstallBatch.objects.get()
    assert answer["Location"] == f"/installs/{batch.pk}/"
    assert [row.server_id for row in batch.installs.all()] == [chosen.pk]
    assert (batch.by, batch.ssh_user, batch.method, batch.port, batch.use_sudo) == (
        people.bob,
        "root",
        "password",
        22,
        True,
    )
    assert batch.credentials() == {"password": "hunter2", "sudo_password": "hunter2"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"user": ""}, "This field is required."),
        ({"user": "-oProxy"}, "Write the name of a user on the server, such as root, ubuntu or debian."),
        ({"port": "70000"}, "A port is a number from 1 to 65535."),
        ({"port": "ssh"}, "A port is a number from 1 to 65535."),
        ({"password": ""}, "Give the password of the SSH user."),
        ({"method": "key"}, "Paste the private key, or choose its file."),
        ({"method": "key", "private_key": "PuTTY-User-Key-File-3: x"}, "This is a PuTTY key (.ppk)."),
        ({"method": "key", "private_key": "ssh-ed25519 AAAAC3Nza me"}, "This is a public key. Paste the private key"),
        ({"targets": ""}, "There is nothing to install on. Select servers in the list."),
    ],
)
def test_a_wrong_field_says_what_is_wrong_and_no_secret_is_written_back(
    people: People, change: dict[str, str], words: str
) -> None:
    chosen = server(people)
    answer = people.browser(people.alice).post("/installs/new", {**WAY, "targets": str(chosen.pk), **change})
    assert answer.status_code == 422
    assert words in text(answer)
    assert "hunter2" not in answer.content.decode()
    assert "PuTTY-User-Key-File" not in answer.content.decode()
    assert not InstallBatch.objects.exists()


def test_a_key_file_counts_instead_of_a_pasted_key(people: People) -> None:
    file = SimpleUploadedFile("id.pub", b"ssh-ed25519 AAAAC3Nza me")
    given = {**WAY, "method": "key", "private_key": "x", "key_file": file, "targets": str(server(people).pk)}
    answer = people.browser(people.alice).post("/installs/new", given)
    assert "This is a public key." in text(answer)
    given["key_file"] = SimpleUploadedFile("id", b"\xff\xfe\x00")
    assert "This file is not text." in text(people.browser(people.alice).post("/installs/new", given))


def test_servers_of_two_customers_become_one_install_each(people: People) -> None:
    other = AccountFactory()
    MembershipFactory(customer=other.customer, user=people.alice)
    both = [server(people), server(people, account=other)]
    answer = people.browser(people.alice).post(
        "/installs/new", {**WAY, "targets": ",".join(str(one.pk) for one in both)}, follow=True
    )
    assert "2 installs were started, one for each workspace." in text(answer)
    assert {batch.customer_id for batch in InstallBatch.objects.all()} == {people.customer.pk, other.customer_id}


def test_a_foreign_server_is_not_installed_on_and_not_told_of(people: People) -> None:
    mine, foreign = server(people), ServerFactory(name="foreign")
    browser = people.browser(people.alice)
    assert browser.get("/installs/new", {"ids": [foreign.pk]}).status_code == 404
    assert browser.post("/installs/new", {**WAY, "targets": str(foreign.pk)}).status_code == 404
    page = browser.get("/installs/new", {"ids": [mine.pk, foreign.pk]})
    assert "foreign" not in page.content.decode()
    browser.post("/installs/new", {**WAY, "targets": f"{mine.pk},{foreign.pk}"})
    assert [row.server_id for row in Install.objects.all()] == [mine.pk]


def test_a_suspended_workspace_cannot_install_and_says_so(people: People) -> None:
    chosen = server(people)
    customers.suspend(people.customer, audit.SYSTEM)
    browser = people.browser(people.alice)
    assert "This workspace is suspended: nothing can be installed." in text(
        browser.get("/installs/new", {"ids": [chosen.pk]})
    )
    assert browser.post("/installs/new", {**WAY, "targets": str(chosen.pk)}).status_code == 422
    assert not InstallBatch.objects.exists()


@pytest.fixture
def batch(people: People) -> InstallBatch:
    """One done, one that waits for its host key, one failed, one queued."""
    made = install.start([server(people, name=name) for name in ("a-done", "b-waits", "c-failed", "d-queued")],
                         by=people.alice, customer=people.customer, user="root", password="hunter2")  # fmt: skip
    now = timezone.now()

    def put(name: str, **fields: Any) -> None:
        made.installs.filter(server__name=name).update(**fields)

    gone = [
        {"stage": stage.value, "started_at": now.isoformat(), "seconds": 0.5, "ok": True} for stage in Install.Stage
    ]
    put(
        "a-done",
        state="done",
        stage="first_heartbeat",
        stages=gone,
        started_at=now - timedelta(seconds=9),
        ended_at=now,
    )
    put("b-waits", state="waiting", stage="verify_host", stages=[*gone[:1], {**gone[1], "seconds": None, "ok": None}],
        host_key_type="ssh-ed25519", host_key="AAAA", fingerprint="SHA256:abc")  # fmt: skip
    put("c-failed", state="failed", stage="sign_in", stages=[*gone[:2], {**gone[2], "ok": False}],
        cause="The server did not take this password.", fix="Check the user's name.", ended_at=now)  # fmt: skip
    return made


def test_the_progress_tells_each_server_its_steps_cause_and_fix(people: People, batch: InstallBatch) -> None:
    page = people.browser(people.bob).get(f"/installs/{batch.pk}/")
    said = text(page)
    for words in ("Install on 4 servers", "Waits for you", "c-failed", "The server did not take this password.",
                  "Check the user's name.", "Queued", "by alice@example.com"):  # fmt: skip
        assert words in said
    hosts = re.findall(r'<article class="host".*?title="([\w-]+)"(.*?)</article>', page.content.decode(), re.DOTALL)
    steps = {name: re.findall(r'data-state="(\w+)"', body) for name, body in hosts}
    assert steps["a-done"] == ["done"] * 7
    assert steps["b-waits"] == ["done", "asks", *["waiting"] * 5]
    assert steps["c-failed"] == ["done", "done", "failed", *["skipped"] * 4]
    assert steps["d-queued"] == ["waiting"] * 7


def test_one_line_is_fetched_as_the_page_draws_it(people: People, batch: InstallBatch) -> None:
    browser = people.browser(people.alice)
    whole = browser.get(f"/installs/{batch.pk}/").content.decode()
    for row in batch.installs.all():
        assert browser.get(f"/installs/hosts/{row.pk}/row").content.decode().strip() in whole


def test_the_views_narrow_the_list_and_an_unknown_one_is_not_there(people: People, batch: InstallBatch) -> None:
    browser = people.browser(people.alice)
    pages = {show: browser.get(f"/installs/{batch.pk}/?show={show}") for show in VIEWS}
    hosts = {show: re.findall(r'title="([a-d]-\w+)"', page.content.decode()) for show, page in pages.items()}
    assert hosts == {"waiting": ["b-waits"], "failed": ["c-failed"], "active": ["d-queued"], "done": ["a-done"]}
    assert browser.get(f"/installs/{batch.pk}/?show=nonsense").status_code == 404
    assert "No server here." in text(browser.get(f"/installs/{batch.pk}/?page=9"))


def test_confirming_trusts_exactly_the_fingerprints_that_were_shown(people: People, batch: InstallBatch) -> None:
    browser = people.browser(people.bob)
    address = f"/installs/{batch.pk}/confirm-host-keys"
    assert 'name="fingerprints" value="SHA256:abc"' in browser.get(f"/installs/{batch.pk}/").content.decode()
    refused = browser.post(address, {"fingerprints": "SHA256:another"}, follow=True)
    assert "No host key waits to be confirmed here." in text(refused)
    assert not HostKey.objects.exists()
    browser.post(address, {"fingerprints": "SHA256:abc"})
    assert HostKey.objects.get().confirmed_by == people.bob
    assert batch.installs.get(server__name="b-waits").state == "queued"


def test_a_retry_asks_for_the_credentials_again_and_takes_only_what_failed(people: People, batch: InstallBatch) -> None:
    install.cancel(batch, by=people.alice)
    browser = people.browser(people.bob)
    asked = text(browser.get(f"/installs/{batch.pk}/retry"))
    assert "c-failed" in asked
    assert "a-done" not in asked
    wrong = browser.post(f"/installs/{batch.pk}/retry", {"method": "password"})
    assert (wrong.status_code, "Give the password of the SSH user." in text(wrong)) == (422, True)
    answer = browser.post(f"/installs/{batch.pk}/retry", {"method": "password", "password": "another"})
    again = InstallBatch.objects.exclude(pk=batch.pk).get()
    assert answer["Location"] == f"/installs/{again.pk}/"
    assert [row.server.name for row in again.installs.all()] == ["c-failed"]


def test_canceling_lists_what_would_stop_and_stops_it(people: People, batch: InstallBatch) -> None:
    browser = people.browser(people.alice)
    asked = text(browser.get(f"/installs/{batch.pk}/cancel"))
    assert "b-waits" in asked
    assert "a-done" not in asked
    assert "2 stopped." in text(browser.post(f"/installs/{batch.pk}/cancel", follow=True))
    assert set(batch.installs.values_list("state", flat=True)) == {"done", "failed", "canceled"}


def test_a_changed_host_key_can_be_forgotten_after_a_warning(people: People, batch: InstallBatch) -> None:
    row = batch.installs.get(server__name="c-failed")
    Install.objects.filter(pk=row.pk).update(fingerprint="SHA256:new", stage="verify_host")
    HostKey.objects.create(
        server=row.server, key_type="ssh-ed25519", key="A", fingerprint="SHA256:old", source="person"
    )
    browser = people.browser(people.alice)
    assert "Forget the host key on record" in text(browser.get(f"/installs/{batch.pk}/"))
    assert "It showed SHA256:new" in text(browser.get(f"/installs/hosts/{row.pk}/forget-host-key"))
    browser.post(f"/installs/hosts/{row.pk}/forget-host-key")
    assert not HostKey.objects.exists()


def test_the_progress_is_told_in_parts_that_hints_refetch(people: People, batch: InstallBatch) -> None:
    content = people.browser(people.alice).get(f"/installs/{batch.pk}/").content.decode()
    assert f'id="batch-{batch.pk}"' in content
    for row in batch.installs.all():
        assert f'id="install-{row.pk}"' in content
    assert 'data-hints="installs"' in content


def test_the_demo_says_who_signs_in_and_where_the_key_is(people: People, settings: Any, tmp_path: Any) -> None:
    settings.MUSTER_HOME, settings.DEMO = tmp_path, True
    ask = {"ids": [server(people).pk]}
    browser = people.browser(people.alice)
    assert "This is the demo" not in text(browser.get("/installs/new", ask))
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "site.json").write_text(
        '{"ssh_user": "demo", "ssh_port": 2222, "ssh_key": "/home/x/id_ed25519", "ssh_instances": {"web": "127.1"}}'
    )
    page = browser.get("/installs/new", ask)
    assert "Sign in as demo on port 2222" in text(page)
    assert "cat /home/x/id_ed25519" in text(page)
    assert 'value="demo"' in page.content.decode()
    assert 'value="2222"' in page.content.decode()
    settings.DEMO = False
    assert "This is the demo" not in text(browser.get("/installs/new", ask))
