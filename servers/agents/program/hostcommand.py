"""Commands of this host, run to their end."""

import subprocess
from typing import List, Optional

from .refusal import Refusal

LONGEST = 90  # seconds


def call(*words: str) -> None:
    """One of a service manager's. Refusal when it cannot be run, or fails, in its own words."""
    try:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=LONGEST
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refusal(
            "{} could not be run ({}).".format(words[0], error), "Check the service manager of this host."
        ) from error
    if done.returncode != 0:
        said = " ".join(done.stdout.decode("utf-8", "replace").split())[:300]
        raise Refusal(
            "'{}' failed: {}".format(" ".join(words), said or "no reason given"),
            "Run it by hand to see why, then try again.",
        )


def said(words: List[str], longest: float) -> Optional[bytes]:
    """What it wrote; None when it is not here, fails, or takes longer than so many seconds."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=longest
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
