"""A customer of the real cloud: our driver, signed in, and the few words that every test says with it."""

from __future__ import annotations

from typing import Any, cast

from accounts import clouds
from accounts.clouds import ServerFacts
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Order, Phase, Progress, Task
from console.lib.outbound import Transport
from tests.processes import wait
from tests.realstack.furnishing import PASSWORD, PERSON, PROJECT, Token, signed_in
from tests.realstack.stack import Stack

WITHIN = 90.0  # seconds for one action; a quiet machine needs one or two


class Person:
    """`driver` is opened as the console opens it, over the guarded transport."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.driver = self.opened({"username": PERSON, "password": PASSWORD, "project": PROJECT})
        self._made: list[str] = []

    def opened(self, credentials: dict[str, str], url: str = "") -> ActingDriver:
        transport = Transport(["127.0.0.1/32"], allow_http=True)
        address = url or self.stack.ground.keystone
        return cast(ActingDriver, clouds.open("openstack", url=address, credentials=credentials, transport=transport))

    def order(self, name: str, **more: Any) -> Order:
        found = self.stack.furnished
        wanted = {"image": found.images["tiny"], "size": found.sizes[0], "networks": (found.networks["own"],), **more}
        return Order(name=name, **wanted)

    def server(self, name: str, **more: Any) -> str:
        """A new server that runs; its id."""
        task = self.begun(self.order(name, **more))
        self.done(task)
        return task.server_id

    def begun(self, order: Order) -> Task:
        task = self.driver.create(order)
        self._made.append(task.server_id)
        return task

    def ended(self, task: Task) -> Progress:
        """How a task ended."""

        def over() -> Progress | None:
            progress = self.driver.task(task)
            return None if progress.phase is Phase.RUNNING else progress

        return cast(Progress, wait(over, WITHIN, f"{task.ref} never ended"))

    def done(self, task: Task) -> None:
        progress = self.ended(task)
        assert progress.phase is Phase.DONE, progress.words

    def facts(self, server: str) -> ServerFacts:
        found = self.driver.server(server)
        assert found is not None
        return found

    def token(self) -> Token:
        """Signed in anew, for calls beside the driver's."""
        return signed_in(self.stack.ground, PERSON, PASSWORD, PROJECT)

    def leave(self) -> None:
        deleting = [self.driver.delete(server) for server in self._made]
        for task in deleting:
            self.ended(task)

    def wait_for(self, server: str, raw_state: str) -> None:
        """Until the server is in the state that somebody else's call leads to."""
        wait(lambda: self.facts(server).raw_state == raw_state, WITHIN, f"never {raw_state}")

    def wait_until_idle(self, server: str) -> None:
        """Until Nova is done with the server itself: a snapshot's image can be whole a moment earlier."""
        url, token = f"{self.stack.ground.url('nova')}/v2.1/servers/{server}", self.token()
        wait(lambda: token.call("GET", url)["server"]["OS-EXT-STS:task_state"] is None, WITHIN, "never idle")
