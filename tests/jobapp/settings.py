"""Muster's settings with the test's own kinds of work beside the real ones. For worker processes only."""

from console.settings import *  # noqa: F403
from console.settings import INSTALLED_APPS as REAL

INSTALLED_APPS = [*REAL, "tests.jobapp"]
