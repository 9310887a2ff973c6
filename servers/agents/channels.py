"""Where a nonce is put so that one instance alone can read it: a channel for each platform, through its driver.

A channel is idempotent: a worker that was killed in the middle is followed by another that does the same again.
"""

from __future__ import annotations

from typing import Final, Protocol

from accounts import ready
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Operation
from accounts.models import CloudAccount
from console.lib.faults import Refused
from providers.models import Customer
from servers.agents.program import protocol

_MARK: Final = protocol.CHALLENGE_LINE.encode()
_COMMENTS: Final = (b"#", b"Content-Type:", b"MIME-Version:", b"From ")  # how user data begins that takes a `#` line


class Channel(Protocol):
    @property
    def needs(self) -> tuple[Operation, ...]:
        """What the platform must be able to do for it."""

    def before(self, driver: ActingDriver, server: str) -> bytes:
        """What stands there now, if it has to be put back; kept before anything is changed. Refused when the nonce
        cannot be put beside it."""

    def put(self, driver: ActingDriver, server: str, nonce: str, before: bytes) -> None: ...

    def take(self, driver: ActingDriver, server: str, before: bytes) -> None:
        """The nonce is gone, and what stood there stands there again, unless somebody changed it meanwhile."""


class Metadata:
    """OpenStack: a key of the server's metadata. Nova shows it in meta_data.json, at most 15 seconds old."""

    needs = (Operation.SET_METADATA,)

    def before(self, driver: ActingDriver, server: str) -> bytes:
        return b""

    def put(self, driver: ActingDriver, server: str, nonce: str, before: bytes) -> None:
        driver.set_metadata(server, {protocol.CHALLENGE: nonce})

    def take(self, driver: ActingDriver, server: str, before: bytes) -> None:
        driver.set_metadata(server, {protocol.CHALLENGE: None})


class UserData:
    """CloudStack: a comment line at the end of the user data, which the virtual router hands out. Unproven on a running
    machine: older manuals say that the router learns of it after a stop and a start."""

    needs = (Operation.USER_DATA, Operation.SET_USER_DATA)

    def before(self, driver: ActingDriver, server: str) -> bytes:
        held = without(driver.user_data(server))
        if held and not held.startswith(_COMMENTS):
            raise Refused("The user data of this server is not of a kind that a comment can be added to.")
        return held

    def put(self, driver: ActingDriver, server: str, nonce: str, before: bytes) -> None:
        driver.set_user_data(server, with_line(before, nonce))

    def take(self, driver: ActingDriver, server: str, before: bytes) -> None:
        held = driver.user_data(server)
        if (left := without(held)) == held:
            return  # somebody set other user data: theirs stands
        driver.set_user_data(server, before if left.rstrip(b"\n") == before.rstrip(b"\n") else left)


class GuestProperty:
    """vCloud: ExtraConfig that the guest reads with VMware's tools. Unproven whether a cell lets its tenants."""

    needs = (Operation.SET_GUEST_PROPERTY,)

    def before(self, driver: ActingDriver, server: str) -> bytes:
        return b""

    def put(self, driver: ActingDriver, server: str, nonce: str, before: bytes) -> None:
        driver.set_guest_property(server, protocol.CHALLENGE_PROPERTY, nonce)

    def take(self, driver: ActingDriver, server: str, before: bytes) -> None:
        driver.set_guest_property(server, protocol.CHALLENGE_PROPERTY, None)


CHANNELS: Final[dict[str, Channel]] = {"openstack": Metadata(), "cloudstack": UserData(), "vcloud": GuestProperty()}


def refusal(account: CloudAccount, owner: Customer | None = None) -> str:
    """Why instances of this account cannot be challenged, as a sentence; "" when they can."""
    channel = CHANNELS.get(account.endpoint.platform)
    if channel is None:
        return "No way is known to put something where only an instance of this platform can read it."
    return next((words for need in channel.needs if (words := ready.refusal(account, need, owner))), "")


def with_line(data: bytes, nonce: str) -> bytes:
    """User data with the nonce's line at its end."""
    gap = b"" if not data or data.endswith(b"\n") else b"\n"
    return data + gap + _MARK + nonce.encode() + b"\n"


def without(data: bytes) -> bytes:
    """User data without any nonce's line; byte for byte what it was, but for a line end that it may have got."""
    if _MARK not in data:
        return data
    return b"".join(line for line in data.splitlines(keepends=True) if not line.startswith(_MARK))
