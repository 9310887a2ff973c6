"""The jump host that a customer names: where, as whom, and with what of its own. Plain values; checked here."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from servers.installs import keys

USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\$?")
LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


@dataclass(frozen=True, slots=True)
class Jump:
    """Without credentials of its own it takes those of the servers; without a user, theirs. Secrets do not show."""

    host: str
    port: int = 22
    user: str = ""
    private_key: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def secrets(self) -> dict[str, str]:
        """What has to be sealed: empty when it has nothing of its own."""
        given = {"private_key": self.private_key, "passphrase": self.passphrase, "password": self.password}
        return {name: value for name, value in given.items() if value}

    def wrong(self) -> dict[str, list[str]]:
        """What is wrong, by field; empty when nothing is. Whether it may be dialled is decided at each connection."""
        wrong: dict[str, list[str]] = {}
        if not is_host(self.host):
            wrong["jump_host"] = ["Write the name or the address of the jump host, without a port."]
        if not 1 <= self.port <= 65535:
            wrong["jump_port"] = ["A port is a number from 1 to 65535."]
        if self.user and not USER.fullmatch(self.user):
            wrong["jump_user"] = ["Write the name of a user on the jump host."]
        if self.private_key and self.password:
            wrong["jump_private_key"] = ["Give either a private key or a password."]
        elif self.private_key:
            wrong |= {f"jump_{name}": said for name, said in keys.wrong(self.private_key, self.passphrase).items()}
        return wrong


def is_host(text: str) -> bool:
    """Whether this is an IP address, or could be a host's name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.rstrip(".").split(".")
        return 0 < len(text) <= 253 and all(LABEL.fullmatch(label) for label in labels)
    return True
