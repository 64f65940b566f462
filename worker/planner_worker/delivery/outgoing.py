"""Deliveries that may be sent: each with its channel, its message and the destination that it goes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planner_common.deliveries import ChannelType, Outcome
from planner_common.sealing import Sealer, UnsealedError

from planner_worker.channels import Channel, Message, Result
from planner_worker.delivery.facts import Facts
from planner_worker.delivery.messages import address, message


@dataclass(frozen=True, slots=True)
class Outgoing:
    facts: Facts
    channel: Channel
    message: Message
    host: str
    """The destination: what pace and circuit breaker go by."""


def outgoing(
    first: Facts, others: Sequence[Facts], channels: Mapping[ChannelType, Channel], sealer: Sealer
) -> Outgoing:
    """A delivery's message, or a digest's, on its channel."""
    channel = channels[ChannelType(first.type)]
    try:
        where = address(first, sealer)
    except UnsealedError:
        channel, where = Sealed(channel), {}
    made = message(first, others, where)
    return Outgoing(first, channel, made, channel.host(made))


class Sealed:
    """Stands for the channel of a delivery whose address none of our keys opens.

    A failure like others, for an operator can bring the key back.
    """

    def __init__(self, channel: Channel) -> None:
        self.type, self.limits = channel.type, channel.limits

    def host(self, _message: Message) -> str:
        return "sealed"

    async def send(self, _message: Message) -> Result:
        return Result(outcome=Outcome.LATER, detail="none of ENCRYPTION_KEYS opens the address of this channel")

    async def close(self) -> None:
        """Nothing to let go of."""
