"""OpenAPI links: which ids of an answer name what other calls want, so that programs and people can follow them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

PROVIDERS, CUSTOMERS = "/api/provider/v1", "/api/v1"


@dataclass(frozen=True)
class Source:
    """An answer that tells ids: the operation, its statuses, and where each path parameter stands in it.

    They lead to every operation at `under` and below it that wants these parameters and no other.
    """

    operation: str
    statuses: tuple[str, ...]
    under: str
    ids: dict[str, str]


def _body(pointer: str) -> str:
    return f"$response.body#/{pointer}"


def _told(under: str, name: str, field: str, *makers: tuple[str, str], listed: str = "", **more: str) -> list[Source]:
    """`makers` answer with one, whose `field` is the parameter `name`; `listed` with a page of them."""
    sources = [
        Source(operation, tuple(statuses.split()), under, {**more, name: _body(field)})
        for operation, statuses in makers
    ]
    if listed:
        sources.append(Source(listed, ("200",), under, {**more, name: _body(f"results/0/{field}")}))
    return sources


_OWNER: Final = {"external_id": "$request.path.external_id"}
SOURCES: Final = [
    *_told(
        f"{PROVIDERS}/customers/{{external_id}}", "external_id", "external_id", ("customers_create", "200 201"),
        ("customers_put", "200 201"), listed="customers_list",
    ),
    *_told(
        f"{PROVIDERS}/customers/{{external_id}}/accounts/{{account_id}}", "account_id", "account_id",
        ("accounts_put", "202"), listed="accounts_list", **_OWNER,
    ),
    *_told(
        f"{PROVIDERS}/sandbox/customers/{{external_id}}", "server_id", "external_id", listed="servers_list", **_OWNER
    ),
    *_told(
        f"{PROVIDERS}/webhooks/{{webhook_id}}", "webhook_id", "id", ("webhooks_add", "200 201"), listed="webhooks_list"
    ),
    *_told(
        f"{PROVIDERS}/deliveries/{{delivery_id}}", "delivery_id", "id", ("webhooks_test", "202"),
        ("deliveries_redeliver", "202"), listed="deliveries_list",
    ),
    *_told(f"{PROVIDERS}/imports/{{id}}", "id", "id", ("imports_create", "202"), listed="imports_list"),
    *_told(
        f"{PROVIDERS}/mail-templates/{{id}}", "id", "id", ("mail_templates_create", "201"),
        listed="mail_templates_list",
    ),
    *_told(f"{CUSTOMERS}/servers/{{id}}", "id", "id", listed="my_servers_list"),
    *_told(f"{CUSTOMERS}/accounts/{{id}}", "id", "id", listed="my_accounts_list"),
    *_told(f"{CUSTOMERS}/actions/{{id}}", "id", "id", ("my_actions_create", "202"), ("my_servers_create", "202")),
    *_told(f"{CUSTOMERS}/installs/{{id}}", "id", "id", ("my_installs_create", "202")),
]  # fmt: skip


def write(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's hook: the links of every answer in `SOURCES`."""
    known = {operation["operationId"]: operation for _, _, operation in operations(result)}
    for source in SOURCES:
        targets = {
            operation["operationId"]: {"operationId": operation["operationId"], "parameters": source.ids}
            for path, _, operation in operations(result)
            if path.startswith(source.under) and in_path(operation) == set(source.ids)
        }
        for status in source.statuses:
            known[source.operation]["responses"][status].setdefault("links", {}).update(targets)
    return result


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation of the document with its path and method."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def in_path(operation: dict[str, Any]) -> set[str]:
    """The names of its path parameters."""
    return {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
