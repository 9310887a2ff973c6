"""How an agent's call that is not on the lean way (lean/) is read and answered: JSON in and out, one error shape."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from console.lib import signing
from console.lib.api import errors
from console.lib.api.errors import refuse
from console.lib.denials import Denied, Wrong
from servers.agents import checkin, enrol, sessions
from servers.agents.program import protocol

KEY, SIGNATURE = 32, 64  # bytes


@dataclass(frozen=True)
class Call:
    """One POST. `text` is what its signature has to be over."""

    request: HttpRequest
    body: dict[str, Any]
    text: bytes
    signature: bytes

    def key(self, name: str) -> str:
        """The public key in the body, if the call is signed by it. Wrong, or WrongSignature."""
        try:
            value = self.body.get(name)
            key = signing.decode(value) if isinstance(value, str) and len(value) <= protocol.MAX_SECRET else b""
        except ValueError:
            key = b""
        if len(key) != KEY:
            raise Wrong({name: ["This is an Ed25519 public key: 32 bytes, as base64url."]})
        if not signing.verifies(key, self.signature, self.text):
            raise sessions.WrongSignature
        return signing.encode(key)  # the one way to write it, since it is looked up by


Deed = Callable[[Call], dict[str, Any] | JsonResponse]


def call(deed: Deed) -> Callable[[HttpRequest], JsonResponse]:
    """A POST with a small JSON object in and out; every refusal in the one error shape."""

    @csrf_exempt  # no cookie speaks for an agent
    def view(request: HttpRequest) -> JsonResponse:
        if request.method != "POST":
            reply = refuse(405, "method_not_allowed", "This address answers POST only.")
            reply["Allow"] = "POST"
            return reply
        if not request.META.get("CONTENT_LENGTH", "0").isdecimal():
            return refuse(400, "bad_request", "The Content-Length header is not a number.")
        data = request.read(protocol.MAX_BODY + 1)
        if len(data) > protocol.MAX_BODY:
            return refuse(413, "too_large", f"A body here has at most {protocol.MAX_BODY} bytes.")
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            return refuse(400, "bad_request", "The body is not JSON.")
        if not isinstance(body, dict):
            return refuse(400, "bad_request", "The body is not a JSON object.")
        text = protocol.signed_text("POST", request.path, hashlib.sha256(data).hexdigest())
        return answer(deed, Call(request, body, text, _signature(request)))

    return view


def answer(deed: Deed, call: Call) -> JsonResponse:
    try:
        said = deed(call)
        return said if isinstance(said, JsonResponse) else JsonResponse(said)
    except Wrong as wrong:
        return refuse(400, wrong.code, wrong.words, wrong.fields)
    except Denied as denied:
        return refuse(409, denied.code, denied.words)
    except enrol.UnknownToken:
        return refuse(401, protocol.UNKNOWN_TOKEN, "This join token is used, expired or unknown. Make a new one.")
    except checkin.UnknownAgent:
        return refuse(401, protocol.UNKNOWN_AGENT, "No such agent reports here any more. Install again.")
    except checkin.Removed:
        return refuse(410, protocol.REMOVED, "This agent was removed from its server. It uninstalls itself.")
    except checkin.ProveAgain:
        return refuse(403, protocol.PROVE_AGAIN, "This identity was given to another instance, or is used by two.")
    except sessions.WrongSignature:
        return refuse(401, "wrong_signature", "The signature does not fit. Something may have altered the request.")
    except sessions.EpochUsed as used:
        said = errors.body(protocol.EPOCH_USED, "This epoch was used already. Take a greater one.")
        return JsonResponse({**said, "epoch": used.last}, status=409)


def _signature(request: HttpRequest) -> bytes:
    """What came as one; no bytes, which verify nothing, for whatever is none."""
    try:
        found = signing.decode(request.headers.get("Muster-Signature", "")[: 2 * SIGNATURE])
    except ValueError:
        return b""
    return found if len(found) == SIGNATURE else b""
