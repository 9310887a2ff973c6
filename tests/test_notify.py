"""Hints reach exactly the pages of the customer's people, over a real Valkey."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import channel_layers, get_channel_layer
from django.conf import settings
from django.db import connections, transaction
from django.test import Client

from console.asgi import application
from console.consumers import SIGNED_OUT, HintsConsumer
from console.lib import notify
from providers.models import Membership
from providers.scope import DOOR
from tests.conftest import People

pytestmark = pytest.mark.django_db(transaction=True)
WITHIN = 30.0  # seconds


def live(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario on its own loop, and leave no connection of its threads behind."""

    async def whole() -> None:
        try:
            await asyncio.wait_for(scenario(), 60)
        finally:
            await get_channel_layer().flush()
            await sync_to_async(connections.close_all)()

    asyncio.run(whole())


class Page:
    """An open page's websocket, spoken to as an ASGI server does."""

    def __init__(self, browser: Client | None, origin: str = "http://localhost") -> None:
        name = settings.SESSION_COOKIE_NAME
        cookie = f"{name}={browser.cookies[name].value}" if browser else ""
        headers = [(b"host", b"localhost"), (b"origin", origin.encode()), (b"cookie", cookie.encode())]
        self.to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {"type": "websocket", "path": "/ws/hints/", "query_string": b"", "headers": headers, "subprotocols": []}
        self.app = asyncio.create_task(application(scope, self.to_app.get, self.from_app.put))
        self.to_app.put_nowait({"type": "websocket.connect"})

    async def next(self, within: float = WITHIN) -> dict[str, Any]:
        return await asyncio.wait_for(self.from_app.get(), within)

    async def hears(self) -> str:
        """The next hint; signs of life and the probes of `joined` are skipped."""
        while True:
            said = await self.next()
            assert said["type"] == "websocket.send", said
            hint = json.loads(said["text"]).get("changed", "probe")
            if hint != "probe":
                return hint

    async def joined(self, customer_id: Any) -> None:
        """Wait until the page listens: say a probe until it is heard."""
        async with asyncio.timeout(WITHIN):
            while self.from_app.empty():
                await sync_to_async(notify.changed)(customer_id, "probe")

    async def leave(self) -> None:
        self.to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self.app, WITHIN)


async def open_page(browser: Client) -> Page:
    page = Page(browser)
    assert (await page.next())["type"] == "websocket.accept"
    return page


def test_alice_and_bob_hear_of_their_customer_and_charlie_hears_nothing(people: People) -> None:
    browsers = [people.browser(person) for person in (people.alice, people.bob, people.charlie)]

    async def scenario() -> None:
        alice, bob, charlie = [await open_page(browser) for browser in browsers]
        await alice.joined(people.customer.pk)
        await bob.joined(people.customer.pk)
        await charlie.joined(people.elsewhere.pk)
        await sync_to_async(notify.changed)(people.customer.pk, "server-7")
        await sync_to_async(notify.changed)(people.elsewhere.pk, "server-8")
        assert [await page.hears() for page in (alice, bob, charlie)] == ["server-7", "server-7", "server-8"]
        for page in (alice, bob, charlie):
            await page.leave()

    live(scenario)


def test_a_sign_in_that_a_provider_issued_hears_only_of_that_provider_s_customer(people: People) -> None:
    Membership.objects.create(customer=people.elsewhere, user=people.alice, accepted_at=people.alice.date_joined)
    browser = people.browser(people.alice)
    session = browser.session
    session[DOOR] = str(people.elsewhere.pk)
    session.save()

    async def scenario() -> None:
        page = await open_page(browser)
        await page.joined(people.elsewhere.pk)
        await sync_to_async(notify.changed)(people.customer.pk, "server-7")
        await sync_to_async(notify.changed)(people.elsewhere.pk, "server-8")
        assert await page.hears() == "server-8"
        await page.leave()

    live(scenario)


def test_a_stranger_s_socket_is_closed_with_the_code_for_signed_out() -> None:
    async def scenario() -> None:
        page = Page(None)
        assert (await page.next())["type"] == "websocket.accept"
        said = await page.next()
        await page.leave()
        assert (said["type"], said["code"]) == ("websocket.close", SIGNED_OUT)

    live(scenario)


def test_another_site_s_page_cannot_open_the_socket(people: People) -> None:
    browser = people.browser(people.alice)

    async def scenario() -> None:
        page = Page(browser, origin="https://elsewhere.example")
        assert (await page.next())["type"] == "websocket.close"
        await page.leave()

    live(scenario)


def test_who_signs_out_elsewhere_stops_hearing(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HintsConsumer, "SIGN_OF_LIFE", 0.05)
    browser = people.browser(people.alice)

    async def scenario() -> None:
        page = await open_page(browser)
        await sync_to_async(browser.logout)()
        async with asyncio.timeout(WITHIN):
            while (said := await page.next())["type"] != "websocket.close":
                continue
        await page.leave()
        assert said["code"] == SIGNED_OUT

    live(scenario)


def test_who_left_the_team_stops_hearing_of_it(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HintsConsumer, "SIGN_OF_LIFE", 0.05)
    monkeypatch.setattr(HintsConsumer, "LOOK_AGAIN", 1)
    Membership.objects.create(customer=people.elsewhere, user=people.bob, accepted_at=people.bob.date_joined)
    browser = people.browser(people.bob)

    async def scenario() -> None:
        page = await open_page(browser)
        await page.joined(people.customer.pk)
        await sync_to_async(people.customer.memberships.filter(user=people.bob).delete)()
        while not page.from_app.empty():  # what was said before
            page.from_app.get_nowait()
        signs = 0
        while signs < 3:  # the third sign of life comes after a reading that began after the deletion
            signs += (await page.next())["text"] == "{}"
        await sync_to_async(notify.changed)(people.customer.pk, "server-7")
        await sync_to_async(notify.changed)(people.elsewhere.pk, "server-8")
        assert await page.hears() == "server-8"
        await page.leave()

    live(scenario)


def say(customer_id: Any, *deed: Callable[[], None]) -> list[str]:
    """What the customer's group hears of a deed, up to a hint said after it."""
    heard: list[str] = []

    async def scenario() -> None:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(notify.group(customer_id), channel)
        for one in deed:
            await sync_to_async(one)()
        await sync_to_async(notify.changed)(customer_id, "end")
        async with asyncio.timeout(WITHIN):
            while (said := await layer.receive(channel))["changed"] != "end":
                heard.append(said["changed"])

    live(scenario)
    return heard


def test_the_same_hint_is_said_once_a_transaction_and_only_when_it_commits() -> None:
    @transaction.atomic
    def deed() -> None:
        for what in ("server-7", "servers", "server-7", "server-8", "servers"):
            notify.changed("c", what)
            transaction.on_commit(lambda: None)

    assert say("c", deed, deed) == ["server-7", "servers", "server-8"] * 2


def test_a_rolled_back_deed_says_nothing() -> None:
    def deed() -> None:
        with transaction.atomic():
            notify.changed("c", "server-1")
            with pytest.raises(LookupError), transaction.atomic():
                notify.changed("c", "server-2")
                raise LookupError
            notify.changed("c", "server-3")
        with pytest.raises(LookupError), transaction.atomic():
            notify.changed("c", "server-4")
            raise LookupError

    assert say("c", deed) == ["server-1", "server-3"]


def test_rows_by_the_hundred_become_one_hint_for_their_list() -> None:
    @transaction.atomic
    def deed() -> None:
        notify.changed("c", "account-1")
        for number in range(notify.MANY + 1):
            notify.changed("c", f"server-{number}")

    assert say("c", deed) == ["account-1", "servers"]


@pytest.mark.parametrize("port", ["refusing", "silent"])
def test_a_dead_valkey_loses_the_hint_and_never_the_deed(
    port: str, settings: Any, monkeypatch: pytest.MonkeyPatch, people: People
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if port == "silent":
            listener.listen()  # takes the connection and never answers
        monkeypatch.setattr(notify, "WAIT", 0.3)
        layers = {"default": {**settings.CHANNEL_LAYERS["default"]}}
        layers["default"]["CONFIG"] = {"hosts": [f"redis://127.0.0.1:{listener.getsockname()[1]}/0"]}
        settings.CHANNEL_LAYERS = layers
        channel_layers.backends.clear()
        try:
            with transaction.atomic():
                people.customer.organization = "Renamed"
                people.customer.save()
                notify.changed(people.customer.pk, "customer")
        finally:
            channel_layers.backends.clear()
    people.customer.refresh_from_db()
    assert people.customer.organization == "Renamed"
