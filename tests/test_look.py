"""The look holds its own law: one place for colours, readable contrasts, nothing inline, every component drawn."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from console.templatetags import look
from tests.conftest import People
from tests.factories import UserFactory

ROOT = Path(settings.BASE_DIR)
TOKENS = (ROOT / "static" / "tokens.css").read_text()
NOW = datetime(2026, 3, 12, 14, 0, tzinfo=UTC)


class Inline(HTMLParser):
    """Collects what the content security policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in names and names.get("type") != "application/json"):
            self.found.append(tag)
        self.found += [name for name in names if name == "style" or name.startswith("on")]


def inline(html: str) -> list[str]:
    parser = Inline()
    parser.feed(html)
    return parser.found


def token(name: str, theme: int) -> tuple[float, float, float]:
    """The colour of a token in theme 0 (light) or 1 (dark)."""
    found = re.search(rf"--{name}: (?:light-dark\((#\w{{6}}), (#\w{{6}})\)|(#\w{{6}}));", TOKENS)
    assert found, name
    value = found.group(3) or found.group(theme + 1)
    red, green, blue = (int(value[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """WCAG 2's contrast ratio."""

    def luminance(colour: tuple[float, float, float]) -> float:
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


READ = [
    *[(ink, ground) for ink in ("ink", "ink-2", "ink-3") for ground in ("surface", "canvas", "sunken", "raised")],
    *[
        (f"{tone}-ink", ground)
        for tone in ("running", "stopped", "changing", "attention", "failed")
        for ground in ("surface", "canvas", f"{tone}-soft")
    ],
    ("on-accent", "accent"),
    ("on-danger", "danger"),
    ("accent", "surface"),
    ("accent", "canvas"),
]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), READ)
def test_every_word_can_be_read_on_its_ground_in_both_themes(ink: str, ground: str, theme: int) -> None:
    ratio = contrast(token(ink, theme), token(ground, theme))
    assert ratio >= 4.5, round(ratio, 2)


def test_raw_colours_stand_in_tokens_css_alone() -> None:
    raw = re.compile(r"#[0-9a-fA-F]{3,8}\b(?=\s*[;,)\s}])|\brgba?\(|\bhsla?\(|\boklch\(")
    sheets = [path for path in (ROOT / "static").glob("*.css") if path.name != "tokens.css"]
    assert len(sheets) >= 5
    assert {path.name: raw.findall(path.read_text()) for path in sheets} == {path.name: [] for path in sheets}


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    sprite = (ROOT / "static/vendor/icons/tabler.svg").read_text()
    drawn = set(re.findall(r'id="([\w-]+)"', sprite))
    assert drawn == set((ROOT / "static/icons.txt").read_text().split())
    for path in (ROOT / "templates").rglob("*.html"):
        text = path.read_text()
        named = re.findall(r'{% icon "([\w-]+)"', text) + re.findall(r'\bicon="([\w-]+)"', text)
        assert set(named) <= drawn, path.name


def test_no_stylesheet_or_script_points_at_a_file_that_is_not_there() -> None:
    for path in (ROOT / "static").glob("*.css"):
        for target in re.findall(r'url\("([^"#]+)"\)', path.read_text()):
            assert (path.parent / target).exists(), (path.name, target)
    assert not re.search(
        r"sourceMappingURL",
        "".join(path.read_text() for path in (ROOT / "static/vendor").rglob("*") if path.suffix in {".css", ".js"}),
    )


@pytest.mark.django_db
def test_staff_see_every_component_without_anything_inline() -> None:
    page = People.browser(UserFactory(is_staff=True)).get("/staff/components/?notices")
    html = page.content.decode()
    assert page.status_code == 200
    assert inline(html) == []
    for name in sorted((ROOT / "templates/components").glob("*.html")):
        assert f"components/{name.name}" in {template.name for template in page.templates}, name.name
    assert "script-src 'self'" in page["Content-Security-Policy"]


def test_customers_and_strangers_do_not_see_the_staff_page(people: People) -> None:
    assert people.browser(people.alice).get("/staff/components/").status_code in (302, 403)
    assert Client().get("/staff/components/").status_code == 302


@pytest.mark.django_db
def test_a_wrong_address_is_answered_in_words_with_the_id_for_staff() -> None:
    page = Client().get("/nowhere/")
    assert page.status_code == 404
    assert "Nothing is here" in page.content.decode()
    assert inline(page.content.decode()) == []


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (0, "just now"),
        (44, "just now"),
        (60, "1 min ago"),
        (240, "4 min ago"),
        (3599, "60 min ago"),
        (3600, "1 h ago"),
        (86399, "23 h ago"),
        (86400, "1 d ago"),
        (59 * 86400, "59 d ago"),
        (70 * 86400, "1 Jan 2026"),
        (-10, "in a moment"),
        (-2520, "in 42 min"),
    ],
)
def test_ages_read_as_people_say_them(ago: int, words: str) -> None:
    assert look.age_in_words(NOW - timedelta(seconds=ago), NOW) == words


@given(st.integers(min_value=-(10**8), max_value=10**8))
def test_every_age_has_words(seconds: int) -> None:
    assert re.fullmatch(
        r"just now|in a moment|(in )?\d+ (min|h|d)( ago)?|\d{1,2} \w{3} \d{4}",
        look.age_in_words(NOW - timedelta(seconds=seconds), NOW),
    )


@given(st.lists(st.none() | st.floats(min_value=-1, max_value=1e9), max_size=80))
def test_a_sparkline_stays_in_its_box(values: list[float | None]) -> None:
    points = [tuple(map(float, pair.split(","))) for pair in look.spark_points(values).split()]
    assert all(0 <= x <= 72.01 and 0 <= y <= 20 for x, y in points)
    assert len(points) in (0, len([value for value in values if value is not None]))


def test_sizes_durations_and_counts_read_well() -> None:
    assert [look.megabytes(value) for value in (None, 512, 8192, 1536, 1572864)] == [
        "",
        "512 MB",
        "8 GB",
        "1.5 GB",
        "1.5 TB",
    ]
    assert [look.duration(value) for value in (None, 0.42, 12, 200, 7500, 90000)] == [
        "",
        "0.4 s",
        "12 s",
        "3 min 20 s",
        "2 h 5 min",
        "1 d 1 h",
    ]
    assert [look.figure(value) for value in (None, 7, 12345)] == ["–", "7", "12\N{NARROW NO-BREAK SPACE}345"]
    assert look.share(3, 0) == look.share(None, 8) == 0.0
    assert [look.load_tone(value) for value in (None, 79.9, 80, 95)] == ["", "", "attention", "failed"]


def test_browsers_are_named_as_people_know_them() -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36"
    assert look.browser_name(agent) == "Chrome on Linux"
    assert look.browser_name("") == "An unknown browser"
