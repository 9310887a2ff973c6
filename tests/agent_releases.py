"""Releases of the agent for its tests: this very program under another version, whole or broken in one way."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from console.lib.signing import encode
from servers.agents.program import build, manifest, protocol
from tests.test_agent_desk import KEY

STRANGER: Final = Ed25519PrivateKey.generate()


def packed(version: str, **changed: str) -> bytes:
    """The program under this version; a module that is named is replaced, or added to where its text begins with +."""
    made = io.BytesIO(b"#!/usr/bin/env python3\n")
    made.seek(0, io.SEEK_END)
    with zipfile.ZipFile(io.BytesIO(build.artifact().path.read_bytes())) as old, zipfile.ZipFile(made, "a") as new:
        for entry in old.infolist():
            text = old.read(entry).decode()
            if entry.filename == "muster_agent/protocol.py":
                text = text.replace(f'VERSION = "{protocol.VERSION}"', f'VERSION = "{version}"')
            other = changed.get(entry.filename.removeprefix("muster_agent/").removesuffix(".py"))
            if other is not None:
                text = text + other[1:] if other.startswith("+") else other
            new.writestr(entry, text)
    return made.getvalue()


def offered(version: str, data: bytes, key: Ed25519PrivateKey = KEY, key_id: str = "k1", **changed: Any) -> dict:
    """The `release` of a check-in's answer, signed; `changed` are fields of its manifest."""
    text = json.dumps({
        "version": version, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "minimum_python": "3.6",
        "created_at": time.time(), "expires_at": time.time() + 3600, "key_id": key_id, **changed,
    })  # fmt: skip
    signature = encode(key.sign(protocol.RELEASE_PURPOSE + text.encode()))
    return {"manifest": text, "signature": signature, "key_id": key_id}


@dataclass(frozen=True)
class Broken:
    """One way to be broken: other modules, other bytes, other bytes on the way, or another manifest."""

    name: str
    modules: dict[str, str] = field(default_factory=dict)
    bytes: Callable[[bytes], bytes] = lambda data: data
    served: Callable[[bytes], bytes] = lambda data: data
    offer: dict[str, Any] = field(default_factory=dict)

    def made(self, version: str) -> tuple[dict, str, bytes]:
        """What is offered, under which hash it is asked for, and what is got then."""
        data = self.bytes(packed(version, **self.modules))
        offer = offered(version, data, **self.offer)
        return offer, str(json.loads(offer["manifest"])["sha256"]), self.served(data)


def _run(*lines: str) -> dict[str, str]:
    return {"run": "import os, sys, time, signal\n\ndef run(paths):\n" + "".join(f"    {line}\n" for line in lines)}


# They end by themselves.
ENDING: Final = [
    Broken("ends with 0 at once", _run("return 0")),
    Broken("ends with 4 at once", _run("return 4")),
    Broken("syntax error", {"agent": "def (\n"}),
    Broken("not a zipapp", bytes=lambda data: b"\x7fELF" + bytes(1000)),
    Broken("ends with 3 at once", _run("return 3")),
    Broken("import error", {"agent": "import no_such_module\n"}),
    Broken("ends with 1 at once", _run("return 1")),
    Broken("ends with 5 at once", _run("return 5")),
    Broken("cut short before it was signed", bytes=lambda data: data[: len(data) // 2]),
    Broken("kills itself", _run("os.kill(os.getpid(), signal.SIGKILL)")),
    Broken("is aborted", _run("os.abort()")),
    Broken("eats memory", _run(
        "import resource", "resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))", "held = []",
        "while True: held.append(bytearray(1 << 24))",
    )),
    Broken("cannot read its settings", {"agent": "+\nAgent.__init__ = lambda *words: 1 / 0\n"}),
    Broken("cannot open a session", {"session": "+\nSession.open = lambda self: 1 / 0\n"}),
    Broken("cannot check in", {"checkin": "+\ndef body(*words): return 1 / 0\n"}),
]  # fmt: skip
# They stay, and never reach the console.
HANGING: Final = [
    Broken("hangs", _run("time.sleep(3600)")),
    Broken("writes without end", _run("while True: os.write(2, b'x' * 65536), time.sleep(0.001)")),
    Broken("uses no network", {"client": "+\ndef _nobody(*words):\n    raise Unreached(*['a', 'b', 'c'])\n"
                                         "Console._exchange = _nobody\n"}),
    Broken("goes by another version", {"protocol": '+\nVERSION = "0.2.1"\n'}),
    Broken("hangs and is deaf", _run("[signal.signal(n, signal.SIG_IGN) for n in (2, 15)]", "time.sleep(3600)")),
]  # fmt: skip
# They are seen for what they are before the switch; the second list tells why.
UNFIT: Final = [
    (Broken("signed by a stranger", offer={"key": STRANGER}), "signature"),
    (Broken("expired", offer={"expires_at": time.time() - 60}), "too old"),
    (Broken("needs a newer Python", offer={"minimum_python": "9.9"}), "needs Python 9.9"),
    (Broken("under an unknown key", offer={"key_id": "k9"}), "does not know"),
    (Broken("too big", offer={"size": manifest.BIGGEST + 1}), "does not know such a manifest"),
]
CHANGED_ON_THE_WAY: Final = [
    Broken("cut short on the way", served=lambda data: data[:-1000]),
    Broken("other bytes than were signed", served=lambda data: data[:-1] + b"!"),
    Broken("nothing there", served=lambda data: b""),
]
