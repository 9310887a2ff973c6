"""Private keys from a form, host keys from a console log, passwords, and the watchdog."""

from __future__ import annotations

import base64
import random
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from servers.installs import hostkeys, keys, ssh
from servers.installs.hostkeys import HostKey
from servers.installs.keys import KeyRefused
from servers.installs.signin import Login
from servers.installs.ssh import Limits, Outcome, Target
from servers.installs.trouble import Trouble, quote
from servers.installs.watchdog import Watchdog
from tests import farside
from tests.ssh.going import DIAL
from tests.ssh_server import PasswordServer
from tests.sshd import make_key

RSA = rsa.generate_private_key(65537, 2048)
MAKERS = {"rsa": RSA, "ecdsa": ec.generate_private_key(ec.SECP384R1()), "ed25519": ed25519.Ed25519PrivateKey.generate()}
FORMATS = {
    "OpenSSH": serialization.PrivateFormat.OpenSSH,
    "PEM": serialization.PrivateFormat.TraditionalOpenSSL,
    "PKCS#8": serialization.PrivateFormat.PKCS8,
}


def text_of(key: object, form: str, passphrase: str = "") -> str:
    lock: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        lock = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(serialization.Encoding.PEM, FORMATS[form], lock).decode()  # type: ignore[attr-defined]


# Ed25519 has no traditional PEM form
@pytest.mark.parametrize(("kind", "form"), [(k, f) for k in MAKERS for f in FORMATS if (k, f) != ("ed25519", "PEM")])
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
def test_every_usual_key_file_is_read(kind: str, form: str, passphrase: str) -> None:
    text = text_of(MAKERS[kind], form, passphrase)
    key = keys.load(text, passphrase)
    assert key.can_sign()
    assert key.asbytes() == keys.load(text_of(MAKERS[kind], "OpenSSH")).asbytes()
    assert keys.load("\ufeff \n" + text.replace("\n", "\r\n") + "\n\n", passphrase).asbytes() == key.asbytes()
    if passphrase:
        for wrong, says in ((None, "locked"), ("abracadabra", "does not open")):
            with pytest.raises(KeyRefused, match=says) as refusal:
                keys.load(text, wrong)
            assert refusal.value.field == "passphrase"
    else:
        assert keys.load(text, "needless").asbytes() == key.asbytes()


PPK = (
    "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: x\nPublic-Lines: 2\nAAAA\nPrivate-Lines: 1\nAAAA\n"
)
SMALL = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is here to be refused
DSA = dsa.generate_private_key(1024)  # noqa: S505


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PPK, "PuTTYgen"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFoo alice@example.org", "public key"),
        ("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "public key"),
        (text_of(SMALL, "PEM"), "1024 bits"),
        (text_of(SMALL, "OpenSSH"), "1024 bits"),
        (text_of(DSA, "PEM"), "DSA"),
        (text_of(DSA, "PKCS#8"), "DSA"),
        (text_of(RSA, "OpenSSH")[:400], "cut short"),
        (text_of(RSA, "OpenSSH")[:400] + "\n-----END OPENSSH PRIVATE KEY-----", "cut short"),
        (text_of(RSA, "PEM").replace("M", "N", 3), "cut short|cannot be used"),
        ("", "not a private key"),
        ("my password is horse", "not a private key"),
        ("x" * 40_000, "too long"),
    ],
)
def test_every_wrong_paste_gets_its_own_sentence(text: str, says: str) -> None:
    with pytest.raises(KeyRefused, match=says) as refusal:
        keys.load(text)
    assert refusal.value.words.endswith(".") and refusal.value.field == "key"


def test_a_key_that_is_dear_to_open_is_refused_at_once(tmp_path: Path) -> None:
    path = make_key(tmp_path / "cheap", "ed25519", "open sesame", "-a", "20")
    assert keys.load(path.read_text(), "open sesame").can_sign()
    lines = path.read_text().splitlines()
    raw = base64.b64decode("".join(lines[1:-1])).replace((20).to_bytes(4, "big"), (10**9).to_bytes(4, "big"), 1)
    text = "\n".join([lines[0], base64.b64encode(raw).decode(), lines[-1]])
    with pytest.raises(KeyRefused, match="1000000000 rounds"):
        keys.load(text, "open sesame")


@given(
    st.binary(max_size=300), st.sampled_from(["OPENSSH PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEY"]), st.booleans()
)
def test_no_rubbish_breaks_the_reader(rubbish: bytes, kind: str, plain: bool) -> None:
    body = rubbish.decode("latin-1") if plain else base64.b64encode(rubbish).decode()
    with pytest.raises(KeyRefused):
        keys.load(f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")


# --- host keys in a console log

LOG = """[   12.3] cloud-init[512]: Generating public/private rsa key pair.
ci-info: ++++++++++Authorized keys from /home/ubuntu/.ssh/authorized_keys for user ubuntu+++++++++
<14>Nov 22 20:00:01 ec2: #############################################################
<14>Nov 22 20:00:01 ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----
<14>Nov 22 20:00:01 ec2: {sizes}
<14>Nov 22 20:00:01 ec2: -----END SSH HOST KEY FINGERPRINTS-----
-----BEGIN SSH HOST KEY KEYS-----
{line}
-----END SSH HOST KEY KEYS-----
"""


def test_the_fingerprints_that_cloud_init_prints_are_found(tmp_path: Path) -> None:
    path = make_key(tmp_path / "host", "ecdsa")
    key = HostKey.of(keys.load(path.read_text()))
    printed = subprocess.run(["ssh-keygen", "-lf", f"{path}.pub"], check=True, capture_output=True, text=True).stdout
    old = subprocess.run(
        ["ssh-keygen", "-E", "md5", "-lf", f"{path}.pub"], check=True, capture_output=True, text=True
    ).stdout
    line = Path(f"{path}.pub").read_text().strip()
    assert hostkeys.printed(LOG.format(sizes=printed.strip(), line="")) == {key.fingerprint}
    assert hostkeys.printed(LOG.format(sizes="", line=line)) == {key.fingerprint}
    assert hostkeys.printed(LOG.format(sizes=old.strip(), line="").replace("\n", "\r\n")) <= key.names
    assert hostkeys.printed(LOG.format(sizes=old.strip().replace("MD5:", ""), line="")) <= key.names
    assert hostkeys.printed(printed + line) == frozenset(), "what stands outside cloud-init's marks counts for nothing"
    assert hostkeys.printed("") == frozenset()


@given(st.text(max_size=500))
def test_no_console_text_breaks_the_reader(text: str) -> None:
    assert hostkeys.printed(LOG.format(sizes=text.replace("{", ""), line=text.replace("{", ""))) is not None


@given(st.binary(max_size=600))
def test_what_a_server_said_is_safe_to_show(said: bytes) -> None:
    words = quote(said + b"\x1b[2J hunter2", ("hunter2",), limit=100_000)
    assert (
        "hunter2" not in words and words.isprintable() or not any(ord(sign) < 32 or ord(sign) == 127 for sign in words)
    )


# --- passwords


def sign_in(server: PasswordServer, password: str) -> Outcome:
    with farside.listener(server.speak) as port, farside.health() as url:
        return ssh.install(
            Target("127.0.0.1", port), Login("someone", password=password), farside.payload(url),
            dial=DIAL, accept=lambda key: True, limits=Limits(auth=5, step=20),
        )  # fmt: skip


def test_a_password_signs_in(tmp_path: Path) -> None:
    make_key(tmp_path / "host")
    assert sign_in(PasswordServer(tmp_path, "right horse"), "right horse").agent["ok"] is True


def test_a_dialogue_that_asks_for_the_password_alone_signs_in(tmp_path: Path) -> None:
    make_key(tmp_path / "host")
    server = PasswordServer(tmp_path, prompts=(("Password: ", "right horse"),))
    assert sign_in(server, "right horse").agent["ok"] is True
    with pytest.raises(Trouble) as wrong:
        sign_in(PasswordServer(tmp_path, prompts=(("Password: ", "right horse"),)), "wrong horse")
    assert wrong.value.code == "wrong_password"


def test_a_dialogue_that_asks_for_more_than_a_password_is_named(tmp_path: Path) -> None:
    make_key(tmp_path / "host")
    server = PasswordServer(tmp_path, prompts=(("Password: ", "right horse"), ("Verification code: ", "123456")))
    with pytest.raises(Trouble) as refusal:
        sign_in(server, "right horse")
    assert refusal.value.code == "second_factor" and "Verification code" in refusal.value.cause


# --- the watchdog


def test_a_deadline_is_cut_again_and_again_until_somebody_notices() -> None:
    dog, cuts, enough = Watchdog(), [], threading.Event()

    def cut() -> None:
        cuts.append(1)
        if len(cuts) == 3:
            enough.set()

    with dog.arm(0.01, cut) as guard:
        assert enough.wait(10)
    assert guard.expired


def test_deadlines_pass_in_their_order_and_a_met_one_never_does() -> None:
    dog, order, over = Watchdog(), [], threading.Event()
    waits = [0.25 * step for step in range(1, 9)]
    random.Random(7).shuffle(waits)
    guards = [dog.arm(wait, lambda wait=wait: order.append(wait)) for wait in waits]
    met = dog.arm(1.1, lambda: order.append(-1))
    met.disarm()
    last = dog.arm(2.3, over.set)
    assert over.wait(60)
    for guard in (*guards, last):
        guard.disarm()
    assert list(dict.fromkeys(order)) == sorted(waits), "once each, and again while it is not met"
    assert not met.expired and all(guard.expired for guard in guards)
