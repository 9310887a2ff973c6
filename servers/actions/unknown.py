"""What became of a call cannot be told."""

from __future__ import annotations


class Unknown(Exception):
    """It cannot be told whether it was done. `words` are for a person; `server_id`: the server that it is about."""

    def __init__(self, words: str, server_id: str = "") -> None:
        super().__init__(words)
        self.words, self.server_id = words, server_id
