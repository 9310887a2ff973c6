"""Requests that come by the thousand and went well are not worth two log lines each."""

from __future__ import annotations

import logging
from typing import Any, Final

import structlog

HEARTBEAT: Final = "POST /agent/v1/heartbeat"
_EVENTS: Final = ("request_started", "request_finished")


def quiet(logger: Any, _: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A structlog processor: heartbeats are logged only under LOG_LEVEL=DEBUG, or when they were refused or failed."""
    told = event.get("event") in _EVENTS and event.get("request") == HEARTBEAT
    if told and event.get("code", 200) < 300 and not logger.isEnabledFor(logging.DEBUG):
        raise structlog.DropEvent
    return event
