"""The websocket of open pages: it says what changed, and that it is still there."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, ClassVar

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError
from redis.exceptions import RedisError

from console.lib import notify
from console.models import User
from providers.scope import customers_in

log = structlog.get_logger(__name__)

SIGNED_OUT = 4401
TRY_AGAIN = 1013


class HintsConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Sends `{"changed": "server-<id>"}` for every customer of the signed-in person, and `{}` as a sign of life.

    Membership is read anew every `LOOK_AGAIN` seconds: who left a customer, or signed out, stops hearing of it.
    """

    SIGN_OF_LIFE: ClassVar[float] = 20.0  # seconds; static/hints.js hangs up after 45 of silence
    LOOK_AGAIN: ClassVar[int] = 3  # signs of life between two readings of the memberships

    groups_joined: set[str]
    heart: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        self.groups_joined = set()
        await self.accept()
        if not await self.join():
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
        """Listen to exactly the customers that are open to this person now; False when nobody is signed in."""
        customers = await self.customers()
        if customers is None:
            await self.close(code=SIGNED_OUT)
            return False
        wanted = {notify.group(customer) for customer in customers}
        for name in wanted - self.groups_joined:
            await self.channel_layer.group_add(name, self.channel_name)
        for name in self.groups_joined - wanted:
            await self.channel_layer.group_discard(name, self.channel_name)
        self.groups_joined = wanted
        return True

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
