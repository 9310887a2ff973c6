"""The program that runs on the server: what it imports, and the JSON that it writes by itself to import less."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from servers.installs import bootstrap
from tests import farside

DEAR = {"json", "re", "enum", "hashlib", "subprocess", "socket", "ssl", "urllib", "encodings.idna", "threading"}


@pytest.fixture(scope="module")
def onhost() -> object:
    """The module, which reads its mark from the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["-c", "mark"])
        return importlib.import_module("servers.installs.onhost")


@given(st.text(st.characters()))
@example('\ud800 lone, 😀 \U0010ffff, "quoted" \\ \n \x7f é')
def test_whatever_it_says_is_read_as_it_was_meant(onhost: object, text: str) -> None:
    said = onhost.line_of("stop", said=text, sudo=True, uid=7, result='{"ok": true}')  # type: ignore[attr-defined]
    assert said.isascii() and "\n" not in said
    assert json.loads(said) == {"event": "stop", "said": text, "sudo": True, "uid": 7, "result": {"ok": True}}


def test_an_install_that_goes_well_imports_nothing_dear_on_the_server(console: str, tmp_path: Path) -> None:
    given = bootstrap.stream(farside.payload(console), "muster-x", use_sudo=False, sudo_password=None, reach=5,
                             patience=60, detach=False)  # fmt: skip
    start = [sys.executable, "-E", "-s", "-S", "-X", "importtime", "-c", bootstrap.LOADER]
    done = subprocess.run(
        [*start, "mark", str(len(bootstrap.program())), "exec"], input=given, capture_output=True, check=True,
        env={"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "MUSTER_AGENT_PREFIX": str(tmp_path / "prefix")},
    )  # fmt: skip
    assert b'"result": {"ok": true' in done.stdout
    imported = set(re.findall(r"\| +([\w.]+)\n", done.stderr.decode()))
    assert "posix" in imported, "it says what it imports"
    assert not imported & DEAR


@pytest.mark.parametrize("rubbish", ["", "[]", "{}", '{"ok": true, "a": "é"}', '{"ok": true, "half": ', '{"ok": 1}'])
def test_only_an_answer_of_the_installer_is_taken_for_one(onhost: object, rubbish: str) -> None:
    names = {name: getattr(onhost, name) for name in dir(onhost) if not name.startswith("__")}
    text = Path(bootstrap.__file__).with_name("onhost_work.py").read_text().partition("\ntry:\n    work()")[0]
    exec(compile(text, "onhost_work.py", "exec"), names)  # noqa: S102 - as the server does it
    verdict: Callable[[str], tuple[bool, str] | None] = names["verdict"]  # type: ignore[assignment]
    told = verdict(rubbish)
    assert told is None or (told[0] is ('"ok": true' in rubbish) and json.loads(told[1])["ok"])
    assert (told is None) == (rubbish in ("", "[]", "{}", '{"ok": true, "half": '))
