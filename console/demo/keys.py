"""Ed25519 keys of the demo: made once, kept 0600, and said as cloud-init says them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from console.demo.keep import write_private


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key pair; `blob` is the public key as SSH sends it."""

    private: paramiko.PKey

    @classmethod
    def kept(cls, path: Path, comment: str) -> HostKey:
        """The key of that file (OpenSSH's format, 0600), made with its `.pub` if the file is not there."""
        if not path.exists():
            made = Ed25519PrivateKey.generate()
            write_private(path, made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode())
        key = cls(paramiko.Ed25519Key.from_private_key_file(str(path)))
        public = path.with_name(path.name + ".pub")
        if not public.exists():
            write_private(public, f"{key.line} {comment}\n")
        return key

    @property
    def blob(self) -> bytes:
        """The public key's bytes."""
        return self.private.asbytes()

    @property
    def line(self) -> str:
        """The public key as in authorized_keys, without a comment."""
        return f"{self.private.get_name()} {self.private.get_base64()}"

    @property
    def fingerprint(self) -> str:
        """SHA256:…, as ssh-keygen -l prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def printed(self, name: str) -> str:
        """cloud-init's two blocks on the console of a machine called `name`."""
        return (
            "\n#############################################################\n"
            "-----BEGIN SSH HOST KEY FINGERPRINTS-----\n"
            f"256 {self.fingerprint} root@{name} (ED25519)\n"
            "-----END SSH HOST KEY FINGERPRINTS-----\n"
            "#############################################################\n"
            "-----BEGIN SSH HOST KEY KEYS-----\n"
            f"{self.line} root@{name}\n"
            "-----END SSH HOST KEY KEYS-----\n"
        )
