"""What starts the agent with the host: systemd, OpenRC or the older init scripts, each of them with our supervisor."""

import contextlib
import os
import shutil
import sys
from typing import Any, Callable

from . import files, procfs, systemd
from .hostcommand import LONGEST, call, said
from .paths import NAME, Paths

SYSTEMD, OPENRC, SYSVINIT, SUPERVISED = "systemd", "openrc", "sysvinit", "supervised"

BODY = """\
boot() {{
    {python} -I -S {launcher} boot >/dev/null
}}

halt() {{
    {python} -I -S {launcher} halt >/dev/null
}}
"""

OPENRC_SCRIPT = (
    """\
#!/sbin/openrc-run

description="Muster agent: reports this server to its console"

depend() {{
    use localmount net
    after localmount mountall firewall bootmisc
}}

"""
    + BODY
    + """
start() {{
    ebegin "Starting the Muster agent"
    boot
    eend $?
}}

stop() {{
    ebegin "Stopping the Muster agent"
    halt
    eend $?
}}

status() {{
    {python} -I -S {launcher} status
}}
"""
)

SYSVINIT_SCRIPT = (
    """\
#!/bin/sh
# chkconfig: 2345 95 05
# description: Muster agent: reports this server to its console
### BEGIN INIT INFO
# Provides:          muster-agent
# Required-Start:    $remote_fs $syslog
# Required-Stop:     $remote_fs $syslog
# Should-Start:      $network $named
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Muster agent
# Description:       Reports this server to its console.
### END INIT INFO

"""
    + BODY
    + """
case "$1" in
    start) boot ;;
    stop) halt ;;
    restart|force-reload) halt && boot ;;
    status) {python} -I -S {launcher} status ;;
    *) echo "Usage: $0 start|stop|restart|status" >&2; exit 2 ;;
esac
"""
)

# How older systems are told what to start: each has one of these.
ENABLE = (
    (["update-rc.d", NAME, "defaults"], ["update-rc.d", "-f", NAME, "remove"]),
    (["chkconfig", "--add", NAME], ["chkconfig", "--del", NAME]),
    (["insserv", NAME], ["insserv", "-r", NAME]),
)


def mode(paths: Paths) -> str:
    """What is in charge of this host's services, if the install is the host's own."""
    if systemd.is_in_charge(paths):
        return SYSTEMD
    if not paths.is_whole_host:
        return SUPERVISED
    # OpenRC writes its runlevel when it boots; the folder stands in a chroot too, once the package was installed there.
    if os.path.exists("/run/openrc/softlevel") and shutil.which("rc-update"):
        return OPENRC
    first = procfs.line("/proc/1/comm")
    if first == "init" and os.path.isdir("/etc/init.d") and any(shutil.which(add[0]) for add, _ in ENABLE):
        return SYSVINIT
    return SUPERVISED


def script(paths: Paths, kind: str) -> str:
    """The text of the init script: OpenRC's own only where Debian's do not run under it as well.

    Debian's `service` marks a service as started or stopped and only then calls its script: OpenRC's own, which goes
    by the mark, then finds the deed done and does nothing.
    """
    text = OPENRC_SCRIPT if kind == OPENRC and not shutil.which("update-rc.d") else SYSVINIT_SCRIPT
    return text.format(python=sys.executable, launcher=paths.launcher)


def start(paths: Paths, kind: str, boot: Callable[[Paths], Any]) -> None:
    """Start the agent afresh (nothing of it runs), by `boot` where no service manager does it, and see to it that it
    comes back with the host: that last, so that only what runs comes back."""
    if kind == SYSTEMD:
        systemd.start(paths)
        return
    boot(paths)
    if kind in (OPENRC, SYSVINIT):
        files.write(paths.script, script(paths, kind).encode(), 0o755)
        enable(kind)
        tell(paths, True)


def tell(paths: Paths, runs: bool) -> None:
    """Mark the agent as started or stopped where OpenRC is in charge. It stops nothing that has no mark, and marks
    itself neither what Debian's init scripts do under its rc-service, nor what is done without a script."""
    with contextlib.suppress(OSError):  # a mark that is there already, or cannot be made: what runs does not hang on it
        if not runs:
            files.remove(paths.started)
        elif os.path.exists(paths.under("run", "openrc", "softlevel")):
            os.symlink(paths.script, paths.started)


def prepare(paths: Paths, kind: str) -> None:
    """See to it that the agent starts when this host boots, in an image where nothing runs."""
    if kind == SYSTEMD:
        systemd.prepare(paths)
    else:
        files.write(paths.script, script(paths, kind).encode(), 0o755)
        enable(kind)


def enable(kind: str) -> None:
    if kind == OPENRC:
        call("rc-update", "add", NAME, "default")
        return
    for add, _ in ENABLE:
        if shutil.which(add[0]):
            call(*add)
            return


def stop(paths: Paths, kind: str) -> None:
    """Stop what `start` started, until the next boot; fine when there is nothing. The processes of init scripts are
    halted by whoever calls this, like those of no service at all."""
    if kind == SYSTEMD:
        systemd.stop(paths)


def disable(kind: str) -> None:
    """Undo `enable`, before the script goes, which these tools want to see."""
    if kind == OPENRC:
        # It fails when a single runlevel lacks the service, and each but one does.
        said(["rc-update", "--all", "delete", NAME], LONGEST)
    elif kind == SYSVINIT:
        for _, remove in ENABLE:
            if shutil.which(remove[0]):
                call(*remove)
                return


def forget(kind: str) -> None:
    """After the files are gone."""
    if kind == SYSTEMD:
        systemd.forget()


def leave(paths: Paths) -> bool:
    """Have the agent uninstalled from outside of its own service, where that would end who does it; False when there
    is no need to."""
    if not systemd.is_in_charge(paths):
        return False
    systemd.leave(paths)
    return True
