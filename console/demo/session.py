"""One command or shell on a simulated instance, with its streams on an SSH channel."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import paramiko

from console.demo.processes import Nursery

CHUNK = 32 * 1024
# How long the streams may stay open after the command has ended: a process that it left behind may hold them.
DRAIN = 2.0
Size = tuple[int, int]


class Session(threading.Thread):
    """Runs `command` (None: a shell) until it ends or the channel closes, then sends its exit status."""

    def __init__(
        self,
        channel: paramiko.Channel,
        command: str | None,
        *,
        env: Mapping[str, str],
        home: Path,
        nursery: Nursery,
        terminal: Size | None = None,
    ) -> None:
        super().__init__(name="demo-ssh-session", daemon=True)
        self.channel = channel
        self.command = command
        self.env = env
        self.home = home
        self.nursery = nursery
        self.terminal = terminal
        self._screen: int | None = None
        self._over = threading.Event()

    def run(self) -> None:
        """See the class."""
        try:
            code = self._on_terminal(self.terminal) if self.terminal else self._on_pipes()
        except OSError as fault:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                self.channel.sendall_stderr(f"{fault}\n".encode())
            code = 255
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            # SSH has no negative exit status: a signal counts from 128, as in a shell.
            self.channel.send_exit_status(code if code >= 0 else 128 - code)
            self.channel.shutdown_write()
        self.channel.close()

    def resize(self, size: Size) -> None:
        """The terminal has these columns and rows now."""
        if self._screen is not None:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._screen, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def _on_pipes(self) -> int:
        argv = ["/bin/sh", "-c", self.command] if self.command is not None else ["/bin/sh"]
        child = self.nursery.spawn(argv, env=self.env, cwd=self.home)
        streams = [stream for stream in (child.stdin, child.stdout, child.stderr) if stream is not None]
        # Each thread owns its end: a process left behind may hold an output open long after the command.
        into, out, err = (os.dup(stream.fileno()) for stream in streams)
        for stream in streams:
            stream.close()
        self._thread(self._feed, into, child)
        pumping = [self._thread(self._pump, out, self.channel.sendall)]
        pumping.append(self._thread(self._pump, err, self.channel.sendall_stderr))
        return self._outcome(child, pumping)

    def _on_terminal(self, size: Size) -> int:
        screen, line = os.openpty()
        self._screen = screen
        self.resize(size)
        # The first terminal that a session leader opens becomes its controlling one.
        start = 'exec <>"$0" >&0 2>&1; if [ -n "$1" ]; then exec /bin/sh -c "$1"; else exec /bin/sh -i; fi'
        argv = ["/bin/sh", "-c", start, os.ttyname(line), self.command or ""]
        child = self.nursery.spawn(argv, env=self.env, cwd=self.home, stdio=subprocess.DEVNULL)
        self._thread(self._feed, os.dup(screen), child)
        pumping = [self._thread(self._pump, screen, self.channel.sendall)]
        return self._outcome(child, pumping, line)

    def _outcome(self, child: subprocess.Popen[bytes], pumping: list[threading.Thread], line: int | None = None) -> int:
        code = self.nursery.wait(child)
        self._over.set()
        self._screen = None
        if line is not None:
            os.close(line)  # until now it kept the screen readable
        until = time.monotonic() + DRAIN
        for thread in pumping:
            thread.join(max(0.0, until - time.monotonic()))
        return code

    def _thread(self, target: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, name=f"demo-ssh{target.__name__}", daemon=True)
        thread.start()
        return thread

    def _feed(self, into: int, child: subprocess.Popen[bytes]) -> None:
        """Channel to process. What the process no longer reads is dropped, so that the caller never hangs on it."""
        reads = True
        with contextlib.suppress(OSError, EOFError):
            while data := self.channel.recv(CHUNK):
                try:
                    if reads:
                        _write(into, data)
                except OSError:
                    reads = False
        os.close(into)
        while not self._over.wait(0.2):
            if self.channel.closed:
                # Nobody reads the outcome any more. What detached itself (an agent) has a session of its own.
                # A console that was started by nohup hands on that SIGHUP is ignored: hence the second one.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGHUP)
                    os.killpg(child.pid, signal.SIGTERM)
                return

    def _pump(self, source: int, send: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while data := os.read(source, CHUNK):
                send(data)
        os.close(source)


def _write(into: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(into, view) :]
