"""The agent as a unit of systemd, where systemd is what starts this host."""

import os
import sys

from . import files
from .hostcommand import call
from .paths import NAME, Paths

# The scripts that the console signs are run below this unit, and have to be able to do what root does on this host:
# install packages, change users, load modules. So it has only those locks that they never meet. Older systems pass over
# the names that they do not know.
UNIT = """\
[Unit]
Description=Muster agent: reports this server to its console
Wants=network-online.target
After=network-online.target

[Service]
Type=simple
ExecStart={python} -I -S {launcher} supervise
Restart=always
RestartSec=10
RestartPreventExitStatus=3 4
SuccessExitStatus=4
KillMode=mixed
TimeoutStopSec=20
UMask=0077
LimitCORE=0
KeyringMode=private
RestrictRealtime=yes
OOMPolicy=continue

[Install]
WantedBy=multi-user.target
"""


def is_in_charge(paths: Paths) -> bool:
    """Whether systemd is PID 1 and the install is the host's own (sd_booted(3))."""
    return paths.is_whole_host and runs()


def runs() -> bool:
    return os.path.isdir("/run/systemd/system")


def unit(paths: Paths) -> str:
    return UNIT.format(python=sys.executable, launcher=paths.launcher)


def start(paths: Paths) -> None:
    """Write the unit, start it afresh, and enable it last: only what runs comes back after a reboot."""
    files.write(paths.unit, unit(paths).encode(), 0o644)
    call("systemctl", "daemon-reload")
    call("systemctl", "restart", NAME)
    call("systemctl", "enable", NAME)


def stop(paths: Paths) -> None:
    """Stop the unit; fine when there is none. Where nothing runs, as in an image, its files only go."""
    if os.path.exists(paths.unit) and is_in_charge(paths):
        call("systemctl", "stop", NAME)


def prepare(paths: Paths) -> None:
    """The unit, enabled as systemctl does it, on a host where systemd does not run now."""
    files.write(paths.unit, unit(paths).encode(), 0o644)
    files.folder(os.path.dirname(paths.wanted))
    files.link(paths.wanted, "../" + os.path.basename(paths.unit))


def forget() -> None:
    """After the unit's file is gone."""
    if runs():
        call("systemctl", "daemon-reload")


def leave(paths: Paths) -> None:
    """Uninstall from inside the unit: as a unit of its own, since stopping ours ends all its processes."""
    program = paths.program if os.path.exists(paths.program) else paths.launcher
    call("systemd-run", "--unit=" + NAME + "-leave", sys.executable, program, "uninstall")
