"""The rate limits of Diablo and Essex: leaky buckets per user and verb (essex.txt, cs3 and over2; diablo.txt)."""

from __future__ import annotations

import re
import threading
from datetime import datetime
from typing import Any

from console.demo.cloud import Cloud
from console.demo.keystone import zulu
from console.demo.wire import Reply, over_limit

# (verb, uri as shown, regex on the path after the tenant, how many, unit), as /limits of Essex lists them.
RULES = (
    ("POST", "*", ".*", 10, "MINUTE"),
    ("PUT", "*", ".*", 10, "MINUTE"),
    ("DELETE", "*", ".*", 100, "MINUTE"),
    ("POST", "*/servers", "^/servers", 50, "DAY"),
    ("GET", "*changes-since*", ".*changes-since.*", 3, "MINUTE"),
)
SECONDS = {"MINUTE": 60, "DAY": 86_400}

Rule = tuple[str, str, str, int, str]


class Limits:
    """The water level of every bucket, by the cloud's clock."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._levels: dict[tuple[str, Rule], tuple[float, datetime]] = {}
        self._lock = threading.Lock()

    def _level(self, user_id: str, rule: Rule, now: datetime) -> float:
        level, at = self._levels.get((user_id, rule), (0.0, now))
        return max(0.0, level - (now - at).total_seconds())

    def check(self, user_id: str, verb: str, target: str) -> Reply | None:
        """Essex's 413 for this call, or None when it may pass."""
        over = self.exceeded(user_id, verb, target)
        return over_limit(over[0], {"Retry-After": str(over[1])}) if over else None

    def exceeded(self, user_id: str, verb: str, target: str) -> tuple[str, int] | None:
        """Counts this call. The words and the seconds to wait when it is one too many, otherwise None."""
        if not self.cloud.rate_limited:
            return None
        now = self.cloud.clock()
        with self._lock:
            for rule in RULES:
                method, uri, pattern, value, unit = rule
                if method != verb or not re.match(pattern, target):
                    continue
                capacity = SECONDS[unit]
                level = self._level(user_id, rule, now) + capacity / value
                if level > capacity:
                    words = f"Only {value} {verb} request(s) can be made to {uri} every {unit.lower()}."
                    return words, max(1, int(level - capacity))
                self._levels[(user_id, rule)] = (level, now)
        return None

    def shown(self, user_id: str) -> list[dict[str, Any]]:
        """The "rate" part of GET /limits of v1.1."""
        now = self.cloud.clock()
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for rule in RULES:
            verb, uri, pattern, value, unit = rule
            left = (SECONDS[unit] - self._level(user_id, rule, now)) / SECONDS[unit] * value
            entry = {"next-available": zulu(now), "unit": unit, "verb": verb, "remaining": int(left), "value": value}
            groups.setdefault((uri, pattern), []).append(entry)
        return [{"regex": pattern, "limit": limit, "uri": uri} for (uri, pattern), limit in groups.items()]

    def shown_flat(self, user_id: str) -> list[dict[str, Any]]:
        """The "rate" part of GET /limits of v1.0."""
        at = int(self.cloud.clock().timestamp())
        return [
            {
                "verb": limit["verb"],
                "URI": group["uri"],
                "regex": group["regex"],
                "value": limit["value"],
                "remaining": limit["remaining"],
                "unit": limit["unit"],
                "resetTime": at,
            }
            for group in self.shown(user_id)
            for limit in group["limit"]
        ]
