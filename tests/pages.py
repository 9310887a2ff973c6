"""Small readers of pages, for the tests of what people see."""

from __future__ import annotations

import re
from html import unescape

from django.http import HttpResponse


def text(response: HttpResponse) -> str:
    """What the page says, without tags, on one line."""
    content = re.sub(r"<(script|style|svg).*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", content)).split())


def rows(response: HttpResponse) -> list[str]:
    """The names of the servers in the list, in order."""
    found = re.findall(r'<td class="cell-name"><a [^>]*>(.*?)</a>', response.content.decode())
    return [unescape(name) for name in found]


def link(response: HttpResponse, rel: str) -> str:
    """The address of the pager's link of that `rel`; empty without one."""
    found = re.search(rf'rel="{rel}" href="([^"]*)"', response.content.decode())
    return unescape(found[1]) if found else ""
