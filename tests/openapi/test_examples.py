"""Every example of the OpenAPI document, driven: its request is sent to a console in the matching state, and the answer
has the documented status, fits the documented schema and has the example's fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from jsonschema import Draft202012Validator

from accounts.models import CloudAccount
from console.lib import seal
from providers import sandbox
from providers.models import Customer, Delivery, Mail, MailTemplate, Webhook
from servers.installs.models import Install, InstallBatch
from servers.models import Server
from tests.factories import EndpointFactory, MembershipFactory
from tests.openapi.stage import Stage

JSON = "application/json"
FORMATS = Draft202012Validator.FORMAT_CHECKER
# Bodies and answers: of this status the document has no example, since there is nothing in it.
EMPTY = "204"


def _nobody_there(_: Stage) -> None:
    Customer.objects.filter(external_id="c-1001").update(external_id="c-elsewhere")


def _there(stage: Stage) -> None:
    assert stage.provider.customers.filter(external_id="c-1001").exists()


def _somebody_of_it(stage: Stage) -> None:
    MembershipFactory(customer=stage.provider.customers.get(external_id="c-1001"))


def _no_webhook(_: Stage) -> None:
    Webhook.objects.update(url="https://1.0.0.1/")


def _its_webhook(stage: Stage) -> None:
    Webhook.objects.filter(provider=stage.provider).update(url="https://billing.example.com/muster")


def _published(stage: Stage) -> None:
    MailTemplate.objects.filter(provider=stage.provider).update(published_at=timezone.now())


def _pushed(stage: Stage) -> None:
    CloudAccount.objects.get(customer__provider=stage.provider, external_id="main").pushes.create(
        version=1, actor_name="north", outcome="passed"
    )


def _with_addresses(_: Stage) -> None:
    nic = {"ip": "10.0.0.4", "version": 4, "kind": "fixed", "network": "private", "mac": "fa:16:3e:5b:00:04"}
    Server.objects.update(addresses=[nic])


def _tried(_: Stage) -> None:
    tried = {"at": timezone.now().isoformat(), "status": 204, "seconds": 0.1, "words": "It answered 204.", "sent": 1}
    Delivery.objects.update(tries=[tried])


def _with_events(_: Stage) -> None:
    Webhook.objects.update(events=["account.verified"])


def _with_clouds(stage: Stage) -> None:
    EndpointFactory(provider=sandbox.twin(stage.provider), slug="openstack")


def _mail_kept(stage: Stage) -> None:
    customer = sandbox.twin(stage.provider).customers.get(external_id="c-1001")
    mail = Mail(customer=customer, kind="welcome", to=customer.email)
    place = seal.Place("providers_mail", "params", str(mail.pk), str(customer.pk))
    mail.params = {"sealed": seal.close({"subject": "Welcome", "text": "Hello Ada"}, place)}
    mail.save()


def _under_way(_: Stage) -> None:
    batch = InstallBatch.objects.get()
    Install.objects.create(batch=batch, server=Server.objects.get(account__customer=batch.customer, name="web-1"))


def _looked(stage: Stage) -> None:
    """Its look is over, and its credentials are there."""
    _under_way(stage)
    batch = InstallBatch.objects.get()
    batch.held, batch.sealed_until = True, timezone.now() + timedelta(minutes=30)
    batch.close_credentials({"password": "s3cret"})
    batch.save()


def _failed(stage: Stage) -> None:
    _under_way(stage)
    Install.objects.update(state="failed", ended_at=timezone.now())
    _with_addresses(stage)


def _asks(stage: Stage) -> None:
    """It waits for a host key, the example's."""
    _looked(stage)
    shown = "SHA256:8Yh1nXQmJcN0r0mVvQm3cGzYk2yDq2k3m1o8bqkZr5E"
    Install.objects.update(state="waiting", stage="verify_host", fingerprint=shown, host_key="AAAA",
                           host_key_type="ssh-ed25519")  # fmt: skip


def _snapshot_taken(stage: Stage) -> None:
    assert stage.cloud
    [web] = [one for one in stage.cloud.instances.values() if one.name == "web-1"]
    if not any(image.name == "before-upgrade" for image in stage.cloud.images.values()):
        stage.cloud.snapshot(web.id, "before-upgrade")


# (operationId, status) → what makes the stage answer so. Without an entry: the stage as it stands.
STATES: dict[tuple[str, str], Callable[[Stage], None]] = {
    ("customers_create", "201"): _nobody_there,
    ("customers_create", "200"): _there,
    ("customers_put", "201"): _nobody_there,
    ("customers_put", "200"): _there,
    ("customers_handoff", "201"): _somebody_of_it,
    ("webhooks_add", "201"): _no_webhook,
    ("webhooks_add", "200"): _its_webhook,
    **dict.fromkeys(
        [("webhooks_list", "200"), ("webhooks_read", "200"), ("webhooks_change", "200"), ("webhooks_rotate", "200")],
        _with_events,
    ),
    **dict.fromkeys(
        [("servers_list", "200"), ("sandbox_manage", "200"), ("my_servers_list", "200"), ("my_servers_read", "200")],
        _with_addresses,
    ),
    ("accounts_pushes", "200"): _pushed,
    ("deliveries_read", "200"): _tried,
    ("sandbox_read", "200"): _with_clouds,
    ("sandbox_mails", "200"): _mail_kept,
    ("my_snapshots_list", "200"): _snapshot_taken,
    ("my_installs_read", "200"): _under_way,
    ("my_installs_go_on", "202"): _looked,
    ("my_installs_cancel", "200"): _under_way,
    ("my_installs_retry", "202"): _failed,
    ("my_installs_confirm_keys", "202"): _asks,
    ("mail_templates_withdraw", "200"): _published,
}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def requests_of(operation: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """Name, media type and body of each example of what is sent; one without a body where there is none to send."""
    if "requestBody" not in operation:
        return [("no body", JSON, None)]
    return [
        (name, kind, one["value"])
        for kind, said in operation["requestBody"]["content"].items()
        for name, one in said.get("examples", {}).items()
    ]


def answers_of(operation: dict[str, Any]) -> dict[str, list[Any]]:
    """Status that means success → the examples of that answer."""
    return {
        status: [one["value"] for one in said.get("content", {}).get(JSON, {}).get("examples", {}).values()]
        for status, said in operation["responses"].items()
        if status < "300"
    }


def is_file(operation: dict[str, Any], status: str) -> bool:
    return JSON not in operation["responses"][status].get("content", {JSON: {}})


def missing(shown: Any, told: Any, at: str = "") -> list[str]:
    """Where the example has other fields than the answer, or a row where the answer has none. The keys of `FREE` maps
    are values of the answer."""
    if isinstance(shown, dict) and isinstance(told, dict):
        if at.rpartition(".")[2] in FREE:
            return []
        apart = [f"{at}.{name}" for name in sorted(shown.keys() ^ told.keys())]
        return apart + [
            one for name in shown.keys() & told.keys() for one in missing(shown[name], told[name], f"{at}.{name}")
        ]
    if isinstance(shown, list) and isinstance(told, list) and shown:
        return missing(shown[0], told[0], f"{at}[]") if told else [f"{at} (empty)"]
    return []


FREE = {"params", "counts", "errors", "missing", "data", "headers", "credentials"}


class Judge:
    """Holds values against the document's schemas."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def faults(self, schema: dict[str, Any], value: Any) -> list[str]:
        whole = _modern(schema) | {"components": _modern(self.document["components"])}
        return [
            f"{fault.json_path}: {fault.message}"
            for fault in Draft202012Validator(whole, format_checker=FORMATS).iter_errors(value)
        ]


def _modern(schema: Any) -> Any:
    """OpenAPI 3.0's `nullable` as JSON Schema has it."""
    if isinstance(schema, list):
        return [_modern(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _modern(one) for name, one in schema.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def sent(stage: Stage, method: str, address: str, kind: str, body: Any, once: str = "") -> Any:
    """`once`: the Idempotency-Key."""
    data = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    headers = {"Authorization": f"Bearer {stage.secret(address)}", **({"Idempotency-Key": once} if once else {})}
    return Client().generic(method.upper(), address, data, kind, headers=headers)


@pytest.fixture
def judge(document: dict[str, Any]) -> Judge:
    return Judge(document)


def test_every_operation_has_an_example_of_what_it_takes_and_of_what_it_answers(document: dict[str, Any]) -> None:
    without = [
        operation["operationId"]
        for _, _, operation in operations(document)
        if not requests_of(operation)
        or any(
            not shown
            for status, shown in answers_of(operation).items()
            if status != EMPTY and not is_file(operation, status)
        )
    ]
    assert not without


def test_every_example_fits_its_schema(document: dict[str, Any], judge: Judge) -> None:
    faults = []
    for _, _, operation in operations(document):
        parts = [*operation.get("requestBody", {}).get("content", {}).values()]
        parts += [said for one in operation["responses"].values() for said in one.get("content", {}).values()]
        for said in parts:
            for name, one in said.get("examples", {}).items():
                if not isinstance(one["value"], str):
                    faults += [
                        (operation["operationId"], name, why) for why in judge.faults(said["schema"], one["value"])
                    ]
    assert not faults, "\n".join(map(str, faults))


def test_every_example_is_answered_as_the_document_says(staged: Stage, document: dict[str, Any], judge: Judge) -> None:
    faults: list[Any] = []
    for path, method, operation in operations(document):
        name = operation["operationId"]
        address = path.format(
            **{one["name"]: one["example"] for one in operation.get("parameters", []) if one["in"] == "path"}
        )
        for status, shown in answers_of(operation).items():
            for title, kind, body in requests_of(operation):
                with transaction.atomic():
                    STATES.get((name, status), lambda _: None)(staged)
                    reply = sent(staged, method, address, kind, body)
                    transaction.set_rollback(True)
                what = (name, title, status)
                if str(reply.status_code) != status:
                    faults.append((*what, reply.status_code, reply.content[:300]))
                    continue
                if status == EMPTY:
                    continue
                kinds = operation["responses"][status]["content"]
                if is_file(operation, status):
                    faults += [] if reply["Content-Type"] in kinds and reply.content else [(*what, "is no such file")]
                    continue
                said = kinds[JSON]
                faults += [(*what, why) for why in judge.faults(said["schema"], reply.json())]
                faults += [(*what, "differs at", where) for one in shown for where in missing(one, reply.json())]
    assert not faults, "\n".join(map(str, faults))
