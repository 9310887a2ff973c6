"""Filters of the query service: ==, !=, =lt=, =gt=, =le=, =ge=, joined by ; (and) , (or) and parentheses."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from fnmatch import fnmatchcase
from urllib.parse import unquote

from console.demo.vcloud_things import bad

Row = dict[str, object]
TERM = re.compile(r"(?P<name>[\w:.]+)(?P<op>==|!=|=lt=|=gt=|=le=|=ge=)(?P<value>.*)", re.DOTALL)
SPLIT = re.compile(r"\\?[();,]")


def filtered(expression: str, *, encoded: bool = False) -> Callable[[Row], bool]:
    """A filter such as `isVAppTemplate==false;(name==web*,status==POWERED_ON)`. Raises Trouble when it is none."""
    if not expression:
        return lambda row: True
    tokens: list[str] = []
    start = 0
    for match in SPLIT.finditer(expression):
        if match.group().startswith("\\"):
            continue
        tokens += [expression[start : match.start()], match.group()]
        start = match.end()
    tokens.append(expression[start:])
    found = [token for token in tokens if token]
    test = _either(found, encoded)
    if found:
        raise bad(f"Bad request: the filter {expression} is not understood.")
    return test


def _either(tokens: list[str], encoded: bool) -> Callable[[Row], bool]:
    tests = [_both(tokens, encoded)]
    while tokens and tokens[0] == ",":
        tokens.pop(0)
        tests.append(_both(tokens, encoded))
    return lambda row: any(test(row) for test in tests)


def _both(tokens: list[str], encoded: bool) -> Callable[[Row], bool]:
    tests = [_one(tokens, encoded)]
    while tokens and tokens[0] == ";":
        tokens.pop(0)
        tests.append(_one(tokens, encoded))
    return lambda row: all(test(row) for test in tests)


def _one(tokens: list[str], encoded: bool) -> Callable[[Row], bool]:
    if not tokens:
        raise bad("Bad request: the filter ends too early.")
    term = tokens.pop(0)
    if term == "(":
        test = _either(tokens, encoded)
        if not tokens or tokens.pop(0) != ")":
            raise bad("Bad request: a parenthesis of the filter is not closed.")
        return test
    match = TERM.fullmatch(term)
    if match is None:
        raise bad(f"Bad request: the filter term {term} is not understood.")
    value = re.sub(r"\\([();,])", r"\1", unquote(match["value"]) if encoded else match["value"])
    return _test(match["name"], match["op"], value)


def _test(name: str, op: str, value: str) -> Callable[[Row], bool]:
    if op in ("==", "!="):
        wanted = value.lower().replace("[", "[[]")

        def same(row: Row) -> bool:
            text = _text(row.get(name)).lower()
            return (text == wanted or fnmatchcase(text, wanted)) == (op == "==")

        return same

    def ordered(row: Row) -> bool:
        own = row.get(name)
        if own is None:
            return False
        left, right = _comparable(own, value)
        return {"=lt=": left < right, "=gt=": left > right, "=le=": left <= right, "=ge=": left >= right}[op]

    return ordered


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else str(value)


def _comparable(own: object, value: str) -> tuple[float, float]:
    try:
        if isinstance(own, datetime):
            asked = datetime.fromisoformat(value)
            return own.timestamp(), (asked if asked.tzinfo else asked.replace(tzinfo=own.tzinfo)).timestamp()
        return float(str(own)), float(value)
    except ValueError as error:
        raise bad(f"Bad request: {value} cannot be compared with.") from error


def sortable(value: object) -> tuple[str, float, str]:
    if isinstance(value, datetime):
        return "", value.timestamp(), ""
    return ("", float(value), "") if isinstance(value, int) else ("", 0.0, str(value))
