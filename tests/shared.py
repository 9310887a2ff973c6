"""The folder of recorded truth beside the checkout: read in place, never copied into the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared(*parts: str) -> Path:
    """A path under `../shared`; skips the test when it is absent, fails it under REQUIRE_ALL=1."""
    path = ROOT.parent.joinpath("shared", *parts)
    if not path.exists():
        words = f"recorded truth is absent: ../shared/{'/'.join(parts)} (it is not part of the repository)"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(words)
        pytest.skip(words)
    return path
