"""One server's page: what cloud and agent say, what happened, and what can be done or why not."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from console.lib import audit
from servers.agents.models import Agent
from servers.installs.models import Install, InstallBatch
from servers.models import Server
from tests.conftest import People
from tests.factories import ServerFactory
from tests.pages import text
from tests.test_server_list import agent

ADDRESS = [{"ip": "10.0.0.5", "version": 4, "kind": "fixed", "network": "private", "mac": "fa:16:3e:00:00:01"}]


def page(people: People, server: Server) -> str:
    return text(people.browser(people.alice).get(f"/servers/{server.pk}/"))


def test_the_page_tells_what_the_cloud_tells(people: People) -> None:
    server = ServerFactory(
        account=people.account, name="web", addresses=ADDRESS, size="m1.small", cpus=2, memory_mb=4096, disk_gb=40,
        image="Debian 12", region="north", raw_state="ACTIVE", external_id="8f2c",
    )  # fmt: skip
    said = page(people, server)
    for words in ("web", "Running", "m1.small", "2 CPUs, 4 GB, 40 GB disk", "Debian 12", "north", "8f2c", "10.0.0.5",
                  "fa:16:3e:00:00:01", "Main account", "OpenStack"):  # fmt: skip
        assert words in said


def test_the_page_tells_what_the_agent_tells_disk_by_disk(people: People) -> None:
    server = ServerFactory(account=people.account)
    agent(server, load1=0.5, memory_used=2**30, memory_total=4 * 2**30, facts={
        "os": {"name": "Debian GNU/Linux", "version": "12"}, "kernel": "6.1.0", "cpus": 4, "arch": "x86_64",
    }, metrics={"uptime_seconds": 90000, "disks": [
        {"mount": "/", "used_bytes": 2**30, "total_bytes": 2**31},
        {"mount": "/srv", "used_bytes": None, "total_bytes": None},
    ]})  # fmt: skip
    said = page(people, server)
    for words in ("Debian GNU/Linux 12", "6.1.0", "4 × x86_64", "1 d 1 h", "1 GB of 4 GB", "1 GB of 2 GB"):
        assert words in said
    assert "/srv" not in said


def test_an_agent_that_told_nothing_yet_breaks_nothing(people: People) -> None:
    server = ServerFactory(account=people.account)
    agent(server, facts={}, metrics={})
    assert "Managed" in page(people, server)


def test_what_cannot_be_done_is_there_with_its_reason(people: People) -> None:
    managed, stopped = ServerFactory(account=people.account, addresses=ADDRESS), ServerFactory(
        account=people.account, addresses=ADDRESS, state="stopped")  # fmt: skip
    agent(managed)
    browser = people.browser(people.alice)
    assert 'data-tip="Its agent reports already.' in browser.get(f"/servers/{managed.pk}/").content.decode()
    content = browser.get(f"/servers/{stopped.pk}/").content.decode()
    assert 'data-tip="The server is stopped. Start the server, then try again."' in content
    assert 'class="reason">There is no agent on it.</span>' in content


def test_a_server_that_its_cloud_no_longer_lists_says_since_when(people: People) -> None:
    server = ServerFactory(account=people.account, missing_since=timezone.now() - timedelta(hours=2))
    assert "Main account stopped listing this server 2 h ago" in page(people, server)


def test_an_offline_agent_says_when_it_was_heard_and_what_to_do(people: People) -> None:
    server = ServerFactory(account=people.account)
    agent(server, last_seen_at=timezone.now() - timedelta(hours=3, minutes=1))
    said = page(people, server)
    assert "Agent offline" in said
    assert "The agent was last heard 3 h ago The server runs." in said


def test_an_agent_on_a_stopped_server_is_not_called_offline(people: People) -> None:
    server = ServerFactory(account=people.account, state="stopped")
    agent(server, last_seen_at=timezone.now() - timedelta(hours=3, minutes=1))
    said = page(people, server)
    assert "Server off" in said and "Agent offline" not in said
    assert "The agent was last heard 3 h ago" in said
    assert "The server is stopped: start it, and the agent reports again by itself." in said


def test_what_the_agent_tells_of_packages_and_reboots_stands_there(people: People) -> None:
    server = ServerFactory(account=people.account)
    agent(server, facts={"packages": 1412, "reboot_needed": True})
    said = page(people, server)
    assert "Packages 1 412" in said
    assert "Reboot Needed" in said


def test_the_last_failed_install_stands_there_with_cause_and_fix(people: People) -> None:
    server = ServerFactory(account=people.account, addresses=ADDRESS)
    batch = InstallBatch.objects.create(customer=people.customer, by=people.bob, ssh_user="root")
    Install.objects.create(batch=batch, server=server, state="failed", cause="No Python.", fix="Install python3.",
                           ended_at=timezone.now())  # fmt: skip
    said = page(people, server)
    assert "The last install failed" in said
    assert said.count("Install python3.") == 2  # the notice, and the time line
    assert "by bob@example.com" in said


def test_the_time_line_tells_deeds_agent_and_cloud_in_order(people: People) -> None:
    server = ServerFactory(account=people.account, cloud_created_at=timezone.now() - timedelta(days=9))
    audit.note(audit.Actor.of(people.bob), "agent.removed", target=server, customer_id=people.customer.pk)
    said = page(people, server)
    removed, listed, created = (said.index(words) for words in (
        "Removed the agent from", "First listed by Main account", "Created in the cloud"))  # fmt: skip
    assert removed < listed < created
    assert "by bob@example.com" in said


def test_removing_the_agent_asks_first_and_then_lets_it_uninstall_itself(people: People) -> None:
    server = ServerFactory(account=people.account, name="web")
    made = agent(server)
    browser = people.browser(people.bob)
    asked = browser.get(f"/servers/{server.pk}/remove-agent")
    assert "web" in text(asked)
    assert Agent.objects.get(pk=made.pk).state == "live"
    done = browser.post(f"/servers/{server.pk}/remove-agent", follow=True)
    assert "it uninstalls itself when it reports next" in text(done)
    assert Agent.objects.get(pk=made.pk).state == "leaving"
    assert "There is no agent on this server any more." in text(
        browser.post(f"/servers/{server.pk}/remove-agent", follow=True)
    )
