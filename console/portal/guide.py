"""The guide for a provider's developer, as pages: docs/*.md as they stand in the repository, with this console's own
address in them. For everybody: nothing in them is secret, and who integrates has no sign-in yet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

FOLDER: Final = settings.BASE_DIR / "docs"
# Their names in addresses; the first is the guide itself.
PAGES: Final = {"": "integrate.md", "sandbox": "sandbox.md", "images": "images.md", "enrolment": "enrolment.md"}
EXAMPLE: Final = "examples/integrate.py"
ANYWHERE: Final = "https://console.example"  # what the documents call a console's address


@dataclass(frozen=True)
class Page:
    title: str
    html: SafeString
    sections: tuple[tuple[str, str], ...]  # anchor and heading


@require_safe
def page(request: HttpRequest, name: str = "") -> HttpResponse:
    """One of the documents."""
    if name not in PAGES:
        raise Http404("There is no such page of the guide.")
    others = [(read(one, settings.PUBLIC_URL).title, address(one), one == name) for one in PAGES]
    told = {"page": read(name, settings.PUBLIC_URL), "others": others, "example": reverse("guide-example")}
    return render(request, "guide.html", told)


@require_safe
def example(request: HttpRequest) -> HttpResponse:
    """The whole integration as one script, to keep."""
    reply = HttpResponse((FOLDER / EXAMPLE).read_bytes(), content_type="text/x-python; charset=utf-8")
    reply["Content-Disposition"] = 'attachment; filename="integrate.py"'
    return reply


def address(name: str) -> str:
    return reverse("guide-page", args=[name]) if name else reverse("guide")


@cache
def read(name: str, console: str) -> Page:
    """The document as HTML. What is HTML in it stays text; a link to what is not served is an error of ours."""
    text = (FOLDER / PAGES[name]).read_text(encoding="utf-8").replace(ANYWHERE, console)
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    sections = _anchored(tokens)
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("href", _target(str(child.attrGet("href"))))
                child.attrSet("class", "in-text")
    reader.add_render_rule("fence", _fence)
    titles = [title for level, _, title in sections if level == "h1"]
    # Markdown of our own files, whose HTML was turned off.
    html = mark_safe(reader.renderer.render(tokens, reader.options, {}))  # noqa: S308
    return Page(titles[0], html, tuple((anchor, title) for level, anchor, title in sections if level == "h2"))


def _anchored(tokens: list[Token]) -> list[tuple[str, str, str]]:
    """Level, anchor and words of every heading; each gets its anchor, as a link from elsewhere names it."""
    found = []
    for token, inline in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open":
            anchor = re.sub(r"[^\w -]", "", inline.content.lower()).replace(" ", "-")
            token.attrSet("id", anchor)
            found.append((token.tag, anchor, inline.content))
    return found


def _target(href: str) -> str:
    """Where a link of the documents leads here."""
    path, mark, anchor = href.partition("#")
    if not path or ":" in path or path.startswith("/"):
        return href
    if path == EXAMPLE:
        return reverse("guide-example")
    names = {file: name for name, file in PAGES.items()}
    return f"{address(names[path])}{mark}{anchor}"


def _fence(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    """Code wraps on a narrow screen."""
    return f'<pre class="output"><code>{escapeHtml(tokens[at].content)}</code></pre>\n'
