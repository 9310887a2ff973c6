"""Whatever goes wrong on the wire ends as the fault that fits, in words, in time, and never as a shorter list."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from accounts.clouds import State
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Phase
from console.demo.mishaps import Kind, Mishaps
from console.demo.wire import Listener, as_json
from console.lib.faults import BadCredentials, Fault, Refused, SlowDown, Unreachable
from tests.clouds.contract.mishaps import DEADLINE, FAULTS, QUICK, SLOW, TOO_MUCH
from tests.clouds.contract.sites import PAGE, Site
from tests.clouds.contract.versions import EACH_GENERATION

SERVERS = 2 * PAGE + 5
KINDS = pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.value)
QUICK_KINDS = pytest.mark.parametrize("kind", QUICK, ids=lambda kind: kind.value)


def plan(kind: Kind, **more: Any) -> dict[str, Any]:
    pause = {Kind.DRIP: 0.2, Kind.HANG: 5.0}.get(kind, 0.0)
    return {"times": None, "retry_after": 7, "size": TOO_MUCH, "pause": pause} | more


def signed_in(site: Site, kind: Kind) -> ActingDriver:
    """A driver that knows its cloud; one that will be kept waiting has no patience from then on."""
    driver = site.driver()
    driver.check()
    if kind in SLOW:
        site.transport.deadline = DEADLINE
    return driver


@contextmanager
def failing(site: Site, kind: Kind) -> Iterator[None]:
    """What happens inside ends in the fault of that kind: its class, in words, in time, without a secret."""
    began = time.monotonic()
    with pytest.raises(Fault) as caught:
        yield
    fault = caught.value
    assert isinstance(fault, FAULTS[kind]), fault.words
    assert time.monotonic() - began < 10
    assert " " in fault.words
    for secret in (site.credentials[key] for key in site.credentials.keys() - {"username", "project", "org"}):
        assert secret not in fault.words
    if isinstance(fault, SlowDown):
        silent = kind is Kind.OVER_LIMIT and site.generation.startswith("diablo")  # its Nova says no time
        assert fault.retry_after == 7 or (silent and fault.retry_after is None)


@contextmanager
def elsewhere() -> Iterator[tuple[str, deque[tuple[str, str]]]]:
    """Another origin on this machine, and all that it received."""
    seen: deque[tuple[str, str]] = deque()
    listener = Listener(0, lambda _: as_json(200, {}), Mishaps(), seen)
    listener.start()
    try:
        yield listener.url.replace("127.0.0.1", "localhost"), seen
    finally:
        listener.stop()


def test_every_mishap_is_tried() -> None:
    assert set(FAULTS) | {Kind.EMPTY, Kind.ELSEWHERE} == set(Kind)


@KINDS
@EACH_GENERATION
def test_a_mishap_of_a_listing_is_a_fault_and_never_a_shorter_list(site: Site, kind: Kind) -> None:
    site.stock(SERVERS)
    for after in (0, 1) if kind in QUICK else (1,):
        driver = signed_in(site, kind)
        mishap = site.inject(kind, **plan(kind, after=after))
        with failing(site, kind):
            site.listed(driver)
        assert mishap.seen
        site.faults.clear()
    assert len(site.listed()) == SERVERS


@KINDS
def test_a_mishap_of_the_sign_in_is_a_fault(site: Site, kind: Kind) -> None:
    site.stock(3)
    site.inject(kind, path=site.sign_in, **plan(kind))
    driver = site.driver(DEADLINE if kind in SLOW else 20.0)
    if kind is Kind.FORBIDDEN and site.platform == "vcloud":
        with pytest.raises(BadCredentials):  # a cell that lets nobody in says 403 too
            driver.check()
        return
    with failing(site, kind):
        driver.check()


@QUICK_KINDS
@EACH_GENERATION
def test_a_mishap_of_a_deed_is_a_fault_and_not_an_outcome(site: Site, kind: Kind) -> None:
    server = site.add("web-1")
    driver = signed_in(site, kind)
    site.inject(kind, path=site.deeds, **plan(kind))
    with failing(site, kind):
        driver.reboot(server)
    assert site.held()[server].state is State.RUNNING


@QUICK_KINDS
@EACH_GENERATION
def test_a_mishap_of_a_look_is_neither_the_end_of_a_task_nor_of_a_server(site: Site, kind: Kind) -> None:
    server = site.add("web-1")
    task = site.driver().reboot(server)
    driver = signed_in(site, kind)
    if kind is Kind.FORBIDDEN and site.platform == "vcloud":
        site.inject(kind, path=site.deeds, **plan(kind))
        assert driver.server(server) is None  # a cell says 403 of what is not there
        return
    mishap = site.inject(kind, path="", **plan(kind))
    with failing(site, kind):
        driver.task(task)
    with failing(site, kind):
        driver.server(server)
    assert mishap.seen
    site.faults.clear()
    site.done(task)


def test_a_sign_in_that_runs_out_in_the_middle_of_a_listing_is_made_again(site: Site) -> None:
    site.stock(SERVERS)
    mishap = site.inject("unauthorized", after=1, times=1)
    if site.renews:
        assert {facts.external_id for facts in site.listed()} == set(site.held())
    else:
        with pytest.raises(BadCredentials):
            site.listed()
    assert mishap.seen == 1


def test_a_slow_page_that_comes_in_time_costs_nothing(site: Site) -> None:
    site.stock(SERVERS)
    site.inject("drip", after=1, times=1, pause=0.0)
    assert len(site.listed()) == SERVERS


@EACH_GENERATION
def test_an_empty_page_after_a_full_one_is_asked_for_again(site: Site) -> None:
    if site.generation == "1.0":
        return  # it has no pages, and an empty vApp is nothing odd
    site.stock(SERVERS)
    mishap = site.lose_third_page()
    assert {facts.external_id for facts in site.listed()} == set(site.held())
    assert mishap.seen == 1


@pytest.mark.parametrize("after", [0, 1])
def test_a_server_that_an_empty_page_hid_is_still_found_by_its_id(site: Site, after: int) -> None:
    # No driver can tell an empty page that goes on lying from the end. So a listing never has the last word: before a
    # server counts as gone the cloud must say so of its id.
    site.stock(SERVERS)
    site.inject("empty", after=after, times=None)
    driver = site.driver()
    try:
        told = {facts.external_id for facts in site.listed(driver)}
    except Fault as fault:
        assert " " in fault.words
        told = set()
    assert told <= set(site.held())
    site.faults.clear()
    site.inject("empty", times=None, path=site.paging)
    hidden = next(iter(set(site.held()) - told))
    try:
        assert driver.server(hidden) is not None
    except Fault as fault:
        assert "not complete" in fault.words  # vCloud counts, so it is caught in its lie


def test_a_redirect_takes_nothing_to_another_origin(site: Site) -> None:
    server = site.add("web-1")
    with elsewhere() as (url, seen):
        driver = site.driver()
        driver.check()
        site.inject("redirect", path="", times=None, location=url)
        for deed in (lambda: site.listed(driver), driver.check, lambda: driver.reboot(server)):
            with pytest.raises(Refused, match=r"redirects to http://localhost"):
                deed()
        assert not seen


def test_a_catalog_that_points_elsewhere_takes_nothing_there(site: Site) -> None:
    site.stock(1)
    with elsewhere() as (url, seen):
        for path in (site.sign_in, "/versions", "createConsole"):
            site.inject("elsewhere", path=path, times=None, location=url)
        try:
            site.listed()
        except Refused as fault:
            assert "localhost" in fault.words
        assert not seen


def test_a_wrong_secret_is_bad_credentials_and_is_not_repeated_back(site: Site) -> None:
    (secret,) = site.credentials.keys() & {"password", "secret_key", "api_token", "application_credential_secret"}
    with pytest.raises(BadCredentials) as caught:
        site.driver(credentials=dict(site.credentials) | {secret: "wr0ng-s3cret"}).check()
    assert "wr0ng-s3cret" not in caught.value.words


def test_a_cloud_that_is_down_is_unreachable(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="nothing listens"):
        site.driver(url=f"http://127.0.0.1:{port}/").check()


@EACH_GENERATION
def test_a_deed_that_the_far_side_ends_badly_is_failed_in_its_words(site: Site) -> None:
    server = site.add("web-1")
    task = site.driver().reboot(server)
    site.spoil(server, "The host ran out of memory.")
    progress = site.ended(task)
    assert progress.phase is Phase.FAILED
    assert "The host ran out of memory." in progress.words or site.generation.startswith("diablo")
    assert " " in progress.words
