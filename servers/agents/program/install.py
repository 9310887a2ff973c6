"""Put the agent on this host. Repeating it gives the same state; a kill at any moment leaves nothing that a repeat or
an uninstall does not put right: the receipt comes first, and every file is whole or absent."""

import os
import re
import ssl
import sys
from typing import Any, Dict, Optional
from urllib.parse import urlsplit

from . import base64url, client, files, identity, inits, process, protocol, status, uninstall
from .paths import Paths
from .refusal import Refusal

INPUT = "-"  # in place of a file name
PATIENCE = 20.0  # seconds: an agent that was just removed in the console takes itself off
WRAPPER = '#!/bin/sh\nexec {} -I -S {} "$@"\n'
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{8,%d}" % protocol.MAX_SECRET)


def install(
    paths: Paths,
    url: str,
    token_file: str,
    ca_file: Optional[str] = None,
    proxy: Optional[str] = None,
    allow_http: bool = False,
    wait: float = 0.0,
) -> Dict[str, Any]:
    """Install, start, and say so: `{ok, version, mode, receipt}`, with `reporting` and `trouble` when asked to wait.

    The token file is removed once the agent has it ("-" reads the token from standard input). Refusal otherwise.
    """
    url = client.check_url(url, allow_http)
    token = read_token(token_file)
    ca = read_ca(ca_file) if ca_file else None
    out = client.check_proxy(proxy) if proxy and proxy != "none" else None
    if proxy is None:
        out = proxy_of_environment(url)
    mode = inits.mode(paths)
    try:
        with process.changing(paths, PATIENCE):
            place(paths, mode)
            if mode != inits.SYSTEMD:  # which starts it afresh in one go, also when that ends whoever runs us
                process.halt(paths)  # before it writes the same files
            _configure(paths, {"url": url, "ca": ca, "proxy": out}, token)
            files.remove(paths.status)
            inits.start(paths, mode, process.boot)
            prune(paths)
    except OSError as error:
        raise files.refusal(error) from error
    if token_file != INPUT:
        try:
            files.remove(token_file)
        except OSError as error:
            raise files.refusal(error) from error
    done = {"ok": True, "version": protocol.VERSION, "mode": mode, "receipt": paths.receipt}  # type: Dict[str, Any]
    if wait:
        process.until(lambda: _settled(paths), wait)
        seen = status.report(paths)
        done.update(reporting=bool(seen.get("reporting")), trouble=seen.get("trouble"))
    return done


def _settled(paths: Paths) -> bool:
    """It reports, or never will with this token."""
    seen = status.report(paths)
    return bool(seen["reporting"]) or seen["state"] == status.UNWELCOME


def place(paths: Paths, mode: str) -> None:
    """The receipt, the program under its version, and the switch to it."""
    with open(archive(), "rb") as file:
        program = file.read()
    known = uninstall.receipt(paths) or {}
    listed = [os.path.relpath(path, paths.prefix) for path in paths.files(mode)]
    older = [f for f in known.get("files", []) if isinstance(f, str) and f not in listed]
    files.write_json(paths.receipt, {"version": protocol.VERSION, "mode": mode, "files": listed + older})
    files.remove(paths.leaving)  # whoever was taking it off did not come to an end
    for path in (paths.pid, paths.log):
        files.folder(os.path.dirname(path))
    files.folder(os.path.dirname(paths.config), 0o700)
    target = paths.release(protocol.VERSION)
    files.folder(os.path.dirname(target))
    files.write(target, program, 0o755)
    files.write(paths.launcher, program, 0o755)
    if paths.is_whole_host:
        files.write(paths.wrapper, WRAPPER.format(sys.executable, paths.program).encode(), 0o755)
    files.link(paths.current, os.path.join("versions", protocol.VERSION))


def _configure(paths: Paths, wanted: Dict[str, Any], token: str) -> None:
    """The settings with the join token and the key that goes with it. The same token again keeps its key, so enrolling
    goes on where it was."""
    before = files.read_json(paths.config) or {}
    same = before.get("token") == token and before.get("url") == wanted["url"]
    key = before.get("key") if same else None
    files.write_json(paths.config, dict(wanted, token=token, key=key or base64url.encode(identity.new_seed())))


def prune(paths: Paths) -> None:
    """Keep this version and the newest other one, to go back to."""
    others = [name for name in os.listdir(paths.versions) if name != protocol.VERSION]
    others.sort(key=lambda name: os.path.getmtime(os.path.join(paths.versions, name)))
    for name in others[:-1]:
        files.remove(paths.release(name))
        files.remove(files.aside(paths.release(name)))
        os.rmdir(os.path.join(paths.versions, name))


def archive() -> str:
    """The zipapp that we run from."""
    path = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.isfile(path):
        raise Refusal("This is not the packed agent.", "Run the muster-agent.pyz that the console gives out.")
    return path


def read_token(path: str) -> str:
    try:
        if path == INPUT:
            text = sys.stdin.readline(protocol.MAX_SECRET + 2)
        else:
            with open(path) as file:
                text = file.read(protocol.MAX_SECRET + 2)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise Refusal(
            "The join token could not be read from {} ({}).".format(path, reason), "Check --token-file."
        ) from error
    if not TOKEN.fullmatch(text.strip()):
        raise Refusal("What was given as a join token is not one.", "Make a new join token in the console.")
    return text.strip()


def read_ca(path: str) -> str:
    """Certificates as PEM text, kept in the settings: the file itself may go."""
    try:
        with open(path) as file:
            text = file.read(1024 * 1024)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=text)
    except (OSError, ValueError) as error:
        raise Refusal("{} holds no PEM certificates that can be used.".format(path), "Check --ca-file.") from error
    return text


def proxy_of_environment(url: str) -> Optional[str]:
    """The proxy that this environment names for the URL, kept in the settings: a service has another environment."""
    from urllib.request import getproxies_environment, proxy_bypass  # heavy, and only needed here

    parts = urlsplit(url)
    host = parts.hostname or ""
    named = getproxies_environment()
    found = named.get(parts.scheme)
    if not found or host in client.LOOPBACK or proxy_bypass(host, named):
        return None
    return client.check_proxy(found)
