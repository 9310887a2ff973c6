"""Who may call a simulated CloudStack, with which version's commands, and how often: checked as the server does it."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest
import requests
from cs import CloudStackApiException
from hypothesis import given
from hypothesis import strategies as st

from console.demo.cloudstack import Cloud, serve
from console.demo.cloudstack_signature import java_encoded
from tests.clouds.cloudstack_caller import ask, client, refused, say, signed
from tests.clouds.demo_caller import Clock


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFFF, exclude_categories=["Cs"])))
def test_java_encodes_as_python_does_but_for_tilde_and_star(value: str) -> None:
    assert java_encoded(value) == quote(value, safe="*").replace("~", "%7E")


def test_a_tilde_breaks_the_signature_of_cs_and_nothing_else_does() -> None:
    with serve(Cloud.sized(1)) as site:
        (machine,) = site.cloud.machines
        for name in ("a b", "a*b", "a[0]", "a+b/=?", "été ☃", "a&b=c", "100%"):
            made = client(site).updateVirtualMachine(id=machine, displayname=name)["virtualmachine"]
            assert made["displayname"] == name
        with pytest.raises(CloudStackApiException) as caught:
            client(site).updateVirtualMachine(id=machine, displayname="~home")
        assert caught.value.error == {
            "uuidList": [],
            "errorcode": 401,
            "errortext": "unable to verify user credentials and/or request signature",
        }
        row = ask(site, "updateVirtualMachine", id=machine, displayname="~home")["virtualmachine"]
        assert row["displayname"] == "~home"


def test_names_are_sorted_as_they_are_sent_so_that_mixed_case_counts() -> None:
    with serve(Cloud.sized(1)) as site:
        ask(site, "listVirtualMachines", listAll="true", Zeta="1", alpha="2")


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"signatureVersion": "3", "expires": "2026-11-22T12:05:00+0000"}, True),
        ({"signatureVersion": "3", "expires": "2026-11-22T17:35:00+0530"}, True),
        ({"signatureVersion": "3", "expires": "2026-11-22T11:59:59+0000"}, False),
        ({"signatureVersion": "3", "expires": "soon"}, False),
        ({"signatureVersion": "3"}, False),
        ({"apikey": "somebody-else"}, False),
    ],
)
def test_a_call_needs_a_known_key_and_a_time_that_has_not_passed(change: dict[str, str], good: bool) -> None:
    with serve(Cloud.sized(1)) as site:
        site.cloud.wall = Clock()
        assert say(site, "listZones", **change).status_code == (200 if good else 401)


def test_a_call_with_no_signature_or_a_changed_one_is_refused() -> None:
    with serve(Cloud.sized(1)) as site, requests.Session() as session:
        for spoiled in ({"signature": None}, {"signature": "AAAA"}, {"keyword": "vm"}):
            params = signed(site, "listVirtualMachines") | spoiled
            assert session.get(site.url, params=params, timeout=10).status_code == 401
        assert session.get(site.url, timeout=10).status_code == 401
        assert session.get(site.url.replace("/client/api", "/other"), timeout=10).status_code == 404


def test_a_strict_cloud_wants_changes_by_post_and_a_time_within_15_minutes() -> None:
    with serve(Cloud.sized(1)) as site:
        site.cloud.enforce_post, site.cloud.wall = True, Clock()
        (machine,) = site.cloud.machines
        soon = {"signatureVersion": "3", "expires": "2026-11-22T12:15:00+0000"}
        late = {"signatureVersion": "3", "expires": "2026-11-22T12:15:01+0000"}
        code, _, words = refused(site, "stopVirtualMachine", id=machine, **soon)
        assert (code, words) == (400, "State changing command stopVirtualMachine needs to be sent using POST request")
        assert ask(site, "stopVirtualMachine", method="POST", id=machine, **soon)["jobid"]
        assert ask(site, "listZones", **soon)["count"] == 2
        assert refused(site, "listZones", **late)[0] == 401
        assert refused(site, "listZones")[0] == 401


# --- versions and limits


@pytest.mark.parametrize(
    ("command", "absent", "present"),
    [
        ("listVMSnapshot", "4.1.0", "4.2.0"),
        ("scaleVirtualMachine", "4.0.2", "4.2.0"),
        ("createTags", "3.0.2", "4.0.2"),
        ("createConsoleEndpoint", "4.17.2.0", "4.18.0.0"),
        ("resetUserDataForVirtualMachine", "4.17.2.0", "4.18.0.0"),
        ("getVirtualMachineUserData", "4.3.2", "4.4.0"),
    ],
)
def test_a_command_is_there_from_its_version_on(command: str, absent: str, present: str) -> None:
    with serve(Cloud.sized(1, version=absent)) as site:
        code, cs_code, words = refused(site, command)
        if site.cloud.release < (4, 2):
            expected = (432, 9999, "The given command does not exist or it is not available for user")
        else:
            expected = (401, None, "unable to verify user credentials and/or request signature")
        assert (code, cs_code, words) == expected
        assert list(say(site, command).json()) == ["errorresponse"]
    with serve(Cloud.sized(1, version=present)) as site:
        assert list(say(site, command).json()) == [f"{command.lower()}response"]


@pytest.mark.parametrize("version", ["2.2.14", "3.0.2", "4.1.0", "4.11.3.0", "4.20.0.0", "4.22.1.0"])
def test_a_cloud_says_its_version_and_its_kind_of_json(version: str) -> None:
    with serve(Cloud.sized(1, version=version)) as site:
        reply = say(site, "listCapabilities")
        assert reply.json()["listcapabilitiesresponse"]["capability"]["cloudstackversion"] == version
        old = site.cloud.release < (4, 4)
        assert reply.headers["Content-Type"].startswith("text/javascript" if old else "application/json")
        assert client(site).listZones(fetch_list=True)[0]["name"] == "zone-1"


def test_a_call_too_many_is_told_how_long_to_wait_in_words_only() -> None:
    clock = Clock()
    with serve(Cloud.sized(1)) as site:
        site.cloud.clock, site.cloud.rate = clock, (2, 1.0)
        ask(site, "listZones")
        clock.now += timedelta(seconds=0.4)
        ask(site, "listZones")
        reply = say(site, "listZones")
        words = "The given user has reached his/her account api limit, please retry after 600 ms."
        assert (reply.status_code, reply.json()["listzonesresponse"]["errortext"]) == (429, words)
        assert "Retry-After" not in reply.headers
        clock.now += timedelta(seconds=0.6)
        said = ask(site, "listCapabilities")["capability"]
        assert (said["apilimitmax"], said["apilimitinterval"]) == (2, 1)
