"""The docs' matrix is what the console itself asks."""

from __future__ import annotations

import re

import pytest

from accounts import clouds
from accounts.clouds import matrix
from accounts.clouds.operations import Operation
from tests.shared import ROOT

TABLES = [(platform, generation) for platform in clouds.platforms() for generation in clouds.tables(platform)]


def test_the_page_in_the_docs_is_the_one_that_the_tables_make():
    page = (ROOT / "docs" / "clouds.md").read_text()
    assert page == matrix.markdown(), "run: manage.py cloud_matrix > docs/clouds.md"


@pytest.mark.parametrize(("platform", "generation"), TABLES)
def test_every_operation_is_answered_and_every_no_is_a_sentence(platform, generation):
    table = clouds.tables(platform)[generation]
    assert set(table) == set(Operation)
    for operation, capability in table.items():
        assert capability.allowed or capability.reason, operation
        assert not capability.states or capability.reason, operation
        if capability.reason:
            assert re.fullmatch(r"[A-Z0-9].*\.", capability.reason), (operation, capability.reason)
            assert "not yet" not in capability.reason.lower(), operation
