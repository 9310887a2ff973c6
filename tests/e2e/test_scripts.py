"""What static/*.js does in a real browser, under the real content security policy, on the staff page of components."""

from __future__ import annotations

import json
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from console.templatetags.look import age_in_words
from tests.conftest import People
from tests.e2e.console import browser
from tests.factories import UserFactory
from tests.processes import wait
from tests.shared import ROOT

pytestmark = pytest.mark.django_db


@dataclass
class Site:
    """The rendered page with its policy, its static files, and a row that says how often it was fetched."""

    html: str
    policy: str
    url: str = ""
    fetched: list[str] = field(default_factory=list)
    rows_status: int = 200
    answers: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)  # by whole address: status, kind, body
    held: dict[str, threading.Event] = field(default_factory=dict)  # by whole address: its answer waits for this


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            status, kind, body = 404, "text/plain", b""
            if path.startswith("/static/") and (file := ROOT / path[1:]).is_file():
                status, kind, body = 200, mimetypes.guess_type(path)[0] or "font/woff2", file.read_bytes()
            elif self.path in site.answers:
                site.fetched.append(self.path)
                status, kind, body = site.answers[self.path]
                if (held := site.held.get(self.path)) and not held.wait(30):
                    raise TimeoutError(f"Nobody let {self.path} be answered.")
            elif path == "/page":
                status, kind, body = 200, "text/html", site.html.encode()
            elif path.startswith("/row/"):
                site.fetched.append(path)
                name = path.rpartition("/")[2]
                status, kind = site.rows_status, "text/html"
                body = row(name, f"fetched {site.fetched.count(path)}").encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", site.policy)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def row(name: str, words: str) -> str:
    return f'<p id="{name}" hx-get="/row/{name}" hx-trigger="hint" hx-swap="morph:outerHTML">{words}</p>'


@pytest.fixture
def site() -> Iterator[Site]:
    answer = People.browser(UserFactory(is_staff=True)).get("/staff/components/")
    with serving(Site(answer.content.decode(), answer["Content-Security-Policy"])) as made:
        yield made


class Far:
    """The server's end of the page's websockets."""

    def __init__(self) -> None:
        self.sockets: list[Any] = []

    def take(self, socket: Any) -> None:
        self.sockets.append(socket)

    def say(self, **words: str) -> None:
        self.sockets[-1].send(json.dumps(words))


@contextmanager
def opened(site: Site, expected_errors: int = 0) -> Iterator[tuple[Any, Far]]:
    """The page in Chromium; complaints of the browser (a policy broken, a script failed) fail the test."""
    complaints: list[str] = []
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        far = Far()
        page.route_web_socket("**/ws/hints/", far.take)
        page.goto(f"{site.url}/page")
        page.wait_for_selector("#live[data-state=live]")
        yield page, far
        assert len(complaints) == expected_errors, complaints


def test_ticks_shift_and_all_that_match(site: Site) -> None:
    with opened(site) as (page, _):
        bar, boxes = page.locator("[data-bulk-bar]"), page.locator("input[name=ids]")
        assert bar.is_hidden()
        boxes.nth(0).check()
        boxes.nth(2).click(modifiers=["Shift"])
        assert page.locator("[data-bulk-count]").inner_text() == "3"
        assert page.locator("[data-bulk-match]").is_hidden()
        page.locator("[data-bulk-all]").check()
        page.locator("[data-bulk-match]").click()
        assert page.locator("[data-bulk-count]").inner_text() == "All 412"
        assert page.locator("[data-bulk-all-matching]").input_value() == "1"
        boxes.nth(1).uncheck()
        assert page.locator("[data-bulk-all-matching]").input_value() == ""
        assert page.locator("[data-bulk-count]").inner_text() == "4"
        page.locator("[data-bulk-clear]").click()
        assert bar.is_hidden()


BULK = """<div id="room" data-hints="servers" hx-get="/room{of}" hx-trigger="hint" hx-swap="morph:outerHTML">
<form data-bulk data-total="412"><input type="hidden" name="q" value="{q}"><input type="checkbox" data-bulk-all>
<input type="checkbox" name="ids" value="1"><input type="checkbox" name="ids" value="2"><div data-bulk-bar hidden>
<span data-bulk-count></span><button type="button" data-bulk-match></button><span id="told">{told}</span>
<input type="hidden" name="all_matching" value="" data-bulk-all-matching></div></form></div>"""


def test_a_refresh_leaves_what_is_chosen_as_it_is_and_another_search_is_not_all_of_it(site: Site) -> None:
    """Not even at the swap is a tick, the bar or its count away: a click would meet it there."""
    for of, q, told in (("1", "", "again"), ("2", "web", "of another search")):
        site.answers[f"/room{of}"] = (200, "text/html", BULK.format(of="2", q=q, told=told).encode())
    with opened(site) as (page, far):
        page.evaluate("document.querySelector('form[data-bulk]').remove()")
        page.evaluate(
            "html => { document.body.insertAdjacentHTML('beforeend', html); htmx.process(room); window.seen = [];"
            "const told = () => [document.querySelector('[name=ids]').checked,"
            "document.querySelector('[data-bulk-bar]').hidden, document.querySelector('[data-bulk-count]').innerText];"
            "document.addEventListener('htmx:afterSwap', () => seen.push(told())); }",
            BULK.format(of="1", q="", told="first"),
        )
        page.locator("[data-bulk-all]").check()
        page.locator("[data-bulk-match]").click()
        matching = page.locator("[data-bulk-all-matching]")
        far.say(changed="servers")
        page.locator("#told", has_text="again").wait_for()
        assert (matching.input_value(), page.locator("[data-bulk-count]").inner_text()) == ("1", "All 412")
        far.say(changed="servers")
        page.locator("#told", has_text="of another search").wait_for()
        assert (matching.input_value(), page.locator("[data-bulk-count]").inner_text()) == ("", "2")
        assert page.evaluate("seen") == [[True, False, "All 412"], [True, False, "2"]]


def test_a_refresh_that_answers_after_a_search_asks_anew_for_what_was_searched(site: Site) -> None:
    for path, of, told in (("/room1", "1", "all"), ("/found", "2", "found"), ("/room2", "2", "found anew")):
        site.answers[path] = (200, "text/html", BULK.format(of=of, q="", told=told).encode())
    site.held["/room1"] = threading.Event()
    with opened(site) as (page, far):
        page.evaluate("document.querySelector('form[data-bulk]').remove()")
        page.evaluate(
            "html => { document.body.insertAdjacentHTML('beforeend', html); htmx.process(room); window.seen = [];"
            "const told = () => document.getElementById('told').textContent;"
            "document.addEventListener('htmx:afterSwap', () => seen.push(told())); }",
            BULK.format(of="1", q="", told="first"),
        )
        with page.expect_request("**/room1"):
            far.say(changed="servers")
        wait(lambda: site.fetched)
        page.evaluate("htmx.ajax('GET', '/found', {target: '#room', swap: 'morph:outerHTML'})")
        page.locator("#told", has_text="found").wait_for(state="attached")
        site.held["/room1"].set()
        page.locator("#told", has_text="found anew").wait_for(state="attached")
        assert page.evaluate("seen") == ["found", "found anew"]
        assert site.fetched == ["/room1", "/found", "/room2"]


def test_a_theme_and_a_folded_rail_are_kept_and_stand_before_the_first_paint(site: Site) -> None:
    with opened(site) as (page, _):
        page.locator("header .avatar-button").click()
        page.locator("[data-theme-choice=dark]").click()
        page.keyboard.press("Escape")
        assert page.locator("header details.menu[open]").count() == 0
        page.locator("[data-fold-rail]").click()
        page.reload(wait_until="commit")
        page.wait_for_selector("body", state="attached")
        root = page.evaluate("({...document.documentElement.dataset})")
        assert (root["bsTheme"], root["rail"]) == ("dark", "folded")
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


def test_slash_goes_to_the_page_s_own_search_and_types_in_a_field(site: Site) -> None:
    with opened(site) as (page, _):
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.closest('main') && document.activeElement.type") == "search"
        page.keyboard.type("a/b")
        assert page.evaluate("document.activeElement.value") == "a/b"


def test_an_address_is_copied_and_says_so(site: Site) -> None:
    with opened(site) as (page, _):
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.locator("button.address").first.click()
        page.wait_for_selector("button.address[data-copied]")
        assert page.evaluate("navigator.clipboard.readText()") == "203.0.113.24"


def test_what_cannot_be_done_says_why_when_it_has_the_focus_and_does_nothing(site: Site) -> None:
    with opened(site) as (page, _):
        stop = page.locator("[aria-disabled=true][data-tip]").first
        stop.focus()
        assert "stopped already" in page.evaluate(
            "getComputedStyle(document.activeElement, '::before').content", stop.element_handle()
        )
        stop.click(force=True)
        assert page.url == f"{site.url}/page"


def test_the_browser_and_the_server_word_ages_alike(site: Site) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    sizes = [0, 30, 46, 89, 91, 600, 3599, 3601, 7199, 86399, 86401, 59 * 86400, 61 * 86400, 400 * 86400]
    moments = [now - timedelta(seconds=sign * size) for size in sizes for sign in (1, -1)]
    with opened(site) as (page, _):
        said = page.evaluate(
            "([moments, now]) => moments.map((moment) => ageInWords(new Date(moment), new Date(now)))",
            [[moment.isoformat() for moment in moments], now.isoformat()],
        )
    assert said == [age_in_words(moment, now) for moment in moments]


def test_a_hint_refetches_its_row_and_only_that_and_a_strange_hint_nothing(site: Site) -> None:
    with opened(site) as (page, far):
        add(page, "server-7", "server-8")
        far.say(changed="server-99")
        far.say(changed="server-7")
        far.say(changed="server-7")
        page.wait_for_selector("#server-7 >> text=fetched 1")
        assert site.fetched == ["/row/server-7"]
        assert page.locator("#server-8").inner_text() == "old"


def test_many_changed_rows_are_one_refresh_of_their_list(site: Site) -> None:
    with opened(site) as (page, far):
        names = [f"server-{number}" for number in range(20)]
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<div id=room data-hints=servers></div>')")
        page.evaluate(
            "room.setAttribute('hx-get', '/row/list'); room.setAttribute('hx-trigger', 'hint');"
            "room.setAttribute('hx-swap', 'beforeend')"
        )
        add(page, *names, room="#room")
        for name in names:
            far.say(changed=name)
        page.wait_for_selector("#list >> text=fetched 1")
        assert site.fetched == ["/row/list"]


def test_a_lost_line_is_said_dialled_again_and_what_was_missed_is_fetched(site: Site) -> None:
    with opened(site) as (page, far):
        add(page, "server-7")
        page.evaluate("document.getElementById('server-7').dataset.hints = 'servers'")
        far.sockets[-1].close(code=1012)
        page.wait_for_selector("#live[data-state=reconnecting]")
        page.wait_for_selector("#live[data-state=live]")
        page.wait_for_selector("#server-7 >> text=fetched 1")
        assert len(far.sockets) == 2


def test_who_is_signed_out_is_told_and_does_not_dial_again(site: Site) -> None:
    with opened(site) as (page, far):
        far.sockets[-1].close(code=4401)
        page.wait_for_selector("#live[data-state=off]")
        assert page.locator("#live").inner_text() == "Signed out"


def test_a_request_that_fails_is_told_in_words_and_a_hint_that_fails_is_not(site: Site) -> None:
    site.rows_status = 500
    with opened(site, expected_errors=4) as (page, far):
        add(page, "server-7")
        with page.expect_response("**/row/server-7"):
            far.say(changed="server-7")
        page.evaluate("htmx.ajax('GET', '/row/other', '#server-7')")
        page.wait_for_selector("#toasts [data-toast] >> text=Muster could not do that")
        page.locator("#toasts [data-dismiss]").click()
        assert page.locator("#toasts [data-toast]").count() == 0
        assert page.locator("#server-7").inner_text() == "old"


def add(page: Any, *names: str, room: str = "main") -> None:
    """Rows that listen, as a list page has them."""
    for name in names:
        page.evaluate(
            "([room, html]) => { const place = document.querySelector(room);"
            "place.insertAdjacentHTML('beforeend', html); htmx.process(place.lastElementChild); }",
            [room, row(name, "old")],
        )
    page.evaluate("(room) => htmx.process(document.querySelector(room))", room)
