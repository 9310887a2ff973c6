"""The samples of the OpenAPI document, taken as who copies them does: a shell reads the curl one, and the
Python one is run against a console that listens."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.openapi import stage

RUN = (
    "customers_list", "customers_put", "customers_create", "accounts_put", "accounts_read", "customers_handoff",
    "webhooks_add", "webhooks_change", "webhooks_remove", "imports_create", "sandbox_reset", "my_servers_list",
    "my_actions_create", "agent_packages_fetch",
)  # fmt: skip


def samples(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any], dict[str, str]]]:
    """Address, method, operation and one of its samples."""
    return [
        (path, method, operation, one)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for one in operation["x-codeSamples"]
    ]


def shown(operation: dict[str, Any]) -> list[Any]:
    """The bodies of its examples."""
    content = operation.get("requestBody", {}).get("content", {})
    return [one["value"] for said in content.values() for one in said.get("examples", {}).values()]


def test_every_operation_has_a_sample_in_curl_and_in_python(document: dict[str, Any]) -> None:
    for _, methods in document["paths"].items():
        for operation in methods.values():
            assert {one["lang"] for one in operation["x-codeSamples"]} == {"Shell", "Python"}, operation["operationId"]


def test_a_shell_reads_every_curl_sample_as_the_call_of_its_example(document: dict[str, Any]) -> None:
    for path, method, operation, one in samples(document):
        if one["lang"] != "Shell":
            continue
        words = shlex.split(one["source"].replace("\\\n", " "))
        options = {name: words[at + 1] for at, name in enumerate(words) if name in ("-X", "--data-binary")}
        headers = [words[at + 1] for at, name in enumerate(words) if name == "-H"]
        ids = {given["name"]: given["example"] for given in operation.get("parameters", []) if given["in"] == "path"}
        assert words[0] == "curl"
        assert settings.PUBLIC_URL + path.format(**ids) in words
        assert options.get("-X", "GET") == method.upper()
        assert headers[0] == f"Authorization: Bearer ${'TOKEN' if path.startswith('/api/v1/') else 'KEY'}"
        if "--data-binary" in options:
            sent = options["--data-binary"]
            assert sent in shown(operation) or json.loads(sent) in shown(operation)
        else:
            assert not shown(operation)


def test_every_python_sample_is_python(document: dict[str, Any]) -> None:
    for _, _, operation, one in samples(document):
        if one["lang"] == "Python":
            compile(one["source"], operation["operationId"], "exec")


@pytest.mark.django_db(transaction=True)
def test_python_samples_run_against_a_console_that_listens(
    live_server: Any,
    document: dict[str, Any],
    ids: dict[str, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    ran = set()
    monkeypatch.chdir(tmp_path)  # a sample may save a file
    with stage.set_up(ids) as who:
        for path, _, operation, one in samples(document):
            if one["lang"] != "Python" or operation["operationId"] not in RUN:
                continue
            monkeypatch.setenv("KEY", who.secret(path))
            monkeypatch.setenv("TOKEN", who.token)
            if operation["operationId"] == "customers_handoff":
                stage.MembershipFactory(customer=who.provider.customers.get(external_id="c-1001"))
            source = one["source"].replace(settings.PUBLIC_URL, live_server.url)
            exec(source, {})  # noqa: S102 - what it is for; it raises when the call was refused
            assert capsys.readouterr().out.strip()
            ran.add(operation["operationId"])
    assert ran == set(RUN)
