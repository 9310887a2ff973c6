"""A pytest plugin (loaded by `-p tests.demands`): the large numbers (`--full`), and skips that are failures.

With `--full` or MUSTER_FULL=1 tests use the counts that the issues name. With REQUIRE_ALL=1 (CI) a skip fails.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        default=os.environ.get("MUSTER_FULL") == "1",
        help="use the large numbers that the issues name",
    )


@pytest.fixture(scope="session")
def full_or(request: pytest.FixtureRequest) -> Callable[[Any, Any], Any]:
    """`full_or(200, 60)`: 200 with --full, else 60."""
    full = bool(request.config.getoption("full"))
    return lambda large, small: large if full else small


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `full` belong to --full alone."""
    if config.getoption("full"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _demanded(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and os.environ.get("REQUIRE_ALL") == "1" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_ALL=1, and this did not run: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _demanded(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _demanded(report)
    return report
