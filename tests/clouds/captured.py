"""Recorded exchanges, read in place, and how to hold a reply of ours against one."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

from tests.shared import shared

# Objects whose keys are the customer's own words.
MAPS = frozenset({"addresses", "metadata"})


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its reply."""

    title: str
    method: str
    url: str
    body: bytes | None
    microversion: str | None
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def exchanges(name: str) -> dict[str, Exchange]:
    """Title → exchange, in the order of the file."""
    return {one.title: one for one in exchange_list(name)}


def exchange_list(name: str) -> list[Exchange]:
    """All exchanges in the order of the file; in diablo.txt two may have the same title."""
    found: list[Exchange] = []
    for block in re.split(r"^### ", shared("captures", name).read_text(), flags=re.M)[1:]:
        lines = block.split("\n")
        method, url = lines[1].split(" ", 1)
        said = lines[2].removeprefix("> ")
        body = None if said in ("None", "b''") else said.encode()
        if said.startswith("b'") and body:
            body = ast.literal_eval(said)
        version = next((line[5:] for line in lines if line.startswith("> mv ")), "None")
        status = next(place for place, line in enumerate(lines) if re.match(r"< \d{3} ", line))
        text = "\n".join(line for line in lines[status + 2 :] if not line.startswith("   state->"))
        found.append(
            Exchange(
                title=lines[0],
                method=method,
                url=url,
                body=body,
                microversion=None if version == "None" else version,
                status=int(lines[status].split()[1]),
                headers={key.lower(): value for key, value in ast.literal_eval(lines[status + 1][2:]).items()},
                text=text.strip(),
            )
        )
    return found


def differences(ours: Any, theirs: list[Any], where: str = "") -> list[str]:
    """How a JSON value of ours differs in shape from recorded ones of the same kind: keys and types, recursively.

    A key is required when all of the recorded ones have it, and allowed when one has. null fits any type.
    """
    theirs = [one for one in theirs if one is not None]
    if ours is None or not theirs:
        return []
    if isinstance(ours, dict) and all(isinstance(one, dict) for one in theirs):
        if where.rsplit(".", 1)[-1] in MAPS:
            inner = [value for one in theirs for value in one.values()]
            return [word for value in ours.values() for word in differences(value, inner, f"{where}.*")]
        required = set.intersection(*(set(one) for one in theirs))
        allowed = set.union(*(set(one) for one in theirs))
        found = [f"{where}.{key} is missing" for key in sorted(required - set(ours))]
        found += [f"{where}.{key} was never recorded" for key in sorted(set(ours) - allowed)]
        for key in set(ours) & allowed:
            found += differences(ours[key], [one[key] for one in theirs if key in one], f"{where}.{key}")
        return found
    if isinstance(ours, list) and all(isinstance(one, list) for one in theirs):
        inner = [value for one in theirs for value in one]
        return [word for value in ours for word in differences(value, inner, f"{where}[]")]
    kinds = {_kind(one) for one in theirs}
    return [] if _kind(ours) in kinds else [f"{where} is {_kind(ours)}, recorded {sorted(kinds)}"]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__
