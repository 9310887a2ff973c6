"""How a deed says no: what was asked cannot be done, and the words say why and what to do (every face shows them)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Denied(Exception):
    """What was asked does not fit what is there (409 in the APIs). `code` is for programs, `words` for people."""

    def __init__(self, words: str, code: str = "conflict") -> None:
        super().__init__(words)
        self.words, self.code = words, code


class Wrong(Denied):
    """What was given is wrong (400 in the APIs). `fields` names each wrong one, with what is wrong about it."""

    def __init__(self, fields: Mapping[str, Sequence[str]], words: str = "Some fields are wrong.") -> None:
        super().__init__(words, "invalid")
        self.fields = {name: list(said) for name, said in fields.items()}
