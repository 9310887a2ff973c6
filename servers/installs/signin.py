"""Signing in: one key, or one password. Nothing of this machine is ever offered."""

from __future__ import annotations

from dataclasses import dataclass, field

from paramiko import AuthenticationException, BadAuthenticationType, PKey, Transport

from servers.installs.trouble import quote, trouble


@dataclass(frozen=True, slots=True)
class Login:
    """Who signs in: with `key`, or with `password` when there is no key. Its repr shows the user alone."""

    user: str
    key: PKey | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sudo_password: str | None = field(default=None, repr=False)
    use_sudo: bool = True


def sign_in(transport: Transport, login: Login) -> None:
    """Sign in, or raise Trouble. paramiko's AuthenticationException passes through when the connection was closed
    instead of an answer. paramiko.Transport looks for no key agent and no key files (SSHClient would)."""
    user, method = login.user, "key" if login.key is not None else "password"
    try:
        if login.key is not None:
            more = transport.auth_publickey(user, login.key)
        else:
            more = _by_password(transport, user, login.password or "")
    except BadAuthenticationType as problem:
        ways = [name.replace("publickey", "key") for name in problem.allowed_types] or ["nothing at all"]
        if method in ways:
            raise trouble(f"wrong_{method}", user=user) from problem
        wanted = "key" if "key" in ways else "password"
        raise trouble("wants_other_login", said=", ".join(ways), wanted=wanted, user=user) from problem
    except AuthenticationException as problem:
        if not transport.is_active():
            raise
        raise trouble(f"wrong_{method}", user=user) from problem
    if more:
        raise trouble("second_factor", said=", ".join(more), user=user)


def _by_password(transport: Transport, user: str, password: str) -> list[str]:
    """By password, or by a keyboard-interactive dialogue that asks one thing: the password."""
    try:
        return transport.auth_password(user, password, fallback=False)
    except BadAuthenticationType as problem:
        if "keyboard-interactive" not in problem.allowed_types:
            raise
    asked: list[str] = []

    def answer(_title: str, _instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        asked.extend(prompt for prompt, _ in prompts)
        return [password if len(asked) == 1 else "" for _ in prompts]

    try:
        return transport.auth_interactive(user, answer)
    except AuthenticationException as problem:
        if len(asked) > 1:
            raise trouble("second_factor", user=user, said=quote(asked[-1])) from problem
        raise
