"""The agent as a unit of systemd, where systemd is what starts this host."""

import os
import subprocess
import sys

from . import files
from .paths import NAME, Paths
from .refusal import Refusal

# ReadWriteDirectories is what systemd before 231 (CentOS 7) calls ReadWritePaths; each side passes over the other name.
UNIT = """\
[Unit]
Description=Muster agent: reports this server to its console
Wants=network-online.target
After=network-online.target

[Service]
Type=simple
ExecStart={python} {program} run
Restart=always
RestartSec=10
RestartPreventExitStatus=3 4
SuccessExitStatus=4
TimeoutStopSec=10
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
ReadWritePaths={config}
ReadWriteDirectories={config}
ProtectHome=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def is_in_charge(paths: Paths) -> bool:
    """Whether systemd is PID 1 and the install is the host's own (sd_booted(3))."""
    return paths.is_whole_host and os.path.isdir("/run/systemd/system")


def unit(paths: Paths) -> str:
    return UNIT.format(python=sys.executable, program=paths.program, config=os.path.dirname(paths.config))


def start(paths: Paths) -> None:
    """Write the unit, start it afresh, and enable it last: only what runs comes back after a reboot."""
    files.write(paths.unit, unit(paths).encode(), 0o644)
    call("systemctl", "daemon-reload")
    call("systemctl", "restart", NAME)
    call("systemctl", "enable", NAME)


def stop(paths: Paths) -> None:
    """Stop and disable the unit; fine when there is none."""
    if os.path.exists(paths.unit):
        call("systemctl", "disable", NAME)
        call("systemctl", "stop", NAME)


def forget() -> None:
    """After the unit's file is gone."""
    call("systemctl", "daemon-reload")


def leave(paths: Paths) -> None:
    """Uninstall from inside the unit: as a unit of its own, since stopping ours ends all its processes, and ours may
    not write outside its few paths."""
    call("systemd-run", "--unit=" + NAME + "-leave", sys.executable, paths.program, "uninstall")


def call(*words: str) -> None:
    """Run one command of systemd's. Refusal with its own words when it fails."""
    try:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=90
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refusal("{} could not be run ({}).".format(words[0], error), "Check systemd on this host.") from error
    if done.returncode != 0:
        said = " ".join(done.stdout.decode("utf-8", "replace").split())[:300]
        raise Refusal(
            "'{}' failed: {}".format(" ".join(words), said or "no reason given"),
            "See 'systemctl status {0}' and 'journalctl -u {0}'.".format(NAME),
        )
