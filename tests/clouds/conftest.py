"""Replayed clouds: a bare one, and one that knows the sign-in of each generation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.openstack_account import TENANT, said, v3_token, with_services
from tests.clouds.replay import Replay, recorded, replaying


@pytest.fixture
def replay() -> Iterator[Replay]:
    with replaying() as server:
        yield server


@pytest.fixture
def essex(replay: Replay) -> Replay:
    blocks = recorded("essex.txt")
    replay.say_recorded(blocks, "token", "flavors", "one", "404")
    replay.say("GET", f"/v1.1/{TENANT}/flavors/detail?limit=1000", blocks["flavors"][2])
    replay.say("GET", "/", said(300, {"versions": {"values": [{"id": "v2.0", "status": "beta"}]}}))
    return replay


@pytest.fixture
def modern(replay: Replay) -> Replay:
    replay.say("GET", "/", said(300, {"versions": {"values": [{"id": "v3.14", "status": "stable"}]}}))
    replay.say("POST", "/v3/auth/tokens", v3_token(("RegionOne", "http://127.0.0.1:38774/v2.1")))
    flavor = {"id": "a8b39f98-8e87-47b4-8077-720e9b0d9ac1", "name": "m1.tiny", "vcpus": 1, "ram": 64, "disk": 1}
    replay.say("GET", "/v2.1/flavors/detail?limit=1000", said(200, {"flavors": [flavor]}))
    return replay


@pytest.fixture
def nova(modern: Replay) -> Replay:
    """A modern cloud with Glance and Neutron in its catalog, as most have."""
    with_services(modern, image="/image", network="/network")
    return modern
