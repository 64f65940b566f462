"""What clients asked for and what they were told came of it: the ledger that the checker holds the system to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from secrets import token_hex
from typing import Any

from tests.faults.ledger import Ledger


@dataclass
class Write:
    """A request that changes something, however often it is sent."""

    id: str
    actor: str
    """An address."""
    changes: list[tuple[str, list[str]]]
    """Kinds of change that it makes, in order, and who must be told of each. Empty for a mute."""
    event: str | None
    key: str = field(default_factory=lambda: token_hex(16))
    tries: int = 0

    @property
    def title(self) -> str:
        """By which an event is found whose id its client never learned."""
        return f"Dinner {self.id}"


class Book:
    """Each write is noted before it is first sent, and again when its fate is known; what has no second line may or may
    not have happened."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._numbers = count(1)
        self.acknowledged_writes = 0
        self.latest = 0.0

    def begin(
        self,
        kind: str,
        actor: str,
        *,
        told: Sequence[str],
        event: str | None = None,
        then: str | None = None,
    ) -> Write:
        """A write of one change, or of two where `then` names another, of which nobody is told."""
        changes = [(kind, sorted(set(told) - {actor}))] + ([(then, [])] if then else [])
        write = Write(f"w{next(self._numbers)}", actor, changes, event)
        self._ledger.write("asked", id=write.id, actor=actor, changes=changes, event=event)
        return write

    def begin_mute(self, person: str, event: str) -> Write:
        write = Write(f"w{next(self._numbers)}", person, [], event)
        self._ledger.write("asked", id=write.id, actor=person, changes=[], event=event, mute=True)
        return write

    def acknowledged(self, write: Write, *, event: str | None = None, revision: int | None = None) -> None:
        """The client was told that it is done. `revision`: the event's after it, where the answer said so."""
        self.acknowledged_writes += 1
        self._note("acknowledged", write, event=event or write.event, revision=revision)

    def refused(self, write: Write, status: int) -> None:
        """The client was told that it was not done."""
        self._note("refused", write, status=status)

    def _note(self, fate: str, write: Write, **more: Any) -> None:
        self._ledger.write(fate, id=write.id, tries=write.tries, **more)
