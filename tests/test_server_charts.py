"""A server over time: which table tells it, what is left out, who may see it, and what it costs."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from servers.agents import samples
from servers.agents.samples import MINUTE, MOST_POINTS, QUARTER, SIX_HOURS
from servers.models import Server
from tests.conftest import People
from tests.factories import ServerFactory
from tests.sampled import sample, steadily, tell
from tests.test_server_list import agent


@pytest.fixture
def server(people: People) -> Server:
    made: Server = ServerFactory(account=people.account)
    return made


def asked(people: People, server: Server, reach: str = "hour") -> dict[str, Any]:
    answer = people.browser(people.alice).get(f"/servers/{server.pk}/samples?range={reach}")
    assert answer.status_code == 200
    told: dict[str, Any] = json.loads(answer.content)
    return told


def titles(told: dict[str, Any]) -> list[str]:
    return [chart["title"] for chart in told["charts"]]


def test_alice_and_bob_see_the_charts_and_to_charlie_there_are_none(people: People, server: Server) -> None:
    steadily(MINUTE, server.pk, timezone.now(), 3)
    for person, status in ((people.alice, 200), (people.bob, 200), (people.charlie, 404)):
        assert people.browser(person).get(f"/servers/{server.pk}/samples").status_code == status


def test_an_hour_is_told_by_the_minute_in_columns_of_one_length(people: People, server: Server) -> None:
    steadily(MINUTE, server.pk, timezone.now(), 59)
    told = asked(people, server)
    assert titles(told) == ["Processor", "Load", "Memory", "Swap", "Disk /", "Network eth0"]
    assert {len(line["values"]) for chart in told["charts"] for line in chart["lines"]} == {len(told["at"])}
    assert told["step"] == 60 and 58 <= len(told["at"]) <= 60
    assert told["until"] - told["since"] == 3600


@pytest.mark.parametrize(
    ("reach", "grain", "steps"), [("day", MINUTE, 1440), ("month", QUARTER, 2880), ("year", SIX_HOURS, 1460)]
)
def test_a_longer_time_has_no_more_points_than_a_screen_shows(
    people: People, server: Server, reach: str, grain: samples.Grain, steps: int
) -> None:
    steadily(grain, server.pk, timezone.now(), steps - 2)
    told = asked(people, server, reach)
    assert MOST_POINTS * 0.8 < len(told["at"]) <= MOST_POINTS
    assert None not in told["charts"][0]["lines"][0]["values"], "no silence where there was none"


def test_what_no_coarser_table_has_yet_comes_from_the_minutes(people: People, server: Server) -> None:
    now = timezone.now()
    steadily(QUARTER, server.pk, now - timedelta(hours=2), 20)
    steadily(MINUTE, server.pk, now, 30)
    assert now.timestamp() - asked(people, server, "month")["at"][-1] <= 3600 + 60  # the newest minute may be of before
    other = ServerFactory(account=people.account)
    steadily(MINUTE, other.pk, now, 30)
    assert asked(people, other, "year")["at"]


def test_a_silence_is_a_null_and_a_late_minute_is_none(people: People, server: Server) -> None:
    now = timezone.now().replace(second=30)  # five minutes of their own
    times = [now - timedelta(seconds=seconds) for seconds in (1800, 1735, 1680, 900, 845)]
    tell(MINUTE, server.pk, [(at, sample(number)) for number, at in enumerate(times)])
    values = asked(people, server)["charts"][0]["lines"][0]["values"]
    assert [value is None for value in values] == [False, False, False, True, False, False]


def test_a_step_is_the_mean_of_what_was_told_and_what_was_not_told_is_no_zero(people: People, server: Server) -> None:
    start = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=10)
    tell(MINUTE, server.pk, [
        (start, sample(0, cpu_percent=10)), (start + timedelta(seconds=20), sample(0, cpu_percent=30)),
        (start + timedelta(minutes=1), sample(0, cpu_percent=None)),
    ])  # fmt: skip
    assert asked(people, server)["charts"][0]["lines"][0]["values"] == [20, None]


def test_a_host_of_very_many_disks_and_networks_gets_the_first_eight_of_each(people: People, server: Server) -> None:
    disks = [{"mount": f"/srv/{number:02}", "used_bytes": 1, "total_bytes": 2} for number in range(40)]
    nics = [{"name": f"veth{number:02}", "rx_bytes_per_second": 1, "tx_bytes_per_second": 2} for number in range(300)]
    tell(MINUTE, server.pk, [(timezone.now() - timedelta(minutes=2), sample(0, disks=disks, nics=nics))])
    told = asked(people, server)
    assert len(titles(told)) == 4 + 8 + 8
    assert told["left_out"] == {"disks": 32, "nics": 292}


def test_nothing_heard_is_no_chart_and_an_unknown_range_says_which_there_are(people: People, server: Server) -> None:
    assert asked(people, server)["charts"] == []
    wrong = people.browser(people.alice).get(f"/servers/{server.pk}/samples?range=decade")
    assert wrong.status_code == 400
    assert "hour, day, month, year" in wrong.json()["detail"]


def test_other_servers_samples_are_not_told(people: People, server: Server) -> None:
    steadily(MINUTE, ServerFactory(account=people.account).pk, timezone.now(), 5)
    assert asked(people, server)["at"] == []


def test_the_same_answer_is_not_sent_twice(people: People, server: Server) -> None:
    steadily(SIX_HOURS, server.pk, timezone.now() - timedelta(hours=6), 20)
    browser = people.browser(people.alice)
    first = browser.get(f"/servers/{server.pk}/samples?range=year")
    assert "private" in first["Cache-Control"]
    again = browser.get(f"/servers/{server.pk}/samples?range=year", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_year_costs_as_many_queries_as_an_hour(people: People, server: Server) -> None:
    steadily(SIX_HOURS, server.pk, timezone.now(), 400)
    browser = people.browser(people.alice)
    browser.get(f"/servers/{server.pk}/samples")
    for reach in ("hour", "year"):
        with CaptureQueriesContext(connection) as made:
            browser.get(f"/servers/{server.pk}/samples?range={reach}")
        assert len(made) <= 8, [one["sql"][:90] for one in made]


def test_the_page_offers_the_ranges_and_keeps_the_chosen_one(people: People, server: Server) -> None:
    agent(server)
    browser = people.browser(people.alice)
    for address, chosen in (("", "hour"), ("?range=month", "month"), ("?range=nonsense", "hour")):
        content = browser.get(f"/servers/{server.pk}/{address}").content.decode()
        assert f'data-range="{chosen}" aria-current="true"' in content
        assert content.count("data-range=") == 4
