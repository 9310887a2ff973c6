"""Who we are to one console: an Ed25519 key made on this host, bound to the instance that it was made on."""

import hashlib
import os
from typing import Any, Dict, List, Optional

from . import base64url, ed25519, files, machine, protocol
from .machine import Instance
from .paths import Paths


class Identity:
    """`seed` is the private key's 32 bytes; `agent_id` is None until a console took us in; `keys` are what it named:
    the public keys whose work and releases we take. `instance_id` is the instance's id as it was first known: it stays,
    also where the host's answer varies later."""

    def __init__(
        self,
        url: str,
        seed: bytes,
        instance: Instance,
        agent_id: Optional[str] = None,
        keys: Optional[List[Dict[str, Any]]] = None,
        instance_id: Optional[str] = None,
    ) -> None:
        self.url = url
        self.seed = seed
        self.instance = instance
        self.agent_id = agent_id
        self.keys = keys or []
        self.instance_id = instance_id or machine.name(instance)
        self.public_key = base64url.encode(ed25519.public(seed))

    def signature(self, path: str, data: bytes) -> str:
        """Of a request outside of a session."""
        return self.signed(protocol.signed_text("POST", path, hashlib.sha256(data).hexdigest()))

    def signed(self, text: bytes) -> str:
        return base64url.encode(ed25519.sign(self.seed, text))

    def is_here(self, root: str) -> bool:
        """Whether this still is the instance that the key was made on."""
        return machine.is_same(self.instance, machine.instance(root))

    def learn(self, root: str) -> bool:
        """Take names of this instance that were not known when the key was made; whether there were any."""
        now = machine.instance(root)
        more = {source: name for source, name in now.items() if name and not self.instance.get(source)}
        self.instance.update(more)
        self.instance_id = self.instance_id or machine.name(self.instance)
        return bool(more)

    def save(self, paths: Paths) -> None:
        """OSError when the disk will not have it."""
        files.folder(os.path.dirname(paths.identity), 0o700)
        files.write_json(
            paths.identity,
            {
                "url": self.url,
                "key": base64url.encode(self.seed),
                "instance": self.instance,
                "instance_id": self.instance_id,
                "agent_id": self.agent_id,
                "keys": self.keys,
            },
        )


def new_seed() -> bytes:
    return os.urandom(32)


def made(url: str, root: str, seed: Optional[bytes] = None, told: Optional[str] = None) -> Identity:
    """A new one for this instance, which no console knows yet; `told` is the cloud's own word for it."""
    known = machine.instance(root)
    return Identity(url, seed or new_seed(), dict(known, service=told) if told else known, instance_id=told)


def kept(paths: Paths, url: str) -> Optional[Identity]:
    """The one on disk, if it is for this console; None otherwise. It may be of another instance: see `is_here`."""
    found = files.read_json(paths.identity) or {}
    seed, known, agent_id, keys = (found.get(name) for name in ("key", "instance", "agent_id", "keys"))
    told = found.get("instance_id")
    if found.get("url") != url or len(base64url.decode(seed)) != 32 or not isinstance(known, dict):
        return None
    return Identity(
        url,
        base64url.decode(seed),
        known,
        agent_id if isinstance(agent_id, str) else None,
        keys if isinstance(keys, list) else None,
        told if isinstance(told, str) else None,
    )
