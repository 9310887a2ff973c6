"""Host keys: what a server showed, and what its own console log says it should show.

cloud-init prints both on the first boot, so a customer's own cloud can vouch for the key
(cc_keys_to_console: `-----BEGIN SSH HOST KEY FINGERPRINTS-----` and `-----BEGIN SSH HOST KEY KEYS-----`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from paramiko import PKey

FINGERPRINTS = re.compile(r"BEGIN SSH HOST KEY FINGERPRINTS-----(.*?)-----END SSH HOST KEY FINGERPRINTS", re.DOTALL)
KEYS = re.compile(r"BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS", re.DOTALL)
SHA256 = re.compile(r"\bSHA256:([A-Za-z0-9+/]{43})(?![A-Za-z0-9+/])")
MD5 = re.compile(r"\b\d{3,5} (?:MD5:)?([0-9a-f]{2}(?::[0-9a-f]{2}){15})\b")
KEY_LINE = re.compile(r"\b(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d{3}) (AAAA[A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public host key: its type as SSH names it, OpenSSH's SHA256 fingerprint, and the key itself in base64."""

    type: str
    fingerprint: str
    base64: str

    @classmethod
    def of(cls, key: PKey) -> HostKey:
        return cls(key.get_name(), fingerprint(key.asbytes()), key.get_base64())

    @property
    def names(self) -> frozenset[str]:
        """Both fingerprints that a console log may carry: SHA256, and MD5 from images older than OpenSSH 6.8."""
        return frozenset({self.fingerprint, md5(base64.b64decode(self.base64))})


def fingerprint(blob: bytes) -> str:
    """`SHA256:…` as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def md5(blob: bytes) -> str:
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return "MD5:" + ":".join(digest[at : at + 2] for at in range(0, 32, 2))


def printed(console_text: str) -> frozenset[str]:
    """Every host key fingerprint that cloud-init printed; empty when it printed none.

    Only text between cloud-init's own marks counts: a console log also carries what services and users say.
    An older boot's block stays in the log, so after a rebuild both keys are here: it is the same server's log.
    """
    found: set[str] = set()
    for block in FINGERPRINTS.findall(console_text):
        found.update("SHA256:" + name for name in SHA256.findall(block))
        found.update("MD5:" + name for name in MD5.findall(block))
    for block in KEYS.findall(console_text):
        for text in KEY_LINE.findall(block):
            try:
                found.add(fingerprint(base64.b64decode(text, validate=True)))
            except binascii.Error:
                continue  # a console drops characters; one broken line says nothing about the others
    return frozenset(found)
