"""Copy-paste samples of every operation, in curl and Python, written from the document's own examples."""

from __future__ import annotations

import json
import pprint
import shlex
from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings

from console.lib.api.links import CUSTOMERS, operations

NOTHING: Final = object()
JSON: Final = "application/json"
SAVING: Final = (
    'name = reply.headers["Content-Disposition"].split(\'"\')[1]',
    'with open(name, "wb") as file:',
    "    file.write(reply.content)",
    "print(name)",
)


def write(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's hook: `x-codeSamples` of every operation, two for each example of its body.

    `$KEY` (of a provider) or `$TOKEN` (of a customer) is the caller's; everything else can be sent as it stands.
    """
    for path, method, operation in operations(result):
        ids = {one["name"]: one["example"] for one in operation.get("parameters", []) if one["in"] == "path"}
        url = f"{settings.PUBLIC_URL}{path.format(**ids)}"
        secret = "TOKEN" if path.startswith(f"{CUSTOMERS}/") else "KEY"
        operation["x-codeSamples"] = [
            {"lang": lang, "label": label + (f": {title}" if title else ""), "source": source}
            for title, media_type, body in bodies(operation)
            for lang, label, source in (
                ("Shell", "curl", curl(method, url, secret, media_type, body, saves(operation))),
                ("Python", "Python", python(method, url, secret, media_type, body, saves(operation))),
            )
        ]
    return result


def bodies(operation: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Title, media type and value of each example of the body; one without any for an operation that takes none.

    The title is empty where there is but one.
    """
    content = operation.get("requestBody", {}).get("content", {})
    found = [
        (one.get("summary", name), media_type, one["value"])
        for media_type, said in content.items()
        for name, one in said.get("examples", {}).items()
    ] or [("", JSON, NOTHING)]
    for title, media_type, value in found:
        yield title if len(found) > 1 else "", media_type, value


def saves(operation: dict[str, Any]) -> bool:
    """Whether it answers with a file, which names itself."""
    content = operation["responses"].get("200", {}).get("content", {})
    return bool(content) and JSON not in content


def curl(method: str, url: str, secret: str, media_type: str, body: Any, file: bool = False) -> str:
    """One command for a POSIX shell."""
    asked = "-OJ " if file else "" if method == "get" else f"-X {method.upper()} "
    lines = [f"curl {asked}{shlex.quote(url)}", f'-H "Authorization: Bearer ${secret}"']
    if body is not NOTHING:
        text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
        lines += [f"-H 'Content-Type: {media_type}'", f"--data-binary {shlex.quote(text)}"]
    return " \\\n  ".join(lines)


def python(method: str, url: str, secret: str, media_type: str, body: Any, file: bool = False) -> str:
    """A few lines for the requests library."""
    headers = f'"Authorization": f"Bearer {{os.environ[\'{secret}\']}}"'
    if isinstance(body, str):
        headers += f', "Content-Type": "{media_type}"'
        told = [f"    data={body!r}.encode(),"]
    elif body is NOTHING:
        told = []
    else:
        value = pprint.pformat(body, width=100, sort_dicts=False).replace("\n", "\n         ")
        told = [f"    json={value},"]
    return "\n".join(
        [
            "import os",
            "",
            "import requests",
            "",
            f"reply = requests.{method}(",
            f"    {json.dumps(url)},",
            f"    headers={{{headers}}},",
            *told,
            "    timeout=60,",
            ")",
            "reply.raise_for_status()",
            *(SAVING if file else ["print(reply.json())" if method != "delete" else "print(reply.status_code)"]),
        ]
    )
