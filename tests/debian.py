"""Debian's own systems, made by debootstrap from the mirror that this machine's apt uses."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Final

import pytest

# ruff: noqa: S603, S607 - the tools of this machine
PACKAGES: Final = {
    "systemd": ("systemd", "systemd-sysv", "dbus"),
    "openrc": ("openrc", "sysvinit-core", "initscripts"),
    "sysvinit": ("sysvinit-core", "sysv-rc", "initscripts", "insserv"),
}
KEPT: Final = "MUSTER_TEST_SYSTEMS"  # a folder that keeps them between runs; without it each run makes its own


def made(init: str, spare: Path) -> Path:
    """A minimal system with Python and this init. Skips where there is no debootstrap, no right or no mirror."""
    if not shutil.which("debootstrap"):
        pytest.skip("apt install debootstrap")
    if os.geteuid() != 0:
        pytest.skip("Only root can make a Debian system.")
    folder = Path(os.environ.get(KEPT) or spare)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base = folder / "base"
        if not base.exists():
            mirror, codename = _mirror()
            part = folder / "base.part"
            shutil.rmtree(part, ignore_errors=True)
            _run("debootstrap", "--variant=minbase", "--include=python3", codename, str(part), mirror)
            part.rename(base)
        found = folder / init
        if not found.exists():
            part = folder / f"{init}.part"
            shutil.rmtree(part, ignore_errors=True)
            _run("cp", "-a", str(base), str(part))
            _run("chroot", str(part), "apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES[init])
            _run("chroot", str(part), "apt-get", "clean")
            part.rename(found)
    return found


def _mirror() -> tuple[str, str]:
    """Where this machine has its Debian from, and which one; it answers."""
    wanted = "$(REPO_URI) $(CODENAME) $(COMPONENT)"
    told = _run("apt-get", "indextargets", "--format", wanted, "Created-By: Packages", "Origin: Debian")
    for line in told.splitlines():
        url, codename, component = line.split()
        if component == "main" and "-" not in codename and url.startswith("http"):
            try:
                urllib.request.urlopen(f"{url}dists/{codename}/InRelease", timeout=20).close()  # noqa: S310
            except OSError as fault:
                pytest.skip(f"The mirror that apt uses does not answer: {fault}")
            return url, codename
    pytest.skip("The apt of this machine names no Debian mirror.")


def _run(*words: str) -> str:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600, env=env)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout
