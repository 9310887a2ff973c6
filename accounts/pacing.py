"""How fast an account's cloud is asked: a token bucket for each account, shared by all workers, in Valkey.

The bucket has the size that the cloud tells of its own limits, where it does. A cloud that asked for fewer calls is
left alone by every worker until its time is over. Valkey may be away: then calls go out unpaced, as the cloud allows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from accounts.clouds.operations import Rate
from console.lib.faults import SlowDown, Unreachable
from console.lib.valkey import client

log = structlog.get_logger(__name__)

EVERY: Final = 300.0  # seconds in which a quiet account is read again
DEFAULT: Final = (Rate(600, 60.0),)  # of a cloud that tells none: a listing of 500 pages goes at once
LEARNT: Final = 86_400  # seconds for which a cloud's limits are believed
WAIT: Final = 30.0  # seconds, when a cloud asks for fewer calls and does not say for how long
LONGEST: Final = 3600.0
# A reader of many pages takes tokens for its next calls too: to ask for each costs a fifth of what a quick page takes.
AHEAD: Final = 8  # at most, and no more than a quarter of the calls that it made, or a hundredth of a bucket
HELD: Final = 1.0  # seconds after which it has lost them; so long it may be deaf to a request for fewer calls

# KEYS: the account's stop, then a bucket for each rate. ARGV: the time ("" for Valkey's), how many tokens are wanted,
# then calls and seconds of each rate. Takes as many of every bucket as all of them have, or none; answers how long to
# wait, whether the cloud asked for it, and how many it took.
_TAKE: Final = """
local now = tonumber(ARGV[1])
if not now then local t = redis.call('TIME'); now = t[1] + t[2] / 1000000 end
local stop = tonumber(redis.call('GET', KEYS[1]) or '0')
if stop > now then return {tostring(stop - now), 1, 0} end
local left, wait, take = {}, 0, tonumber(ARGV[2])
for i = 2, #KEYS do
  local calls, seconds = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local held = redis.call('HMGET', KEYS[i], 'tokens', 'at')
  local passed = math.max(0, now - (tonumber(held[2]) or now))
  left[i] = math.min(calls, (tonumber(held[1]) or calls) + passed * calls / seconds)
  -- a hair less than a token is one: after its wait, rounding must not make it wait again
  if left[i] < 0.999 then wait = math.max(wait, (1 - left[i]) * seconds / calls) end
  take = math.max(1, math.min(take, math.floor(left[i])))
end
if wait > 0 then return {tostring(wait), 0, 0} end
for i = 2, #KEYS do
  redis.call('HSET', KEYS[i], 'tokens', tostring(math.max(0, left[i] - take)), 'at', string.format('%.6f', now))
  redis.call('EXPIRE', KEYS[i], math.ceil(tonumber(ARGV[2 * i])) + 60)
end
return {'0', 0, take}
"""
_STOP: Final = """
local now = tonumber(ARGV[1])
if not now then local t = redis.call('TIME'); now = t[1] + t[2] / 1000000 end
local stop = now + tonumber(ARGV[2])
if stop > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], string.format('%.6f', stop), 'EX', math.ceil(tonumber(ARGV[2])) + 1)
end
return 1
"""


class Pace:
    """The hook before each call of one account (`Transport(before_call=…)`).

    It waits up to `patience` seconds for its turn; a longer wait raises SlowDown, and no call is made. `within`:
    seconds from now for all its calls together; after that each raises Unreachable. `clock` (seconds since 1970) and
    `sleep` are for tests; Valkey's own clock counts otherwise, since workers' clocks differ.
    """

    def __init__(
        self,
        account_id: Any,
        patience: float,
        *,
        within: float | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.account_id, self.patience = account_id, patience
        self._sleep, self._clock, self._within = sleep, clock, within
        self._until = None if within is None else self._now() + within
        self._rates = known(account_id)
        self._made = 0
        self._ahead: dict[str, list[float]] = {}  # by verb, until when each token is good; threads share the lists

    def learn(self, rates: Sequence[Rate]) -> None:
        """Go by these limits from now on, in every process."""
        self._rates = learn(self.account_id, rates)

    @property
    def knows(self) -> bool:
        """Whether the cloud was asked for its limits of late."""
        return self._rates is not None

    def __call__(self, verb: str) -> None:
        self._made += 1
        if self._within is not None and self._until is not None and self._now() >= self._until:
            raise Unreachable(
                f"Its cloud took longer than {_in_words(self._within)} for all that was asked, so it was left alone. "
                "Nothing was changed."
            )
        if self._has_one(verb):
            return
        waited = 0.0
        while (turn := self._take(verb))[0] > 0:
            wait, asked = turn
            if waited + wait > self.patience:
                said = "The cloud asked for fewer calls" if asked else "The cloud's own limit of calls is used up"
                raise SlowDown(f"{said}. It is asked again in {_in_words(wait)}.", wait)
            self._sleep(wait)
            waited += wait

    def _has_one(self, verb: str) -> bool:
        try:
            return self._ahead[verb].pop() > self._now()
        except LookupError:
            return False

    def _now(self) -> float:
        return self._clock() if self._clock else time.monotonic()

    def _take(self, verb: str) -> tuple[float, bool]:
        rates = [rate for rate in self._rates or DEFAULT if rate.verb in ("", verb)]
        keys = [_key(self.account_id, "stop")]
        ahead = min([AHEAD, self._made // 4, *(rate.calls // 100 for rate in rates)])
        numbers: list[Any] = [self._clock() if self._clock else "", 1 + ahead]
        for rate in rates:
            keys.append(_key(self.account_id, f"bucket:{rate.verb}:{rate.calls}:{rate.seconds:g}"))
            numbers += [rate.calls, rate.seconds]
        try:
            wait, asked, taken = client().eval(_TAKE, len(keys), *keys, *numbers)
        except RedisError as fault:
            log.warning("call not paced", account=str(self.account_id), reason=str(fault))
            return 0.0, False
        if taken > 1:
            self._ahead[verb] = [self._now() + HELD] * (taken - 1)
        return float(wait), bool(asked)


def heed(account_id: Any, fault: Exception, clock: Callable[[], float] | None = None) -> None:
    """When the fault is a SlowDown, no worker calls for this account until its time is over."""
    if not isinstance(fault, SlowDown):
        return
    seconds = min(fault.retry_after or WAIT, LONGEST)
    try:
        client().eval(_STOP, 1, _key(account_id, "stop"), clock() if clock else "", seconds)
    except RedisError as error:
        log.warning("request for fewer calls not kept", account=str(account_id), reason=str(error))


def known(account_id: Any) -> tuple[Rate, ...] | None:
    """The limits that its cloud told, empty when it has none; None when it was not asked of late."""
    try:
        kept = client().get(_key(account_id, "rates"))
        return None if kept is None else tuple(Rate(*one) for one in json.loads(kept))
    except (RedisError, ValueError, TypeError) as fault:
        log.warning("limits not read", account=str(account_id), reason=str(fault))
        return None


def learn(account_id: Any, rates: Sequence[Rate]) -> tuple[Rate, ...]:
    """Keep what a cloud told of its limits; returns it without what would let nothing through."""
    usable = tuple(rate for rate in rates if rate.calls >= 1 and rate.seconds > 0)
    kept = json.dumps([(rate.calls, rate.seconds, rate.verb) for rate in usable])
    try:
        client().set(_key(account_id, "rates"), kept, ex=LEARNT)
    except RedisError as fault:
        log.warning("limits not kept", account=str(account_id), reason=str(fault))
    return usable


def forget(account_id: Any) -> None:
    """Start afresh: new credentials may have other limits."""
    try:
        client().delete(_key(account_id, "rates"), _key(account_id, "stop"))
    except RedisError as fault:
        log.warning("pace not forgotten", account=str(account_id), reason=str(fault))


def _key(account_id: Any, what: str) -> str:
    return f"pace:{{{account_id}}}:{what}"  # the braces keep an account's keys on one node of a cluster


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{max(1, round(seconds))} seconds"
