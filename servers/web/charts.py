"""How a server was over time, as the charts on its page draw it: arrays by column, a null where nothing was heard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from accounts.visit import visit
from console.lib.pages import signed_in
from servers.agents import samples
from servers.agents.samples import Series
from servers.web.overview import reach_of

RANGES: Final = {
    "hour": ("Hour", timedelta(hours=1)),
    "day": ("Day", timedelta(days=1)),
    "month": ("Month", timedelta(days=30)),
    "year": ("Year", timedelta(days=365)),
}
USUAL: Final = "hour"
MOST: Final = 8  # disks, and NICs, that are drawn: a host of containers has hundreds
FRESH: Final = 15  # seconds for which a browser asks nothing

Column = Sequence[float | None]


def ranges(asked: str) -> list[tuple[str, str, bool]]:
    """Value, label and whether it is the one that is asked for; a wrong one means the usual."""
    chosen = asked if asked in RANGES else USUAL
    return [(value, label, value == chosen) for value, (label, _) in RANGES.items()]


@signed_in
@require_safe
def drawn(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The charts of `?range=`, for a server within reach (gone ones too); else a 404."""
    server = get_object_or_404(reach_of(visit(request)).servers(gone=True).only("pk"), pk=pk)
    asked = request.GET.get("range", USUAL)
    if asked not in RANGES:
        return JsonResponse({"detail": f"There is no such range. Ask for one of {', '.join(RANGES)}."}, status=400)
    until = timezone.now()
    since = until - RANGES[asked][1]
    told = _told(samples.series(server.pk, since, until))
    # The axis ends with a whole step: within one, and with nothing new, it is the same answer.
    told["until"] = -(-until.timestamp() // told["step"]) * told["step"]
    told["since"] = told["until"] - RANGES[asked][1].total_seconds()
    body = json.dumps(told, separators=(",", ":")).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    answer = get_conditional_response(request, etag=etag) or HttpResponse(body, content_type="application/json")
    answer["ETag"] = etag
    answer["Cache-Control"] = f"private, max-age={FRESH}"
    return answer


def _told(series: Series) -> dict[str, Any]:
    """`at` in Unix seconds. A null line between two steps with a silence between them: nothing is drawn through it."""
    breaks = [
        number for number in range(1, len(series.at)) if series.at[number] - series.at[number - 1] > series.gap
    ]  # fmt: skip
    at = [moment.timestamp() for moment in series.at]
    for number in reversed(breaks):
        at.insert(number, at[number - 1] + series.step.total_seconds())
    charts = [
        chart | {"lines": [{"label": label, "values": _with_gaps(column, breaks)} for label, column in lines]}
        for chart, lines in _charts(series)
        if any(value is not None for _, column in lines for value in column)
    ]
    more = max(0, len(series.disks) - MOST), max(0, len(series.nics) - MOST)
    return {
        "step": series.step.total_seconds(),
        "gap": series.gap.total_seconds(),
        "at": at,
        "charts": charts,
        "left_out": {"disks": more[0], "nics": more[1]},
    }


def _charts(series: Series) -> Iterator[tuple[dict[str, Any], list[tuple[str, Column]]]]:
    """Each chart and its lines. `top`: as high as its scale goes at least."""
    told = series.numbers
    yield _chart("cpu", "Processor", "percent", 100), [("Busy", told["cpu_percent"])]
    yield _chart("load", "Load", "number", 1), [
        ("1 min", told["load1"]), ("5 min", told["load5"]), ("15 min", told["load15"]),
    ]  # fmt: skip
    total = _most(told["memory_total_bytes"])
    yield _chart("memory", "Memory", "bytes", total), [("Used", told["memory_used_bytes"])]
    if swap := _most(told["swap_total_bytes"]):  # a host without swap tells 0 of 0
        yield _chart("swap", "Swap", "bytes", swap), [("Used", told["swap_used_bytes"])]
    for mount, of in list(series.disks.items())[:MOST]:
        size = _most(of.get("total_bytes", []))
        yield _chart(f"disk-{mount}", f"Disk {mount}", "bytes", size), [("Used", of.get("used_bytes", []))]
    for name, of in list(series.nics.items())[:MOST]:
        yield _chart(f"nic-{name}", f"Network {name}", "rate", 1024), [
            ("In", of.get("rx_bytes_per_second", [])), ("Out", of.get("tx_bytes_per_second", [])),
        ]  # fmt: skip


def _chart(key: str, title: str, unit: str, top: float) -> dict[str, Any]:
    return {"key": key, "title": title, "unit": unit, "top": top}


def _most(column: Column) -> float:
    return max((value for value in column if value is not None), default=0)


def _with_gaps(column: Column, breaks: list[int]) -> list[float | None]:
    made = [None if value is None else round(value, 2) for value in column]
    for number in reversed(breaks):
        made.insert(number, None)
    return made
