"""Signing in to a real, modern OpenStack, what it offers, and its listings; and our simulator beside it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import requests

from accounts.clouds import State
from accounts.clouds.operations import Network
from console.demo.openstack import Cloud, serve
from console.demo.population import stock
from console.lib.faults import BadCredentials, Refused
from tests.clouds.captured import differences
from tests.clouds.demo_caller import session
from tests.processes import wait
from tests.realstack.furnishing import PASSWORD, PERSON, PROJECT, application_credential
from tests.realstack.ground import PAGE
from tests.realstack.person import Person

PATHS = ("/servers/{}", "/servers/detail", "/servers", "/flavors/detail?limit=1", "/servers/{}/os-instance-actions")
pytestmark = pytest.mark.timeout(600)


def test_both_ways_to_sign_in_are_negotiated_from_every_form_of_the_url(person: Person) -> None:
    secret = application_credential(person.stack.ground, person.token())
    for credentials in ({"username": PERSON, "password": PASSWORD, "project": PROJECT}, secret):
        for url in (
            person.stack.ground.keystone,
            f"{person.stack.ground.keystone}/",
            person.stack.ground.url("keystone"),
        ):
            checked = person.opened(credentials, url).check()
            assert (checked.version, checked.generation) == ("Keystone v3, Nova v2.1", "modern")


def test_wrong_secrets_are_told_from_a_project_that_is_not_ours(person: Person) -> None:
    for wrong in (
        {"username": PERSON, "password": "wrong-word", "project": PROJECT},
        {"username": PERSON, "password": PASSWORD, "project": "admin"},
        {"application_credential_id": "0" * 32, "application_credential_secret": "wrong-word"},
    ):
        with pytest.raises(BadCredentials) as told:
            person.opened(wrong).check()
        assert "wrong-word" not in told.value.words


def test_sizes_images_and_networks_are_offered_whole(person: Person) -> None:
    found = person.stack.furnished
    sizes = {size.id: (size.name, size.cpus, size.memory_mb, size.disk_gb) for size in person.driver.sizes()}
    assert sizes == {str(number): (f"m{number}", 1, 64 * number, 1) for number in range(1, 6)}
    assert len(sizes) > PAGE
    images = {image.name: image for image in person.driver.images()}
    assert {name: image.id for name, image in images.items()} == found.images
    assert (images["tiny"].min_disk_gb, images["tiny"].min_memory_mb) == (1, 64)
    assert set(person.driver.networks()) == {Network(id, name) for name, id in found.networks.items()}
    assert person.driver.rates() == ()


def test_seven_servers_on_pages_of_three_are_listed_whole(person: Person) -> None:
    # Their size and image are on the second page of sizes and of images.
    tasks = [person.begun(person.order(f"one-{number}", size="5")) for number in range(7)]
    for task in tasks:
        person.done(task)
    pages = list(person.driver.servers())
    assert [len(page) for page in pages] == [3, 3, 1]
    listed = [facts for page in pages for facts in page]
    assert {facts.external_id for facts in listed} == {task.server_id for task in tasks}
    assert {(facts.state, facts.size, facts.memory_mb, facts.image) for facts in listed} == {
        (State.RUNNING, "m5", 320, "tiny")
    }
    assert {facts.external_id: facts for facts in listed} == {
        task.server_id: person.facts(task.server_id) for task in tasks
    }


def test_changes_tell_what_changed_and_what_is_gone(person: Person) -> None:
    stays, stops, goes = (person.server(name) for name in ("stays", "stops", "goes"))
    quiet = person.facts(stays)
    since = _next_second(person)
    person.done(person.driver.stop(stops))
    person.done(person.driver.delete(goes))
    changed, gone = person.driver.changes(since)
    assert {facts.external_id: facts.state for facts in changed} == {stops: State.STOPPED}
    assert goes in gone
    assert person.facts(stays) == quiet
    assert person.driver.changes(datetime.now(UTC) + timedelta(hours=1)) == ((), frozenset())


def test_with_several_networks_the_cloud_wants_one_named_and_says_so(person: Person) -> None:
    with pytest.raises(Refused, match="Multiple possible networks found"):
        person.driver.create(person.order("undecided", networks=()))


def test_a_token_that_was_taken_away_is_got_anew(person: Person) -> None:
    server = person.server("patient")
    ground = person.stack.ground
    token = str(person.driver._auth.get_token(person.driver._keystone))  # type: ignore[attr-defined]
    reply = requests.delete(
        f"{ground.keystone}/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": token}, timeout=60
    )
    assert reply.status_code == 204
    assert person.facts(server).name == "patient"


@pytest.mark.parametrize("minor", [1, 47, 96])
def test_our_simulator_writes_servers_as_the_real_one_does(person: Person, minor: int) -> None:
    server = person.server("model", metadata={"a": "1"})
    cloud = Cloud()
    stock(cloud)
    ours = cloud.add("model", status="ACTIVE", metadata={"a": "1"})
    cloud.house(ours)
    with serve(cloud) as site:
        simulated, compute = session(site)
        real = requests.Session()
        real.headers["X-Auth-Token"] = person.token().text
        for caller in (simulated, real):
            caller.headers["OpenStack-API-Version"] = f"compute 2.{minor}"
        for path in PATHS:
            theirs = real.get(person.stack.ground.url("nova") + "/v2.1" + path.format(server), timeout=60).json()
            told = simulated.get(compute + path.format(ours.id), timeout=60).json()
            assert differences(told, [theirs]) == [], path


def _next_second(person: Person) -> datetime:
    # changes-since reads whole seconds: what happened in this one would count as changed.
    now = datetime.now(UTC)
    wait(lambda: datetime.now(UTC) - now > timedelta(seconds=1.1), 5, "the clock stands still")
    return datetime.now(UTC)
