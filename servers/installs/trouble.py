"""The stages of an install, and the words for each way one can end.

Every failure has a stage, a code, a cause and a fix. The code is for programs and tests, the rest is for a person.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers.installs.hostkeys import HostKey


class Stage(StrEnum):
    """Where an install stands, in the order in which it goes."""

    CONNECT = "connect"
    VERIFY_HOST = "verify_host"
    SIGN_IN = "sign_in"
    PROBE = "probe"
    UPLOAD = "upload"
    INSTALL = "install"
    FIRST_HEARTBEAT = "first_heartbeat"

    @property
    def label(self) -> str:
        """For a person: `verify host`, `first heartbeat`."""
        return self.value.replace("_", " ")


class Trouble(Exception):
    """One install failed: `stage`, `code`, `cause` (what happened) and `fix` (what to do about it), each a sentence.

    `presented` is the host key that the server showed, when it is the host key that is in question.
    """

    def __init__(self, stage: Stage, code: str, cause: str, fix: str, presented: HostKey | None = None) -> None:
        super().__init__(f"{stage.label}: {cause} {fix}")
        self.stage = stage
        self.code = code
        self.cause = cause
        self.fix = fix
        self.presented = presented


FIREWALL = "Check that the server runs, that SSH listens on this port, and that firewalls let this console in."
OPEN_WAY = "Let this server reach the console's address: outbound firewall, security group, NAT or proxy."

WORDS: dict[str, tuple[Stage, str, str]] = {
    "refused": (Stage.CONNECT, "{host} refused the connection on port {port}.", FIREWALL),
    "timeout": (Stage.CONNECT, "{host} did not answer on port {port} within {seconds} s.", FIREWALL),
    "unreachable": (Stage.CONNECT, "{host} cannot be reached: {said}", FIREWALL),
    "not_allowed": (
        Stage.CONNECT,
        "The console may not connect to {host}: {said}",
        "Use the server's public address, or ask the console's staff to approve this network.",
    ),
    "no_banner": (
        Stage.CONNECT,
        "{host} took the connection on port {port}, but said nothing for {seconds} s.",
        "Check that SSH listens on this port; a full or hanging server, or a tarpit, looks like this too.",
    ),
    "not_ssh": (
        Stage.CONNECT,
        "What answers on port {port} of {host} is not an SSH server. It said: {said}",
        "Give the port on which this server's SSH listens.",
    ),
    "hung_up": (
        Stage.CONNECT,
        "{host} closed the connection on port {port} before it said anything.",
        "It may limit connections (MaxStartups, fail2ban, hosts.deny), or be starting. Try again in a minute.",
    ),
    "handshake": (
        Stage.CONNECT,
        "No safe encryption could be agreed on with {host}: {said}",
        "Update OpenSSH on the server: the console needs AES-CTR or AES-GCM, and host keys that sign with SHA-2.",
    ),
    "handshake_timeout": (
        Stage.CONNECT,
        "{host} did not finish the SSH handshake within {seconds} s.",
        "The server may be overloaded or still starting. Try again in a minute.",
    ),
    "unknown_host_key": (
        Stage.VERIFY_HOST,
        "The console does not know this server's host key yet: {key_type} {fingerprint}.",
        "Compare it with the server's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub) and confirm it.",
    ),
    "changed_host_key": (
        Stage.VERIFY_HOST,
        "The server's host key changed. It now shows {key_type} {fingerprint}, which is not the one on record.",
        "If you rebuilt this server, confirm the new key. If not, something else may be answering at its address.",
    ),
    "wrong_key": (
        Stage.SIGN_IN,
        "The server did not accept this key for user {user}.",
        "Check the user name, and that the public key stands in that user's ~/.ssh/authorized_keys.",
    ),
    "wrong_password": (
        Stage.SIGN_IN,
        "The server did not accept this password for user {user}.",
        "Check the user name and the password.",
    ),
    "wants_other_login": (
        Stage.SIGN_IN,
        "The server lets user {user} sign in only by: {said}.",
        "Give a {wanted} instead, or allow this way in the server's sshd_config.",
    ),
    "second_factor": (
        Stage.SIGN_IN,
        "The server asks user {user} for a second proof after the first ({said}).",
        "Use a user that can sign in with one key or one password.",
    ),
    "sign_in_timeout": (
        Stage.SIGN_IN,
        "The server did not decide about user {user} within {seconds} s.",
        "Its sign-in may be waiting for a directory or for DNS (UseDNS no helps). Try again later.",
    ),
    "sign_in_closed": (
        Stage.SIGN_IN,
        "The server closed the connection instead of letting user {user} sign in.",
        "It may limit users (AllowUsers) or attempts (MaxAuthTries). Check the user name and the server's log.",
    ),
    "other_user": (
        Stage.SIGN_IN,
        "User {user} may not work on this server. It said: {said}",
        "Try again with the user name {wanted}.",
    ),
    "no_shell": (
        Stage.SIGN_IN,
        "User {user} can sign in, but has no shell. The server said: {said}",
        "Use a user that can run commands.",
    ),
    "password_expired": (
        Stage.SIGN_IN,
        "The password of user {user} has expired. The server said: {said}",
        "Sign in once by hand, set a new password, and try again.",
    ),
    "no_session": (
        Stage.SIGN_IN,
        "User {user} signed in, but the server opened no session: {said}",
        "Check MaxSessions, ForceCommand and this user's limits on the server.",
    ),
    "windows": (
        Stage.PROBE,
        "This server runs Windows. It said: {said}",
        "There is no agent for Windows yet.",
    ),
    "no_python": (
        Stage.PROBE,
        "The server has no Python 3.6 or newer{said}.",
        "Install it (Debian, Ubuntu: apt install python3; CentOS, RHEL: yum install python3) and try again.",
    ),
    "odd_shell": (
        Stage.PROBE,
        "The server did not run the console's command. It said: {said}",
        "Check this user's shell and start-up files, and that python3 starts there.",
    ),
    "disk_full": (
        Stage.PROBE,
        "The server's disk is full: {said}",
        "Free at least {need} MB there and try again.",
    ),
    "no_temp": (
        Stage.PROBE,
        "The server has no folder for temporary files that user {user} may write to: {said}",
        "Make /tmp or /var/tmp writable; a read-only file system often means a failing disk.",
    ),
    "no_sudo": (
        Stage.PROBE,
        "User {user} is not root, and the server has no sudo.",
        "Sign in as root, or install sudo and allow it for this user.",
    ),
    "not_root": (
        Stage.PROBE,
        "User {user} is not root, and sudo was not chosen.",
        "Try again with sudo, or sign in as root.",
    ),
    "no_way_out": (Stage.PROBE, "The server cannot reach the console at {url}: {said}", OPEN_WAY),
    "no_name": (
        Stage.PROBE,
        "The server cannot find the console's address {url}: {said}",
        "Check the server's DNS settings (/etc/resolv.conf).",
    ),
    "no_trust": (
        Stage.PROBE,
        "The server does not trust the certificate of {url}: {said}",
        "Check the server's clock, and install its package of root certificates (ca-certificates).",
    ),
    "odd_answer": (
        Stage.PROBE,
        "Something else than the console answers the server at {url}: {said}",
        "Check proxies and redirects between the server and the console.",
    ),
    "busy": (
        Stage.PROBE,
        "An earlier connection of this install is still at work on the server.",
        "Wait a minute, then try again.",
    ),
    "upload_broken": (
        Stage.UPLOAD,
        "The agent did not arrive whole on the server: {said}",
        "Try again. If it happens twice, check the server's disk and the network between.",
    ),
    "sudo_needs_password": (
        Stage.INSTALL,
        "User {user} needs a password for sudo on this server, and none was given.",
        "Try again with the sudo password, or allow sudo without one (NOPASSWD) for this user.",
    ),
    "sudo_wrong_password": (
        Stage.INSTALL,
        "sudo asked again: it did not accept the sudo password of user {user}.",
        "Try again with the right sudo password.",
    ),
    "sudo_asks_more": (
        Stage.INSTALL,
        "sudo asked user {user} for more than the password, or never answered. It said: {said}",
        "Allow sudo by password alone, or without one (NOPASSWD), for this user; or sign in as root.",
    ),
    "sudo_denied": (
        Stage.INSTALL,
        "User {user} may not use sudo to install. sudo said: {said}",
        "Allow sudo for this user, or sign in as root.",
    ),
    "sudo_needs_tty": (
        Stage.INSTALL,
        "sudo on this server works only from a terminal: {said}",
        "Remove requiretty from /etc/sudoers for this user, or sign in as root.",
    ),
    "agent_refused": (Stage.INSTALL, "{said}", "{wanted}"),
    "agent_broke": (
        Stage.INSTALL,
        "The agent's installer ended without a result ({said}).",
        "Try again. If it happens twice, send these words to the console's staff.",
    ),
    "cut_off": (
        Stage.INSTALL,
        "The server ended the installer before it was done.",
        "Try again. If it happens twice, look for the out-of-memory killer or limits in the server's log.",
    ),
    "still_running": (
        Stage.INSTALL,
        "The installer was still running after {minutes} minutes.",
        "The server may be overloaded, or its disk slow. Try again later. Repeating is safe.",
    ),
    "jump_forbids": (
        Stage.CONNECT,
        "The jump host {jump} does not let connections through: {said}",
        "Allow them for its user: AllowTcpForwarding yes in its sshd_config.",
    ),
    "jump_no_way": (
        Stage.CONNECT,
        "The jump host {jump} could not connect to {host}, port {port}: {said}",
        "Check that the server runs, and that its firewall lets the jump host in.",
    ),
    "jump_lost": (
        Stage.CONNECT,
        "The connection to the jump host {jump} was lost.",
        "Check that it still runs and that the network is steady, then try again. Repeating is safe.",
    ),
    "ended": (
        Stage.INSTALL,
        "The command on the server ended early ({said}).",
        "Something on the server stopped it: look for the out-of-memory killer or limits in its log, then try again.",
    ),
    "lost": (
        Stage.INSTALL,
        "The connection was lost{said}.",
        "Check that the server still runs and that the network is steady, then try again. Repeating is safe.",
    ),
    "stopped": (
        Stage.INSTALL,
        "It was stopped from the console.",
        "The agent may have arrived already; if it reports, it can be removed on the server's page.",
    ),
    "step_timeout": (
        Stage.INSTALL,
        "This step took longer than {seconds} s.",
        "The server may be overloaded, or its disk slow. Try again later. Repeating is safe.",
    ),
    "total_timeout": (
        Stage.INSTALL,
        "The install as a whole took longer than {seconds} s.",
        "The server may be overloaded, or its disk slow. Try again later. Repeating is safe.",
    ),
}


def trouble(code: str, stage: Stage | None = None, presented: HostKey | None = None, /, **about: object) -> Trouble:
    """The Trouble for a code, its words filled in. `stage` overrides the usual one (disk full, lost, time-outs)."""
    usual, cause, fix = WORDS[code]
    filled = _Blank({name: str(value) for name, value in about.items()})
    return Trouble(stage or usual, code, cause.format_map(filled), fix.format_map(filled), presented)


class _Blank(dict[str, str]):
    """A missing detail leaves a gap in a sentence; it must not hide the failure itself."""

    def __missing__(self, key: str) -> str:
        return "?"


CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x1f\x7f-\x9f]+")


def quote(text: bytes | str, secrets: tuple[str, ...] = (), limit: int = 240) -> str:
    """The first words of what a server said, safe to store and show: one line, no control characters, no secrets."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    for secret in secrets:
        if secret:
            words = words.replace(secret, "…")
    words = " ".join(CONTROL.sub(" ", words).split())
    if not words:
        return "(nothing)"
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"
