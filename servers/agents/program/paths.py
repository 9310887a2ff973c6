"""Where everything of the agent stands on a host."""

import os
from typing import List

from . import protocol
from .refusal import Refusal

PREFIX = "MUSTER_AGENT_PREFIX"
NAME = "muster-agent"


class Paths:
    """All paths below one prefix ("/" on a real host)."""

    def __init__(self, prefix: str) -> None:
        self.prefix = os.path.abspath(prefix)
        self.home = self.under("opt", NAME)
        self.versions = self.under("opt", NAME, "versions")
        self.current = self.under("opt", NAME, "current")
        self.program = self.under("opt", NAME, "current", NAME + ".pyz")
        self.launcher = self.under("opt", NAME, "launcher.pyz")
        self.config = self.under("etc", NAME, "config.json")
        self.state = self.under("var", "lib", NAME)
        self.identity = self.under("var", "lib", NAME, "identity.json")
        self.epoch = self.under("var", "lib", NAME, "epoch.json")
        self.update = self.under("var", "lib", NAME, "update.json")
        self.work = self.under("var", "lib", NAME, "work")
        self.motd = self.under("run", "motd.d", NAME)
        self.receipt = self.under("var", "lib", NAME, "receipt.json")
        self.leaving = self.under("var", "lib", NAME, "leaving.json")
        self.lock = self.under("var", "lib", NAME, "install.lock")
        self.log = self.under("var", "log", NAME + ".log")
        self.pid = self.under("run", NAME + ".pid")
        self.status = self.under("run", NAME + ".status.json")
        self.script = self.under("etc", "init.d", NAME)
        self.started = self.under("run", "openrc", "started", NAME)
        self.wrapper = self.under("usr", "bin", NAME)
        self.unit = self.under("etc", "systemd", "system", NAME + ".service")
        self.wanted = self.under("etc", "systemd", "system", "multi-user.target.wants", NAME + ".service")

    def under(self, *parts: str) -> str:
        return os.path.join(self.prefix, *parts)

    def release(self, version: str) -> str:
        """The program file of one version."""
        return os.path.join(self.versions, version, NAME + ".pyz")

    @property
    def is_whole_host(self) -> bool:
        return self.prefix == "/"

    def files(self, mode: str) -> List[str]:
        """Every file that this version ever makes, in the order in which uninstall removes them: what starts the
        agent and the agent itself late, so that they are there to finish it after a stop."""
        found = [self.identity, self.epoch, self.update, self.config, self.motd, self.status]
        found += [self.log, self.log + ".1"]
        found += {
            "systemd": [self.wanted, self.unit],
            "openrc": [self.script, self.started],
            "sysvinit": [self.script],
        }.get(mode, [])
        found += [self.wrapper] if self.is_whole_host else []
        return found + [self.current, self.release(protocol.VERSION), self.pid, self.launcher, self.lock]

    def own_directories(self) -> List[str]:
        """Directories of ours alone."""
        return [self.home, os.path.dirname(self.config), self.state]

    def shared_directories(self) -> List[str]:
        """Directories that uninstall removes once empty, deepest first: those that a prefix of one's own needs.

        A whole host's /etc, /var and so on are not ours; the one for messages of the day is in memory.
        """
        made = [os.path.dirname(self.motd)]
        if self.is_whole_host:
            return made
        return made + [self.under(*p.split("/")) for p in ("var/lib", "var/log", "var", "run", "etc", "opt")]


def find() -> Paths:
    """The paths of this host: below MUSTER_AGENT_PREFIX, or the whole host for root. Refusal for anybody else."""
    prefix = os.environ.get(PREFIX, "")
    if prefix:
        return Paths(prefix)
    if os.geteuid() != 0:
        raise Refusal(
            "The agent must be handled by root, and this is user id {}.".format(os.geteuid()),
            "Run it with sudo, or set {} to a directory of your own.".format(PREFIX),
        )
    return Paths("/")
