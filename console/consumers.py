"""The websocket of open pages: it says what changed, and that it is still there."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, ClassVar
from uuid import UUID

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError
from redis.exceptions import RedisError

from console.lib import notify
from console.models import User
from providers.scope import customers_in
from servers import watching
from servers.models import Server

log = structlog.get_logger(__name__)

SIGNED_OUT = 4401
TRY_AGAIN = 1013


class HintsConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Sends `{"changed": "server-<id>"}` for every customer of the signed-in person, and `{}` as a sign of life.

    Membership is read anew every `LOOK_AGAIN` seconds: who left a customer, or signed out, stops hearing of it.
    """

    SIGN_OF_LIFE: ClassVar[float] = 20.0  # seconds; static/hints.js hangs up after 45 of silence
    LOOK_AGAIN: ClassVar[int] = 3  # signs of life between two readings of the memberships

    LOOKS: ClassVar[float] = 5.0  # seconds between two words of what a page shows; more of them do not count

    groups_joined: set[str]
    looked: float = float("-inf")
    heart: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        self.groups_joined = set()
        inside = await self.listen()
        await self.accept()  # only now: from the moment that it is open, the page misses nothing
        if not inside:
            await self.close(code=SIGNED_OUT)
            return
        self.heart = asyncio.create_task(self.beat())

    async def disconnect(self, code: int) -> None:
        if self.heart:
            self.heart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.heart
        for name in self.groups_joined:
            await self.channel_layer.group_discard(name, self.channel_name)

    async def join(self) -> bool:
        """As `listen`; who is not signed in any more is hung up on."""
        if await self.listen():
            return True
        await self.close(code=SIGNED_OUT)
        return False

    async def listen(self) -> bool:
        """Listen to exactly the customers that are open to this person now; False when nobody is signed in."""
        customers = await self.customers()
        if customers is None:
            return False
        wanted = {notify.group(customer) for customer in customers}
        for name in wanted - self.groups_joined:
            await self.channel_layer.group_add(name, self.channel_name)
        for name in self.groups_joined - wanted:
            await self.channel_layer.group_discard(name, self.channel_name)
        self.groups_joined = wanted
        return True

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """`{"looking": [ids]}` from a page that somebody looks at (static/hints.js): which servers it shows.

        Anything else is passed over; so are servers of customers that are not open to this person.
        """
        try:
            said = json.loads(text_data or "{}")
            ids = [UUID(one) for one in said["looking"][: watching.MOST]]
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        now = asyncio.get_running_loop().time()
        if ids and now - self.looked >= self.LOOKS:
            self.looked = now
            try:
                await self.look(ids)
            except (DatabaseError, OSError) as fault:
                log.warning("look_lost", cause=str(fault))

    @database_sync_to_async  # type: ignore[untyped-decorator]  # channels has no types
    def look(self, ids: list[UUID]) -> None:
        customers = [name.removeprefix(notify.group("")) for name in self.groups_joined]
        watching.note(Server.objects.of(customers).filter(pk__in=ids).values_list("pk", flat=True))

    @database_sync_to_async  # type: ignore[untyped-decorator]  # channels has no types
    def customers(self) -> list[str] | None:
        """Ids of the customers open to this sign-in; None when the session has ended or the person may not sign in."""
        session, user = self.scope.get("session"), self.scope.get("user")
        if session is None or user is None or not user.is_authenticated or not session.exists(session.session_key):
            return None
        person = User.objects.filter(pk=user.pk, is_active=True).first()
        if person is None:
            return None
        return [str(pk) for pk in customers_in(person, session).values_list("pk", flat=True)]

    async def beat(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(self.SIGN_OF_LIFE)
            beats += 1
            try:
                if beats % self.LOOK_AGAIN == 0 and not await self.join():
                    return
            except (DatabaseError, RedisError, OSError) as fault:
                log.warning("hints_cut", cause=str(fault))
                await self.close(code=TRY_AGAIN)
                return
            await self.send(text_data="{}")

    async def hint(self, event: dict[str, Any]) -> None:
        """From the channel layer (console/lib/notify.py)."""
        await self.send(text_data=json.dumps({"changed": event["changed"]}))
