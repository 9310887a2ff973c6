"""What can go wrong at an edge of the house, named by who must act (DESIGN.md, rule 8)."""

from __future__ import annotations


class Fault(Exception):
    """A failure at an edge. `words` is one sentence for a person: what happened and what to do."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Unreachable(Fault):
    """Nothing answered in time. Try again later."""


class SlowDown(Fault):
    """The far side asks for fewer calls. `retry_after` is in seconds, None when it did not say."""

    def __init__(self, words: str, retry_after: float | None = None) -> None:
        super().__init__(words)
        self.retry_after = retry_after


class BadCredentials(Fault):
    """The far side does not know these credentials. A person must change them."""


class Refused(Fault):
    """The far side understood and said no; `words` carries its own words."""


class Unexpected(Fault):
    """The far side answered something that its protocol does not allow, or we have a bug."""
