"""A deed that cannot be done: what is wrong, and what the person at the other end does about it."""


class Refusal(Exception):
    """`cause` and `fix` are each a sentence; the command line prints them as its last line of JSON."""

    def __init__(self, cause: str, fix: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.fix = fix
