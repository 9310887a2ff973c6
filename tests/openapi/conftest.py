"""The document as it is served, and the stage that its examples speak of."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from django.test import Client

from tests.openapi import stage


@pytest.fixture(scope="session")
def document(django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    """`/api/schema/`, as it is served."""
    with django_db_blocker.unblock():
        reply = Client().get("/api/schema/")
    served: dict[str, Any] = yaml.load(reply.content, yaml.CSafeLoader)
    return served


@pytest.fixture(scope="session")
def ids(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    """operationId → the path parameters of its example."""
    return {
        operation["operationId"]: {
            one["name"]: one["example"] for one in operation.get("parameters", []) if one["in"] == "path"
        }
        for methods in document["paths"].values()
        for operation in methods.values()
    }


@pytest.fixture
def staged(db: None, ids: dict[str, dict[str, str]]) -> Any:
    """The stage. It commits for a test that asks for `transactional_db`."""
    with stage.set_up(ids) as made:
        yield made
