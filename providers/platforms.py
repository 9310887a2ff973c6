"""The cloud platforms that endpoints can be of: one entry each, which all that differs by platform is read from.

Plain data without Django, down here because an endpoint's row needs it; `accounts.clouds` opens the drivers. To add a
platform, write its driver (`accounts.clouds.base.Driver`, and `acting.ActingDriver` where it can act) with a table of
what each generation can do (`operations.Capabilities`), and give it its entry here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Form:
    """One way to sign in: the parts of the credentials that it needs, and those that it takes besides."""

    needed: frozenset[str]
    allowed: frozenset[str] = frozenset()

    def fits(self, parts: frozenset[str]) -> bool:
        return self.needed <= parts <= self.needed | self.allowed

    def __str__(self) -> str:
        return f"{{{', '.join([*sorted(self.needed), *(f'{part}?' for part in sorted(self.allowed))])}}}"


@dataclass(frozen=True, slots=True)
class Platform:
    """`driver`, `tables`: dotted paths, module:name, so that a process pays only for the client libraries it uses.
    `credentials`: a line for each form that can be pushed; a part with a ? may be left out."""

    title: str
    driver: str
    tables: str
    credentials: tuple[str, ...]

    @property
    def forms(self) -> tuple[Form, ...]:
        return tuple(_form(line) for line in self.credentials)


# Word → platform. The word (at most 12 characters) is kept with endpoints; it is `platform` in the API, and what people
# write in the search box.
PLATFORMS: Final[dict[str, Platform]] = {
    "openstack": Platform(
        "OpenStack",
        "accounts.clouds.openstack_acting:OpenStack",
        "accounts.clouds.openstack_capabilities:CAPABILITIES",
        (
            "username password project user_domain? project_domain?",
            "application_credential_id application_credential_secret",
        ),
    ),
    "cloudstack": Platform(
        "CloudStack",
        "accounts.clouds.cloudstack:CloudStack",
        "accounts.clouds.cloudstack_capabilities:CAPABILITIES",
        ("api_key secret_key",),
    ),
    "vcloud": Platform(
        "vCloud",
        "accounts.clouds.vcloud:VCloud",
        "accounts.clouds.vcloud_capabilities:CAPABILITIES",
        ("username org password", "api_token org"),
    ),
}


def choices() -> Iterator[tuple[str, str]]:
    """(word, title) of each, as a field offers them. Migrations name this function, so a new platform needs none."""
    return ((word, platform.title) for word, platform in PLATFORMS.items())


def _form(line: str) -> Form:
    parts = line.split()
    needed = frozenset(part for part in parts if not part.endswith("?"))
    return Form(needed, frozenset(part.rstrip("?") for part in parts) - needed)
