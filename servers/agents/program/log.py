"""The agent's own log: a small file that turns over, never a reason to stop working."""

import os
import time

LIMIT = 1024 * 1024  # bytes; one older file of the same size is kept


class Log:
    """Lines with the time in UTC. A full or read-only disk loses lines, and nothing else."""

    def __init__(self, path: str, limit: int = LIMIT) -> None:
        self.path = path
        self.limit = limit

    def say(self, words: str) -> None:
        text = "".join(c if c.isprintable() else " " for c in words)
        line = "{} {}\n".format(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), text[:2000])
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                if os.fstat(handle).st_size + len(line) > self.limit:
                    os.replace(self.path, self.path + ".1")
                    os.close(handle)
                    handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.write(handle, line.encode("utf-8", "replace"))
            finally:
                os.close(handle)
        except OSError:
            return  # reporting goes on without a log; the console still hears from us

    def bound(self) -> None:
        """Drop what others wrote into it without end: a program that complains and complains."""
        try:
            if os.stat(self.path).st_size > 2 * self.limit:
                os.truncate(self.path, 0)
        except OSError:
            return
