"""Where the packed agent begins. What runs for as long as the host does begins here without the command line's
modules."""

import sys
from typing import List, Optional

from . import paths
from .refusal import Refusal


def main(words: Optional[List[str]] = None) -> int:
    given = sys.argv[1:] if words is None else words
    if given not in (["run"], ["supervise"]):
        from .commands import obey

        return obey(given)
    try:
        if given == ["run"]:
            from .run import run

            return run(paths.find())
        from .supervise import supervise

        return supervise(paths.find())
    except Refusal as refusal:
        from .commands import say

        return say({"ok": False, "cause": refusal.cause, "fix": refusal.fix})


if __name__ == "__main__":
    sys.exit(main())
