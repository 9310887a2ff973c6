"""Whole systems that stand below a folder, to install packages into and to boot: this machine's own /usr with nothing
else of it, or a Debian of their own (debian.py).

Each has namespaces of its own (mounts, processes, network), held by a process that ends when its standard input does:
whatever becomes of the test, nothing of it stays.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.processes import wait

# ruff: noqa: S603, S607 - the tools of this machine, and of those systems
REBOOTED = 133  # how systemd-nspawn ends then: its own unit has RestartForceExitStatus=133
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What is written goes into memory: an overlay over an overlay, as containers have it, is not to be had everywhere.
_LAID = """
set -e
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p /run/systemd
mount -t tmpfs muster /run/systemd
mount -t tmpfs -o size=1g,mode=755 muster "$1"
cd "$1"
mkdir upper work root
if [ -n "$2" ]; then
    mount -t overlay muster -o "lowerdir=$2,upperdir=upper,workdir=work" root
else
    cd root
    mkdir -p usr etc/systemd/system var/lib var/log var/tmp tmp run opt root proc dev sys
    cd ..
    chmod 1777 root/tmp
    mount -t overlay muster -o lowerdir=/usr,upperdir=upper,workdir=work root/usr
    for one in bin lib lib64 sbin; do [ ! -e "/usr/$one" ] || ln -s "usr/$one" "root/$one"; done
    cp /etc/passwd /etc/group root/etc/
    [ ! -d /etc/alternatives ] || cp -a /etc/alternatives root/etc/
    mount -t proc proc root/proc
    for one in null zero random urandom; do : >"root/dev/$one"; mount --bind "/dev/$one" "root/dev/$one"; done
fi
echo laid
exec cat
"""


class System:
    """`root` is its `/` as this process sees it."""

    def __init__(self, keeper: int, folder: Path) -> None:
        self.keeper, self.inside = keeper, folder / "root"
        self.root = Path(f"/proc/{keeper}/root{self.inside}")

    def enter(self, *namespaces: str) -> list[str]:
        return ["nsenter", "-t", str(self.keeper), *namespaces]

    def outside(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of this machine, among the system's mounts: it finds the system at `inside`."""
        done = subprocess.run(
            [*self.enter("-m", "-p", "-n", "-i", "-u"), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={"PATH": PATH},
            cwd="/",
        )
        assert done.returncode == 0 or not check, f"{words}: {done.stdout}{done.stderr}"
        return done

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in there."""
        return self.outside("chroot", str(self.inside), *words, check=check)

    def put(self, name: str, content: bytes) -> str:
        """A file in its /root; its path in there."""
        (self.root / "root" / name).write_bytes(content)
        return f"/root/{name}"

    def files(self, *but: str) -> set[str]:
        """Every path of it, but for what is below `but`, /proc and /dev."""
        skip = " -o ".join(f"-path './{name}'" for name in ("proc", "dev", "sys", "root", *but))
        return set(self.run("sh", "-c", f"cd / && find . \\( {skip} \\) -prune -o -print").stdout.splitlines())


class Booted:
    """A system that runs by its own init in a container of systemd-nspawn, in the network namespace `network`."""

    def __init__(self, there: System, network: str) -> None:
        words = [
            "systemd-nspawn", "-q", "-D", str(there.inside), "-M", network, "--boot", "--register=no", "--keep-unit",
            f"--network-namespace-path=/run/netns/{network}", "--link-journal=no", "--console=pipe",
        ]  # fmt: skip
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `end` closes it
        self._there = there
        self._process = subprocess.Popen(
            [*there.enter("-m", "-p"), *words], stdin=subprocess.DEVNULL, stdout=self._said, stderr=subprocess.STDOUT,
            env={"PATH": PATH}, cwd="/",
        )  # fmt: skip

    def init(self) -> psutil.Process | None:
        """Its first process now; None while there is none, as during a reboot."""
        with suppress(psutil.NoSuchProcess):
            for one in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(OSError, IndexError):
                    lines = Path(f"/proc/{one.pid}/status").read_text().splitlines()
                    inner = next(line for line in lines if line.startswith("NSpid")).split()
                    if inner[-1] == "1" and one.name() in ("systemd", "init"):
                        return one
        return None

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in there, as root; its init is waited for."""
        init = wait(lambda: self.init() or self._process.poll() is not None, 30, "it has an init")
        assert isinstance(init, psutil.Process), self.said
        done = subprocess.run(
            ["nsenter", "-t", str(init.pid), "-a", *words], capture_output=True, text=True, check=False, timeout=60,
            env={"PATH": PATH},
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"{words}: {done.stdout}{done.stderr}"
        return done

    def settled(self) -> None:
        """Wait until it has booted: what its init starts at first has ended."""
        wait(lambda: self.init(), 30, "it has an init")
        if (self._there.root / "lib/systemd/systemd").exists():
            self.run("systemctl", "is-system-running", "--wait", check=False)
        else:
            wait(lambda: self.processes("getty"), 60, "it has booted")  # which they start last

    def processes(self, words: str) -> list[psutil.Process]:
        """Those in there whose command line has these words, the oldest first."""
        init, found = self.init(), []
        for one in init.children(recursive=True) if init else []:
            with suppress(psutil.NoSuchProcess):
                if words in " ".join(one.cmdline()):
                    found.append(one)
        return sorted(found, key=lambda one: (one.create_time(), one.pid))

    def ended(self, seconds: float) -> int:
        """How it ended; REBOOTED when it wants to be started again."""
        return self._process.wait(seconds)

    @property
    def said(self) -> str:
        """What it wrote to its console."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def end(self) -> None:
        """The plug is pulled."""
        if self._process.poll() is None:
            for one in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            self._process.kill()
            self._process.wait()
        self._said.close()


@contextmanager
def system(folder: Path, lower: Path | None = None) -> Iterator[System]:
    """One that writes nothing to `lower`, or to this machine's /usr. `folder` is empty and stays so."""
    apart = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
    with subprocess.Popen(
        [*apart, "sh", "-c", _LAID, "sh", str(folder), str(lower or "")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdin and holder.stdout and holder.stderr
        if holder.stdout.readline() != "laid\n":
            holder.stdin.close()
            raise AssertionError(f"The system could not be laid: {holder.stderr.read()}")
        try:
            keeper = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0]
            yield System(int(keeper), folder)
        finally:
            holder.stdin.close()
