"""The broker dies and comes back: whoever rings does not wait, and open pages hear hints again."""

from __future__ import annotations

import asyncio
import time

import pytest
from asgiref.sync import async_to_sync
from celery import Celery
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings

from console.lib import embedded
from console.lib.jobs import bell
from tests.processes import end, folder


@pytest.fixture
def broker():
    """A Valkey of its own that may be killed: `broker.kill()`, `broker.start()`."""
    with folder() as home:
        broker = Broker(embedded.engine(home))
        broker.start()
        yield broker
        end(broker.process)


class Broker:
    def __init__(self, eng: embedded.Engine) -> None:
        self.eng = eng
        self.url = eng.redis_url

    def start(self) -> None:
        self.process = embedded.start_valkey(self.eng)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def test_a_bell_that_nobody_hears_costs_little_time_and_rings_again_later(broker, monkeypatch):
    app = Celery("test", broker=broker.url, set_as_current=False)
    app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    monkeypatch.setattr(bell, "current_app", app)
    assert bell.ring_now("some.task", "1") is True
    broker.kill()
    started = time.monotonic()
    assert bell.ring_now("some.task", "2") is False
    assert time.monotonic() - started < 20
    broker.start()
    assert bell.ring_now("some.task", "3") is True
    app.close()


def test_an_open_page_hears_hints_again(broker):
    @async_to_sync
    async def story() -> dict[str, str]:
        layer = RedisPubSubChannelLayer(hosts=[broker.url])
        channel = await layer.new_channel()
        await layer.group_add("customer-1", channel)
        await layer.group_send("customer-1", {"type": "hint", "n": "before"})
        assert (await asyncio.wait_for(layer.receive(channel), 10))["n"] == "before"
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        heard = asyncio.ensure_future(layer.receive(channel))
        deadline = time.monotonic() + 20
        while not heard.done() and time.monotonic() < deadline:
            try:
                await layer.group_send("customer-1", {"type": "hint", "n": "after"})
            except OSError:
                continue
            await asyncio.wait([heard], timeout=0.5)
        message = await asyncio.wait_for(heard, 1)
        await layer.flush()
        return message

    assert story()["n"] == "after"
