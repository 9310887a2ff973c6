"""No request counts twice: the last sequence of each session stands in Valkey, before all web processes.

All that ask at one moment are looked at by one call. Valkey may lose what it knows (a restart, another machine): its
entries carry the id of its run, so older ones do not count, and a session that it does not know is seeded from the
database. That is safe because every process writes down what it accepted within `LATEST` seconds or refuses (see
buffer.py), and a Valkey that is younger than `SETTLING` seeds no session that is older than itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from servers.agents.lean.batches import Batch
from servers.agents.lean.known import Known
from servers.agents.lean.replies import Refused, busy
from servers.agents.program import protocol

LATEST: Final = 8.0  # seconds
SETTLING: Final = 10  # seconds, above LATEST
PATIENCE: float = 2.0  # seconds for Valkey's answer
KEPT: Final = 3600  # seconds that Valkey keeps the sequence of a session that is silent

_TAKEN, _REPLAYED, _UNKNOWN, _SETTLING = b"1059"  # as numbers, which is how bytes are read one by one
_SCRIPT: Final = """
local info = redis.call('INFO', 'server')
local run = string.sub(string.match(info, 'run_id:(%w+)'), 1, 8)
local up = tonumber(string.match(info, 'uptime_in_seconds:(%d+)'))
local settled = up >= tonumber(ARGV[1])
local began = tonumber(redis.call('TIME')[1]) - up + 2
local told = {}
for session, sequence, seed, since in string.gmatch(ARGV[3], '(%S+) (%d+) (%d*) (%d+)\\n') do
  local key = 'agents:seq:' .. run .. ':' .. session
  local last = redis.call('GET', key)
  if not last and seed ~= '' and (settled or tonumber(since) > began) then last = seed end
  if not last then
    told[#told + 1] = seed == '' and '5' or '9'
  elseif tonumber(sequence) > tonumber(last) then
    redis.call('SET', key, sequence, 'EX', ARGV[2])
    told[#told + 1] = '1'
  else
    told[#told + 1] = '0'
  end
end
return table.concat(told)
"""
Asked = tuple[bytes, int, int | None, int]  # session, sequence, the seed where there is one, when the session began


class Sequences:
    """`seeds` reads the sequences that the database knows of these sessions."""

    def __init__(self, seeds: Callable[[list[bytes]], Awaitable[list[int]]]) -> None:
        self._valkey = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE, retry=Retry(NoBackoff(), 0)
        )
        self._script = self._valkey.register_script(_SCRIPT)
        self._asked: Batch[Asked, int] = Batch(self._ask)
        self._seeds: Batch[bytes, int] = Batch(seeds)

    async def take(self, known: Known, sequence: int) -> None:
        """Count this request. Refused when its sequence is not above the last, or nobody can tell."""
        began = int(known.since)
        told = await self._asked.ask((known.session, sequence, None, began))
        if told == _UNKNOWN:
            seed = await self._seeds.ask(known.session)
            told = await self._asked.ask((known.session, sequence, seed, began))
        if told == _REPLAYED:
            raise Refused(409, protocol.REPLAYED, "This sequence was used already in this session.")
        if told != _TAKEN:
            raise busy("The console has just started. Try again in some seconds.")

    async def _ask(self, asked: list[Asked]) -> bytes:
        # One argument for all: each one more costs the client as much as all that Lua does with it.
        lines = (
            b"%b %d %b %d\n" % (session, sequence, b"" if seed is None else b"%d" % seed, began)
            for session, sequence, seed, began in asked
        )
        try:
            told = await self._script(args=[SETTLING, KEPT, b"".join(lines)])
        except (RedisError, OSError, TimeoutError) as fault:
            raise busy("The console cannot tell just now whether this request is new. Try again.") from fault
        return bytes(told)

    async def end(self) -> None:
        await self._valkey.aclose()
