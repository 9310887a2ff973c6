"""Logs: one JSON object a line, with the request's id, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from console.lib import seal

CANARY = "canary-9f2b7c1d44e0a6"


class Lines:
    """What was logged since, as the file would hold it."""

    def __init__(self, stream: io.StringIO) -> None:
        self.stream = stream

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The real handler with its real formatter, writing where the test can read."""
    [handler] = [
        one for one in logging.getLogger().handlers if isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)
    ]
    stream = io.StringIO()
    before = handler.setStream(stream)
    yield Lines(stream)
    handler.setStream(before)


def test_every_line_of_a_request_carries_the_id_that_its_reply_shows(client, lines, db):
    reply = client.get("/healthz")
    bound = [event for event in lines.events if "request_id" in event]
    assert bound
    assert {event["request_id"] for event in bound} == {reply["X-Request-ID"]}


def test_a_library_that_logs_in_its_own_way_is_json_too(lines):
    logging.getLogger("some.library").warning("it said %s", "this")
    [event] = lines.events
    assert (event["event"], event["logger"], event["level"]) == ("it said this", "some.library", "warning")


def breaks_with_a_secret() -> None:
    raise ValueError(f"connecting to postgres://muster:{CANARY}@db.example/muster failed")


@pytest.mark.parametrize(
    "say",
    [
        lambda log: log.info("by name", password=CANARY, api_key=CANARY, authorization=CANARY, ssh_private_key=CANARY),
        lambda log: log.info("deep", credentials={"user": "x", "password": CANARY}, body={"a": [{"token": CANARY}]}),
        lambda log: log.info(f"a header: Bearer {CANARY}"),
        lambda log: log.info("a key", key=f"mst_live_abcdef_{CANARY}"),
        lambda log: log.info("a broker", url=f"redis://:{CANARY}@127.0.0.1:1/0"),
        lambda log: log.info("a pair", body=f'{{"username": "u", "password": "{CANARY}"}}'),
        lambda log: log.info("a query", url=f"https://x.example/?secret_key={CANARY}&b=1"),
        lambda log: log.info("a private key", text=f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n"),
        lambda log: log.info("a value", value=seal.Secret(CANARY)),
        lambda log: logging.getLogger("some.library").error("said Bearer %s", CANARY),
    ],
)
def test_no_secret_gets_into_a_line(lines, say):
    say(structlog.get_logger("test"))
    assert CANARY not in lines.text
    assert len(lines.events) == 1


@pytest.mark.parametrize("name", ["structlog", "logging"])
def test_no_secret_gets_in_with_a_traceback(lines, name):
    try:
        breaks_with_a_secret()
    except ValueError:
        if name == "structlog":
            structlog.get_logger("test").exception("it broke")
        else:
            logging.getLogger("some.library").exception("it broke")
    [event] = lines.events
    assert "breaks_with_a_secret" in event["exception"], "the trace is there"
    assert CANARY not in lines.text


def test_a_sign_in_and_an_api_call_leave_no_secret(client, lines, people):
    client.post("/auth/login/", {"login": "alice@example.com", "password": CANARY})
    client.put(
        "/api/provider/v1/customers/1",
        {"email": "x@example.com", "password": CANARY},
        content_type="application/json",
        headers={"authorization": f"Bearer mst_live_abcd_{CANARY}"},
    )
    assert lines.events
    assert CANARY not in lines.text
