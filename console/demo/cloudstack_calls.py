"""What every CloudStack command shares: its parameters, the things they name, pages, and jobs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from console.demo.cloudstack_cloud import Cloud, Missing
from console.demo.cloudstack_rows import ident
from console.demo.cloudstack_things import ApiError, Job, Machine, invalid

Thing = TypeVar("Thing")

_PART = re.compile(r"\[(\d+)\]\.(.+)$")


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a list: `rows` are JSON texts, `total` counts those of all pages."""

    noun: str
    rows: Sequence[str]
    total: int


Answer = Listed | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose signature is good. `params` are by lower-case name."""

    cloud: Cloud
    command: str
    params: Mapping[str, str]
    method: str
    base: str
    """The scheme and host that the caller used."""

    def text(self, name: str, default: str = "") -> str:
        """The value of a parameter."""
        return self.params.get(name, default)

    def need(self, name: str) -> str:
        """The value of a parameter that must be there."""
        value = self.params.get(name)
        if not value:
            raise ApiError(431, f"Unable to execute API command {self.command.lower()} due to missing parameter {name}")
        return value

    def yes(self, name: str, default: bool = False) -> bool:
        """A boolean, as Java reads one: only "true", in any case, is."""
        return self.params[name].lower() == "true" if name in self.params else default

    def number(self, name: str) -> int | None:
        """A whole number, or None when it is not given."""
        value = self.params.get(name)
        if not value:
            return None
        try:
            return int(value)
        except ValueError:
            said = f"Unable to execute API command {self.command.lower()} due to invalid value {value}"
            raise ApiError(431, f"{said} for parameter {name}") from None

    def unknown(self, name: str, value: str) -> ApiError:
        """An id that names nothing."""
        return ApiError(
            431,
            f"Unable to execute API command {self.command.lower()} due to invalid value. Invalid parameter {name}"
            f" value={value} due to incorrect long value format, or entity does not exist or due to incorrect"
            " parameter annotation for the field in api cmd class.",
        )

    def found(self, name: str, things: Mapping[str, Thing]) -> Thing:
        """The thing whose id a parameter holds."""
        value = self.need(name)
        if value not in things:
            raise self.unknown(name, value)
        return things[value]

    def machine(self, name: str = "id") -> Machine:
        """The machine whose id a parameter holds."""
        value = self.need(name)
        try:
            return self.cloud.get(value)
        except Missing:
            raise self.unknown(name, value) from None

    def listed(self, name: str) -> list[str]:
        """The items of a comma-separated parameter."""
        return [item for item in self.text(name).split(",") if item]

    def mapped(self, name: str) -> dict[str, str]:
        """A map sent as name[0].key=…&name[0].value=… (tags) or name[0].cpuNumber=… (details)."""
        groups: dict[int, dict[str, str]] = {}
        for key, value in self.params.items():
            part = _PART.match(key.removeprefix(name)) if key.startswith(f"{name}[") else None
            if part is not None:
                groups.setdefault(int(part[1]), {})[part[2]] = value
        pairs: dict[str, str] = {}
        for group in groups.values():
            pairs |= {group["key"]: group.get("value", "")} if "key" in group else group
        return pairs

    def page(self, noun: str, rows: Iterable[Thing], said: Callable[[Thing], str]) -> Listed:
        """The page that was asked for; the first max_page rows when none was. Raises ApiError for a page too large."""
        size, number = self.number("pagesize"), self.number("page")
        if number is None and size not in (None, -1):
            raise ApiError(431, '"page" parameter is required when "pagesize" is specified')
        if size is None and number is not None:
            raise ApiError(431, '"pagesize" parameter is required when "page" is specified')
        if size is not None and size > self.cloud.max_page:
            raise invalid(f"Page size can't exceed max allowed page size value: {self.cloud.max_page}")
        if size == -1 and number is not None:
            raise invalid("Can't specify page parameter when pagesize is -1 (Unlimited)")
        every = list(rows)
        if size == -1:
            return Listed(noun, [said(one) for one in every], len(every))
        size = self.cloud.max_page if size is None else size
        start = size * (number - 1) if number is not None and number > 0 else 0
        return Listed(noun, [said(one) for one in every[start : start + size]], len(every))

    def started(self, job: Job, **more: str) -> dict[str, Any]:
        """What an asynchronous command answers."""
        answer: dict[str, Any] = {"jobid": ident(self.cloud, job.id)}
        return {name: ident(self.cloud, value) for name, value in more.items()} | answer


@dataclass(frozen=True, slots=True)
class Command:
    """A command: the version that brought it, and what carries it out."""

    name: str
    since: tuple[int, int]
    handler: Callable[[Call], Answer]
    asynchronous: bool = False
    response: str = ""
    """The key of its reply, where it is not the name in lower case and "response"."""

    @property
    def key(self) -> str:
        """The key of its reply."""
        return self.response or f"{self.name.lower()}response"
