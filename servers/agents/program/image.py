"""The agent in an image: laid so that each instance of it starts it, with nothing in it that is secret or one's own."""

import os
import shutil
from typing import Any, Dict

from . import client, files, inits, install, process, protocol
from .paths import Paths
from .refusal import Refusal

NEEDED = ("url", "channel", "keys")


def lay(paths: Paths, settings_file: str) -> Dict[str, Any]:
    """Install with the settings of an image, `{url, channel, keys, ca?, proxy?, platform?, metadata?}`: `{ok, version,
    mode, receipt, started}`.

    It is started where this machine runs already; in an image that is only being built, it starts with the first boot.
    Who this machine is stays, and so does an install that has a join token. Refusal otherwise.
    """
    wanted = read(settings_file)
    mode = inits.mode(paths)
    running = mode != inits.SUPERVISED or not paths.is_whole_host
    if not running:
        mode = for_boot(paths)
    try:
        with process.changing(paths):
            install.place(paths, mode)
            if running and mode != inits.SYSTEMD:
                process.halt(paths)
            before = files.read_json(paths.config) or {}
            if before.get("url") == wanted["url"] and before.get("token"):
                wanted = dict(wanted, token=before["token"], key=before.get("key"))
            files.write_json(paths.config, wanted)
            files.remove(paths.status)
            if running:
                inits.start(paths, mode, process.boot)
            else:
                inits.prepare(paths, mode)
            install.prune(paths)
    except OSError as error:
        raise files.refusal(error) from error
    return {"ok": True, "version": protocol.VERSION, "mode": mode, "receipt": paths.receipt, "started": running}


def seal(paths: Paths) -> Dict[str, Any]:
    """Before an image is made of this machine: stop the agent, and forget who this machine was: `{ok, removed}`.

    Refusal when what is installed could not claim: an instance of the image would be nobody.
    """
    settings = files.read_json(paths.config) or {}
    if not settings.get("channel"):
        raise Refusal(
            "The agent here was installed for this one server, so instances of an image could not ask to be known.",
            "Install your provider's Helper for images, then seal.",
        )
    try:
        with process.changing(paths):
            receipt = files.read_json(paths.receipt) or {}
            inits.stop(paths, str(receipt.get("mode")))
            process.halt(paths)
            inits.tell(paths, False)
            files.write_json(paths.config, {k: v for k, v in settings.items() if k not in ("token", "key")})
            own = (paths.identity, paths.epoch, paths.update, paths.status, paths.motd, paths.log, paths.log + ".1")
            removed = 0
            for path in own:
                removed += files.remove(path)
                files.remove(files.aside(path))
            shutil.rmtree(paths.work, ignore_errors=True)
    except OSError as error:
        raise files.refusal(error) from error
    return {"ok": True, "removed": removed}


def read(path: str) -> Dict[str, Any]:
    """An image's settings. Refusal when they are not."""
    try:
        found = files.read_json(path)
    except OSError as error:
        raise files.refusal(error) from error
    if found is None or any(not found.get(name) for name in NEEDED) or not isinstance(found["keys"], list):
        raise Refusal("{} holds no settings of an image.".format(path), "Take the file that the console gives out.")
    url = client.check_url(str(found["url"]), bool(found.get("allow_http")))
    kept = ("channel", "keys", "platform", "metadata")
    settings = {name: found[name] for name in kept if name in found}
    return dict(settings, url=url, ca=found.get("ca"), proxy=found.get("proxy"))


def for_boot(paths: Paths) -> str:
    """What will start this host when it boots, by what is installed: nothing runs here yet."""
    if any(os.path.exists(os.path.join(folder, "systemd/systemd")) for folder in ("/lib", "/usr/lib")):
        return inits.SYSTEMD
    if shutil.which("openrc-run") and shutil.which("rc-update"):
        return inits.OPENRC
    if os.path.isdir("/etc/init.d"):
        return inits.SYSVINIT
    raise Refusal("Nothing was found here that would start the agent with the host.", "Install systemd or an init.")
