"""Who may sign in to the simulated cloud, and the tokens they hold."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(slots=True)
class User:
    """A cloud user. Change any of it while the cloud is served."""

    id: str
    name: str
    password: str
    projects: list[str] = field(default_factory=list)
    """Names of the projects in which the user has a role."""
    application_credentials: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Credential id -> (secret, project name)."""
    domain: str = "default"
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Token:
    """A token and what it is good for. `project` is None for an unscoped one."""

    id: str
    user: User
    project: str | None
    issued: datetime
    expires: datetime
    method: str = "password"
    credential: str = ""


class Tokens:
    """The live tokens of a cloud; they expire by its clock. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], datetime], lifetime: timedelta) -> None:
        self.clock = clock
        self.lifetime = lifetime
        self._live: dict[str, Token] = {}
        self._lock = threading.Lock()

    def issue(self, user: User, project: str | None, method: str = "password", credential: str = "") -> Token:
        """A new token for that user, from now for `lifetime`."""
        now = self.clock()
        token = Token(secrets.token_hex(16), user, project, now, now + self.lifetime, method, credential)
        with self._lock:
            self._live[token.id] = token
        return token

    def find(self, token_id: str | None) -> Token | None:
        """The token if it is live and its user still enabled."""
        with self._lock:
            token = self._live.get(token_id or "")
        if token is None or not token.user.enabled or token.expires <= self.clock():
            return None
        return token

    def revoke(self, token_id: str | None = None) -> None:
        """Ends one token, or all of them."""
        with self._lock:
            if token_id is None:
                self._live.clear()
            else:
                self._live.pop(token_id, None)
