"""The command line. The last line on standard output is one JSON object, `{"ok": true, …}`, or `{"ok": false, "cause",
"fix"}` with exit status 1; `status`, `doctor` and `leave` speak to a person, unless --json is given."""

import argparse
import json
import os
import sys
from typing import Any, Dict, List, NoReturn

from . import inits, paths, plain, process, protocol
from .refusal import Refusal


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refusal("The command is not complete: {}.".format(message), "See: muster-agent --help")


def parser() -> Parser:
    whole = Parser(prog="muster-agent", description="Reports this server to its Muster console.")
    whole.add_argument("--version", action="version", version="muster-agent " + protocol.VERSION)
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    install = commands.add_parser("install", help="install or update, and start")
    install.add_argument("--image", metavar="FILE", help="settings of an image, in place of all others")
    install.add_argument("--url", help="the console, as https://console.example.com")
    install.add_argument("--token-file", help="file with the join token, removed once read; - for input")
    install.add_argument("--ca-file", help="PEM certificates to trust in place of the system's")
    install.add_argument("--proxy", help="http://[user:password@]host:port, or none; otherwise from the environment")
    install.add_argument("--allow-http", action="store_true", help="report over http:// to another host")
    install.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="wait for the first check-in")
    commands.add_parser("seal", help="forget who this machine is, before an image is made of it")
    commands.add_parser("uninstall", help="stop, and remove every file")
    commands.add_parser("boot", help="start, unless it runs")
    commands.add_parser("halt", help="stop until the next boot")
    for name, words in (
        ("status", "say whether it reports"),
        ("doctor", "find what hinders it, and say what to do"),
        ("leave", "tell the console that this server leaves, and uninstall"),
    ):
        commands.add_parser(name, help=words).add_argument("--json", action="store_true", help="one JSON object")
    commands.add_parser("run", help="report in the foreground (what the supervisor starts)")
    commands.add_parser("supervise", help="keep run alive in the foreground (what the service runs)")
    return whole


def deed(given: argparse.Namespace) -> Dict[str, Any]:
    """Do what the command says."""
    where = paths.find()
    if given.command == "install" and given.image:
        from .image import lay

        return lay(where, given.image)
    if given.command == "seal":
        from .image import seal

        return seal(where)
    if given.command == "install":
        from .install import install

        if not given.url or not given.token_file:
            raise Refusal("The command is not complete: --url and --token-file are needed.", "See: muster-agent --help")
        return install(
            where, given.url, given.token_file, given.ca_file, given.proxy, given.allow_http, max(0.0, given.wait)
        )
    if given.command == "uninstall" or (given.command == "boot" and os.path.exists(where.leaving)):
        from .uninstall import uninstall

        return uninstall(where)
    if given.command == "status":
        from .status import report

        return report(where)
    if given.command == "doctor":
        from .doctor import examine

        return examine(where)
    if given.command == "leave":
        from .leave import leave

        return leave(where)
    if given.command == "boot":
        try:
            process.boot(where)
        finally:
            inits.tell(where, process.holders(where) is not None)
        return {"ok": True, "pids": process.holders(where) or []}
    if given.command == "halt":
        was_running = process.halt(where)
        inits.tell(where, False)
        return {"ok": True, "was_running": was_running}
    raise Refusal("No command was given.", "See: muster-agent --help")


def obey(words: List[str]) -> int:
    given = argparse.Namespace(json=True)
    try:
        given = parser().parse_args(words)
        said = deed(given)
    except Refusal as refusal:
        said = {"ok": False, "cause": refusal.cause, "fix": refusal.fix}
    if getattr(given, "json", True):
        return say(said)
    sys.stdout.write(plain.words_of(given.command, said))
    return 0 if said["ok"] else 1


def say(said: Dict[str, Any]) -> int:
    print(json.dumps(said), flush=True)
    return 0 if said["ok"] else 1
