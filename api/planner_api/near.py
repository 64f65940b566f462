"""Answers that this process made lately, each with all that it was made of: while that is the same, it is good."""

from collections.abc import Hashable
from typing import Any


class Near:
    """The answers that were asked for last: so many at most, each of so many bytes at most."""

    def __init__(self, entries: int, largest: int) -> None:
        self._entries = entries
        self._largest = largest
        self._answers: dict[Hashable, tuple[Any, bytes]] = {}

    def get(self, key: Hashable, made_of: Any) -> bytes | None:
        """The answer to `key`, if it was made of what it would be made of now."""
        kept = self._answers.pop(key, None)
        if kept is None or kept[0] != made_of:
            return None
        self._answers[key] = kept  # at the end, where the youngest are
        return kept[1]

    def put(self, key: Hashable, made_of: Any, answer: bytes) -> None:
        if len(answer) > self._largest:
            return
        self._answers[key] = made_of, answer
        if len(self._answers) > self._entries:
            del self._answers[next(iter(self._answers))]
