"""How claimed changes are put into messages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_CHANGES = 200
MAX_PEOPLE = 20_000


@dataclass(frozen=True, slots=True)
class Claim:
    """A change that this dispatcher holds the lease of."""

    id: int
    audience_size: int
    request_id: str | None
    claims: int
    """How often it was claimed, this time included. It is the lease's token: whoever claims next raises it."""
    held: bool = False
    """It reaches too many: it was kept back instead."""
    due: float = 0.0
    """Since when it is, in seconds since the epoch."""
    traceparent: str | None = None


def pack(claims: Iterable[Claim]) -> Iterator[list[Claim]]:
    """Yield the claims in messages, each at most `MAX_CHANGES` changes and about `MAX_PEOPLE` people.

    A change too large for that is a message of its own. What was claimed before came to nothing, perhaps for its own
    fault: the second time it shares a message with a tenth as many, then with a hundredth, then with none, so that a
    poisonous change cannot hold up others for long, and a lost broker does not make a message of each change.
    """
    open_messages: dict[int, list[Claim]] = {}
    people: dict[int, int] = {}
    for claim in claims:
        room = max(1, MAX_CHANGES // 10 ** min(claim.claims - 1, 3))
        message = open_messages.get(room, [])
        if message and people[room] + claim.audience_size > MAX_PEOPLE:
            yield message
            message = []
        if not message:
            open_messages[room], people[room] = message, 0
        message.append(claim)
        people[room] += claim.audience_size
        if len(message) >= room:
            yield open_messages.pop(room)
    yield from open_messages.values()
