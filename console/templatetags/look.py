"""What templates need to look and speak like LOOK.md: icons, ages, sizes, sparklines. `{% load look %}`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import structlog
from django import forms, template
from django.forms import BoundField
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

MINUTE, HOUR, DAY = 60, 3600, 86400


@lru_cache(maxsize=1)
def _sprite() -> str:
    return static("vendor/icons/tabler.svg")


@register.simple_tag
@lru_cache(maxsize=512)
def icon(name: str, css: str = "") -> SafeString:
    """A line icon, hidden from screen readers: the word stands beside it. Names: static/icons.txt."""
    return format_html('<svg class="icon {}" aria-hidden="true"><use href="{}#{}"></use></svg>', css, _sprite(), name)


def age_in_words(moment: datetime, now: datetime | None = None) -> str:
    """ "just now", "4 min ago", "3 h ago", "2 d ago", "in 5 min"; from 60 days on, the date. static/app.js agrees."""
    seconds = ((now or timezone.now()) - moment).total_seconds()
    size = abs(seconds)
    if size >= 60 * DAY:
        return f"{moment.day} {moment:%b %Y}"
    if size < 45:
        return "just now" if seconds >= 0 else "in a moment"
    if size < HOUR:
        words = f"{max(1, round(size / MINUTE))} min"
    elif size < DAY:
        words = f"{int(size // HOUR)} h"
    else:
        words = f"{int(size // DAY)} d"
    return f"{words} ago" if seconds >= 0 else f"in {words}"


@register.simple_tag
def age(moment: datetime | None, missing: str = "never") -> SafeString:
    """A relative age that keeps itself current, the exact time on hover (app.js shows it in the person's zone)."""
    if moment is None:
        return format_html('<span class="age faint">{}</span>', missing)
    return format_html(
        '<time class="age" datetime="{}" title="{}" data-age>{}</time>',
        moment.astimezone(UTC).isoformat(timespec="seconds"),
        timezone.localtime(moment).strftime("%d %b %Y, %H:%M:%S %Z"),
        age_in_words(moment),
    )


@register.filter
def duration(seconds: float | timedelta | None) -> str:
    """ "0.4 s", "12 s", "3 min 20 s", "2 h 5 min"; empty for None."""
    if seconds is None:
        return ""
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


@register.filter
def megabytes(value: float | None) -> str:
    """Megabytes in the unit that reads best: 512 → "512 MB", 8192 → "8 GB", 1572864 → "1.5 TB"; empty for None."""
    if value is None:
        return ""
    unit = "MB"
    for larger in ("GB", "TB"):
        if value >= 1024:
            value, unit = value / 1024, larger
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


@register.filter
def figure(value: float | None) -> str:
    """A count with thin spaces between thousands: 12345 → "12 345"; a dash for None."""
    return "–" if value is None else f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


@register.filter
def initials(user: Any) -> str:
    """One or two letters for the round button of a person's menu."""
    first, last = getattr(user, "first_name", ""), getattr(user, "last_name", "")
    return (first[:1] + last[:1] or getattr(user, "email", "?")[:1]).upper()


@register.filter
def load_tone(percent: float | None) -> str:
    """The status of a full disk or memory: attention from 80 %, failed from 95 %; nothing below."""
    if percent is None or percent < 80:
        return ""
    return "failed" if percent >= 95 else "attention"


@register.simple_tag
def spark_points(values: Sequence[float | None], top: float | None = None, *, ground: bool = False) -> str:
    """`points` of a sparkline in a 72 × 20 box; unknown values are left out. `ground` closes it to an area."""
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return ""
    highest = max(top or 0, max(value for _, value in known)) or 1
    step = 72 / (len(values) - 1)
    points = [f"{index * step:.1f},{19 - 18 * max(0, value) / highest:.1f}" for index, value in known]
    if ground:
        points = [f"{known[0][0] * step:.1f},20", *points, f"{known[-1][0] * step:.1f},20"]
    return " ".join(points)


@register.simple_tag
def share(part: float | None, whole: float | None) -> float:
    """`part` of `whole` in percent, 0 to 100 with one decimal; 0 where one of them is unknown."""
    if not part or not whole:
        return 0.0
    return round(min(100.0, 100.0 * part / whole), 1)


@register.filter
def message_tone(level: str) -> str:
    """The tone of one of Django's messages by its level tag."""
    return {"success": "running", "warning": "attention", "error": "failed"}.get(level, "stopped")


@register.filter
def plus(one: float, other: float) -> float:
    """The sum of two shares, for drawings."""
    return round(one + other, 1)


@register.filter
def input_kind(field: BoundField) -> str:
    """How components/field.html draws it: hidden, checkbox, choices (radios, tick lists), password, select or text."""
    widget = field.field.widget
    if widget.is_hidden:
        return "hidden"
    if isinstance(widget, forms.RadioSelect | forms.CheckboxSelectMultiple):
        return "choices"
    if isinstance(widget, forms.CheckboxInput):
        return "checkbox"
    if isinstance(widget, forms.PasswordInput):
        return "password"
    return "select" if isinstance(widget, forms.Select) else "text"


@register.filter
def dressed(field: BoundField) -> SafeString:
    """The input with the class of its kind, marked when wrong, and tied to the words below it."""
    css = {"checkbox": "form-check-input", "select": "form-select"}.get(input_kind(field), "form-control")
    classes = [field.field.widget.attrs.get("class", ""), css, "is-invalid" if field.errors else ""]
    words = f"{field.auto_id}_words"
    return field.as_widget(attrs={"class": " ".join(filter(None, classes)), "aria-describedby": words})


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (("Android",) * 2, ("iPhone",) * 2, ("iPad",) * 2, ("Windows",) * 2, ("Mac OS", "macOS"), ("Linux",) * 2)


@register.filter
def browser_name(agent: str) -> str:
    """ "Firefox on Linux" out of a user agent; the agent's own words where it is none of the known."""
    browser = next((name for sign, name in _BROWSERS if sign in agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in agent), "")
    return " on ".join(filter(None, (browser, system))) or agent[:60] or "An unknown browser"


@register.simple_tag
def request_id() -> str:
    """The id under which the log keeps this request: what a person can quote to staff."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


@register.filter
def choices_of(field: BoundField) -> list[Any]:
    """The single inputs of radios or tick lists, in the class of their kind."""
    field.field.widget.attrs["class"] = "form-check-input"
    return field.subwidgets


@register.filter
def unprompted(field: BoundField) -> BoundField:
    """Without a placeholder: allauth repeats the label there."""
    field.field.widget.attrs.pop("placeholder", None)
    return field
