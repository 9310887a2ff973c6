"""A small SSH server on paramiko, for sign-ins that an sshd without PAM cannot play: passwords and dialogues."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import paramiko


class PasswordServer(paramiko.ServerInterface):
    """Lets `someone` in by `password`, or by the `prompts` of a keyboard-interactive dialogue, each with its answer."""

    def __init__(self, folder: Path, password: str = "", prompts: tuple[tuple[str, str], ...] = ()) -> None:
        self.folder, self.password, self.prompts = folder, password, list(prompts)
        self.key = paramiko.Ed25519Key.from_private_key_file(str(folder / "host"))

    def speak(self, line: socket.socket) -> None:
        """Serve one connection, until it ends (for tests.farside.listener)."""
        transport = paramiko.Transport(line)
        transport.add_server_key(self.key)
        transport.start_server(event=threading.Event(), server=self)
        transport.join()

    def get_allowed_auths(self, username: str) -> str:
        return "keyboard-interactive" if self.prompts else "password"

    def check_auth_password(self, username: str, password: str) -> int:
        right = not self.prompts and (username, password) == ("someone", self.password)
        return paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED

    def check_auth_interactive(self, username: str, submethods: str) -> int | paramiko.server.InteractiveQuery:
        return paramiko.server.InteractiveQuery("", "", (self.prompts[0][0], False)) if self.prompts else 0

    def check_auth_interactive_response(self, responses: list[str]) -> int | paramiko.server.InteractiveQuery:
        _, answer = self.prompts.pop(0)
        if responses != [answer]:
            return paramiko.AUTH_FAILED
        if self.prompts:
            return paramiko.server.InteractiveQuery("", "", (self.prompts[0][0], False))
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._run, args=(channel, command.decode()), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        given = channel.makefile("rb").read()
        environment = {"PATH": os.environ["PATH"], "TMPDIR": str(self.folder), "HOME": str(self.folder),
                       "MUSTER_AGENT_PREFIX": str(self.folder / "prefix")}  # fmt: skip
        done = subprocess.run(
            ["/bin/sh", "-c", command], input=given, capture_output=True, env=environment, check=False
        )
        channel.sendall(done.stdout)
        channel.sendall_stderr(done.stderr)
        channel.send_exit_status(done.returncode)
        channel.close()
