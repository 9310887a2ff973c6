"""Every POST of the provider API, sent twice with one Idempotency-Key: the same answer and nothing done twice, or a
refusal in words where the answer holds a secret. The document says which."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import transaction

from console.lib import seal
from providers.models import ApiCall, Replay
from tests.openapi.stage import PROVIDERS, Stage
from tests.openapi.test_examples import JSON, STATES, answers_of, operations, requests_of, sent

SECRETS = {"secret", "token", "password", "key"}


def posts(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Address by its example's ids, and the operation."""
    return [
        (path.format(**{one["name"]: one["example"] for one in operation["parameters"] if one["in"] == "path"})
         if "parameters" in operation else path, operation)
        for path, method, operation in operations(document)
        if method == "post" and path.startswith(PROVIDERS)
    ]  # fmt: skip


def takes_key(operation: dict[str, Any]) -> bool:
    return any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", []))


def rows() -> dict[str, int]:
    """How many there are of everything, but for the log of calls."""
    return {one._meta.label: one._default_manager.count() for one in apps.get_models() if one is not ApiCall}


def there(stage: Stage, operation: dict[str, Any]) -> tuple[str, Any]:
    """The stage in the state in which the call is done; media type and body of its example."""
    status = sorted(answers_of(operation))[-1]  # where there is a 201: something is made
    STATES.get((operation["operationId"], status), lambda _: None)(stage)
    return next((kind, body) for _, kind, body in requests_of(operation) if kind == JSON)


def test_a_repeat_is_answered_as_the_first_call_and_nothing_is_done_twice(
    staged: Stage, document: dict[str, Any]
) -> None:
    kept = [(address, operation) for address, operation in posts(document) if takes_key(operation)]
    assert len(kept) >= 12
    for address, operation in kept:
        name = operation["operationId"]
        with transaction.atomic():
            kind, body = there(staged, operation)
            first = sent(staged, "post", address, kind, body, "k1")
            assert first.status_code < 300, (name, first.content)
            before = rows()
            again = sent(staged, "post", address, kind, body, "k1")
            assert (again.status_code, again.json()) == (first.status_code, first.json()), name
            assert rows() == before, name
            other = sent(staged, "post", address, kind, {"other": "body"}, "k1")
            assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused"), name
            elsewhere = sent(staged, "post", f"{address}?elsewhere=1", kind, body, "k1")
            assert elsewhere.status_code == 422, name
            assert rows() == before, name
            answer = Replay.objects.get().answer
            words = str(answer).replace("password:", "")  # a mail's own words, and no name of what follows
            assert seal.redact(words) == words and not SECRETS & set(answer), f"{name} keeps a secret"
            transaction.set_rollback(True)


def test_a_call_whose_answer_holds_a_secret_refuses_the_key_in_words_and_says_so_in_the_document(
    staged: Stage, document: dict[str, Any]
) -> None:
    secret = [(address, operation) for address, operation in posts(document) if not takes_key(operation)]
    assert {operation["operationId"] for _, operation in secret} == {
        "customers_handoff", "webhooks_add", "webhooks_rotate", "join_tokens_create",
    }  # fmt: skip
    for address, operation in secret:
        with transaction.atomic():
            kind, body = there(staged, operation)
            before = rows()
            refused = sent(staged, "post", address, kind, body, "k1")
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (400, "idempotency_key_unwanted"), operation["operationId"]
            assert "Leave the Idempotency-Key out" in error["message"]
            assert "Idempotency-Key" in operation["responses"]["400"]["description"]
            assert rows() == before
            assert sent(staged, "post", address, kind, body).status_code < 300
            transaction.set_rollback(True)
