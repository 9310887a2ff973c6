"""A customer's private key, from pasted text to a key that can sign in; every wrong paste gets its own sentence."""

from __future__ import annotations

import base64
import io
import re
import struct

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from paramiko import ECDSAKey, Ed25519Key, PKey, RSAKey, SSHException

from console.lib.faults import BadCredentials

MOST_BYTES = 32 * 1024
MOST_ROUNDS = 2_000  # ssh-keygen's default is 16 (24 since 9.9); a file that asks for millions would hold a worker
LEAST_RSA_BITS = 2048
PUBLIC = re.compile(r"^\s*(ssh-(rsa|dss|ed25519)|ecdsa-sha2-\S+|sk-\S+)\s+AAAA|BEGIN (RSA |SSH2 )?PUBLIC KEY")
ARMOUR = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)


class KeyRefused(BadCredentials):
    """This text cannot serve as a private key. `field` is `key` or `passphrase`: what the person must change."""

    def __init__(self, words: str, field: str = "key") -> None:
        super().__init__(words)
        self.field = field


def load(text: str, passphrase: str | None = None) -> PKey:
    """A key that can sign: OpenSSH, PEM and PKCS#8 files; RSA of 2048 bits or more, ECDSA and Ed25519.

    Raises KeyRefused with a sentence for everything else. Nothing is read from or written to a disk.
    """
    armoured = _armoured(text)
    secret = passphrase.encode() if passphrase else None
    loaded: object
    try:
        if "BEGIN OPENSSH" in armoured:
            loaded = serialization.load_ssh_private_key(armoured.encode(), secret)
        else:
            loaded = serialization.load_pem_private_key(armoured.encode(), secret)
    except TypeError as problem:
        # cryptography's way of saying that a passphrase is missing, or given for a key that has none
        if secret is not None:
            return load(text)
        raise KeyRefused("This key is locked with a passphrase. Give the passphrase too.", "passphrase") from problem
    except UnsupportedAlgorithm as problem:
        raise KeyRefused(f"This kind of key cannot be used: {problem}. Use an Ed25519 or RSA key.") from problem
    except (ValueError, struct.error) as problem:
        if _locked(armoured) and secret is None:
            raise KeyRefused(
                "This key is locked with a passphrase. Give the passphrase too.", "passphrase"
            ) from problem
        if _locked(armoured):
            raise KeyRefused("The passphrase does not open this key. Check the passphrase.", "passphrase") from problem
        raise KeyRefused("This key is damaged or cut short. Paste the whole file again.") from problem
    return _paramiko(loaded)


def wrong(text: str, passphrase: str) -> dict[str, list[str]]:
    """What is wrong with a key as given in a form, by field (`private_key`, `passphrase`); empty when nothing is."""
    try:
        load(text, passphrase or None)
    except KeyRefused as refusal:
        return {"passphrase" if refusal.field == "passphrase" else "private_key": [refusal.words]}
    return {}


def _armoured(text: str) -> str:
    """The one armoured private key in the text, its line ends mended."""
    if len(text) > MOST_BYTES:
        raise KeyRefused("This is too long for a private key. Paste the key file alone.")
    if "PuTTY-User-Key-File" in text:
        raise KeyRefused(
            "This is a PuTTY key (.ppk). In PuTTYgen choose Conversions, Export OpenSSH key, and paste that file."
        )
    found = ARMOUR.search(text.replace("\r\n", "\n").replace("\r", "\n"))
    kind = found.group(1) if found else ""
    if found and kind in ("DSA PRIVATE KEY",):
        raise KeyRefused("DSA keys are no longer safe, and servers refuse them. Use an Ed25519 or RSA key.")
    if found and kind.endswith("PRIVATE KEY"):
        if kind == "OPENSSH PRIVATE KEY":
            _cheap_to_open(found.group(2))
        return found.group(0) + "\n"
    if PUBLIC.search(text):
        raise KeyRefused("This is a public key. Paste the private key: the file of the same name without .pub.")
    if "BEGIN" in text and "PRIVATE KEY" in text:
        raise KeyRefused("This key is damaged or cut short. Paste the whole file again.")
    raise KeyRefused("This is not a private key. Paste the whole file, from the BEGIN line to the END line.")


def _cheap_to_open(body: str) -> None:
    """Refuse an OpenSSH file whose bcrypt rounds would hold a worker for minutes (layout: OpenSSH's PROTOCOL.key)."""
    try:
        raw = base64.b64decode("".join(body.split()))
        at, strings = len(b"openssh-key-v1\0"), []
        for _ in range(3):
            size = int(struct.unpack_from(">I", raw, at)[0])
            strings.append(raw[at + 4 : at + 4 + size])
            at += 4 + size
        if strings[1] != b"bcrypt":
            return
        salt = int(struct.unpack_from(">I", strings[2], 0)[0])
        rounds = int(struct.unpack_from(">I", strings[2], 4 + salt)[0])
    except (ValueError, struct.error) as problem:
        raise KeyRefused("This key is damaged or cut short. Paste the whole file again.") from problem
    if rounds > MOST_ROUNDS:
        raise KeyRefused(f"This key is locked with {rounds} rounds, which takes too long. Use at most {MOST_ROUNDS}.")


def _locked(armoured: str) -> bool:
    if "BEGIN OPENSSH" in armoured:
        body = "".join(armoured.splitlines()[1:-1])
        return b"bcrypt" in base64.b64decode(body[:160] + "=" * (-len(body[:160]) % 4))
    return "ENCRYPTED" in armoured


def _paramiko(loaded: object) -> PKey:
    if isinstance(loaded, dsa.DSAPrivateKey):
        raise KeyRefused("DSA keys are no longer safe, and servers refuse them. Use an Ed25519 or RSA key.")
    if isinstance(loaded, rsa.RSAPrivateKey) and loaded.key_size < LEAST_RSA_BITS:
        raise KeyRefused(f"This RSA key has {loaded.key_size} bits. Use one of {LEAST_RSA_BITS} bits or more.")
    if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise KeyRefused("This kind of key cannot be used for SSH. Use an Ed25519 or RSA key.")
    plain = loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    kind: type[PKey] = Ed25519Key
    if isinstance(loaded, rsa.RSAPrivateKey):
        kind = RSAKey
    elif isinstance(loaded, ec.EllipticCurvePrivateKey):
        kind = ECDSAKey
    try:
        return kind.from_private_key(io.StringIO(plain.decode()))
    except (SSHException, ValueError) as problem:
        raise KeyRefused("This kind of key cannot be used for SSH. Use an Ed25519 or RSA key.") from problem
