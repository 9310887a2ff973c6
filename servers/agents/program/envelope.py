"""Signed work, read with suspicion: nothing runs that a pinned key did not sign for this agent, now."""

import hashlib
import json
from typing import Any, Dict, List, NamedTuple, Optional

from . import base64url, ed25519, protocol

Order = NamedTuple(
    "Order",
    [
        ("work", str),
        ("sequence", int),
        ("script", bytes),
        ("interpreter", str),
        ("arguments", List[str]),
        ("run_as", str),
        ("timeout", float),
        ("not_before", float),
        ("expires_at", float),
    ],
)

LATE = 300.0  # seconds that the host's clock may differ where the console's is not known


class Unsigned(Exception):
    """It must not run; the words say why."""


def opened(item: Dict[str, Any], keys: Dict[str, bytes], agent_id: str) -> Order:
    """The order in one element of a check-in's `work`. Unsigned when it is not signed, not for us, or damaged.

    Its times are not looked at: they count when it is begun.
    """
    text, script = item.get("envelope"), item.get("script")
    if not isinstance(text, str) or not isinstance(script, str):
        raise Unsigned("The work is not complete.")
    key = keys.get(str(item.get("key_id")))
    if key is None:
        raise Unsigned("The work is signed by a key that this agent does not know.")
    if not ed25519.verify(key, base64url.decode(item.get("signature")), protocol.WORK_PURPOSE + text.encode()):
        raise Unsigned("The signature of the work is not right.")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise Unsigned("The envelope of the work is not JSON.") from None
    data = script.encode()
    if not isinstance(given, dict) or given.get("agent") != agent_id or given.get("key_id") != item.get("key_id"):
        raise Unsigned("The work is meant for another agent.")
    if given.get("script_sha256") != hashlib.sha256(data).hexdigest():
        raise Unsigned("The script is not the one that was signed.")
    order = _order(given, data)
    if order is None:
        raise Unsigned("This agent does not know such work. Update the agent.")
    return order


def _order(given: Dict[str, Any], script: bytes) -> Optional[Order]:
    work, sequence, interpreter = given.get("work"), given.get("sequence"), given.get("interpreter")
    arguments, run_as = given.get("arguments"), given.get("run_as")
    numbers = [given.get(name) for name in ("timeout", "not_before", "expires_at")]
    if given.get("kind") != "script" or not isinstance(work, str) or len(work) != 36:
        return None
    if not isinstance(sequence, int) or not isinstance(interpreter, str) or not interpreter.startswith("/"):
        return None
    if not isinstance(run_as, str) or not isinstance(arguments, list):
        return None
    if not all(isinstance(a, str) and "\0" not in a for a in arguments + [interpreter]):
        return None
    if not all(isinstance(n, (int, float)) and n == n for n in numbers):
        return None
    timeout, not_before, expires_at = (float(n) for n in numbers if n is not None)
    return Order(work, sequence, script, interpreter, arguments, run_as, timeout, not_before, expires_at)


def pinned(keys: Any) -> Dict[str, bytes]:
    """`[{id, key}]` as an enrolment tells them or an image brings them, by id; what is no key is left out."""
    found = {}  # type: Dict[str, bytes]
    for one in keys if isinstance(keys, list) else []:
        if isinstance(one, dict) and isinstance(one.get("id"), str) and len(base64url.decode(one.get("key"))) == 32:
            found[one["id"]] = base64url.decode(one["key"])
    return found
