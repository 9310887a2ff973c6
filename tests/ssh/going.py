"""Installs over SSH as these tests ask for them, and what a whole Trouble is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from console.lib.outbound import Transport
from servers.installs import keys, ssh
from servers.installs.signin import Login
from servers.installs.ssh import Limits, Outcome, Target
from servers.installs.trouble import Stage, Trouble
from tests import farside
from tests.sshd import Sshd

DIAL = Transport(networks=("127.0.0.0/8",)).dial
QUICK = Limits(connect=10, banner=3, auth=15, step=60, total=120)


def login(server: Sshd, **more: object) -> Login:
    return Login(server.user, keys.load(server.private_key), **more)  # type: ignore[arg-type]


def go(
    server: Sshd, url: str, body: str = "", limits: Limits = QUICK, who: Login | None = None, **more: object
) -> Outcome:
    return ssh.install(
        Target(server.host, server.port),
        who or login(server),
        more.pop("payload", None) or farside.payload(url, body),
        dial=DIAL,
        accept=lambda key: True,
        limits=limits,
        **more,  # type: ignore[arg-type]
    )


def fails(code: str, stage: Stage, action: object) -> Trouble:
    """The Trouble that `action()` raises, checked to be a whole one."""
    with pytest.raises(Trouble) as caught:
        action()  # type: ignore[operator]
    problem = caught.value
    assert (problem.code, problem.stage) == (code, stage), str(problem)
    for sentence in (problem.cause, problem.fix):
        assert sentence[0].isupper() or sentence[0].isdigit() or sentence.startswith("sudo")
        assert "{" not in sentence and "?" not in sentence
    return problem


def small_disk(folder: Path, options: str, console: str) -> Sshd:
    """A server whose temporary folders are small file systems of their own, in a mount namespace of the session."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]).returncode:
        pytest.skip("mounting a small file system needs root with CAP_SYS_ADMIN")
    mounts = "; ".join(f"mount -t tmpfs -o size={options} none {path}" for path in ("/var/tmp", "/tmp"))
    script = folder.parent / f"{folder.name}.sh"
    script.write_text(f'#!/bin/sh\n{mounts}\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    script.chmod(0o755)
    # HOME and TMPDIR lie in /tmp, so they vanish below the mount
    return Sshd(folder, forced=f"exec unshare -m {script}")
