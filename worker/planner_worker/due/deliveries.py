"""Deliveries whose time has come, lane by lane: what is urgent never waits behind what is many."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from planner_common import metrics
from planner_common.deliveries import Lane, Outcome
from planner_common.messages import Queue, Task
from planner_common.settings import Settings
from psycopg.rows import class_row

from planner_worker.due import Database, Handout

QUEUE_OF = {Lane.URGENT: Queue.DELIVER_URGENT, Lane.NORMAL: Queue.DELIVER, Lane.BULK: Queue.DELIVER_BULK}
MESSAGE_SIZE = {Lane.URGENT: 20, Lane.NORMAL: 100, Lane.BULK: 200}
"""Deliveries in one message: few where they are urgent, so that the workers share them."""
LIMIT = 1_000
"""Deliveries of one lane claimed at once."""

# - What is in a digest goes out with its first one, and is not handed out by itself.
# - What was being sent when its lease ran out may have been accepted: nobody can know, so that is written down, and it
#   counts as a try.
CLAIM = f"""
    WITH due AS MATERIALIZED (
        SELECT d.* FROM unnest(%(lanes)s::smallint[]) AS open(lane) CROSS JOIN LATERAL (
            SELECT id, claims, sending, change_id, lease_until IS NOT NULL AS again FROM deliveries
             WHERE finished_at IS NULL AND lane = open.lane AND due_at <= now()
               AND (lease_until IS NULL OR lease_until < now()) AND (message_id IS NULL OR message_id = id)
             ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ) d
    ), lost AS (
        UPDATE delivery_attempts a
           SET outcome = '{Outcome.UNKNOWN}', finished_at = clock_timestamp(),
               detail = 'The worker died, or was silent for too long: the message may have been accepted.'
          FROM due WHERE due.sending AND a.delivery_id = due.id AND a.number = due.claims AND a.outcome IS NULL
    ), claimed AS (
        UPDATE deliveries d
           SET lease_until = now() + make_interval(secs => %(lease)s), claims = d.claims + 1, sending = false,
               tries = LEAST(d.tries + due.sending::int, 32767), outcome_unknown = d.outcome_unknown OR due.sending
          FROM due WHERE d.id = due.id
        RETURNING d.id, d.lane, d.due_at, d.claims, d.change_id, due.sending AS was_sending, due.again
    )
    SELECT claimed.id, lane, claimed.claims, was_sending, again, EXTRACT(epoch FROM due_at)::float AS due,
           claimed.change_id, c.request_id, c.traceparent
      FROM claimed LEFT JOIN changes c ON c.id = claimed.change_id
     ORDER BY lane, due_at, claimed.id
"""

RELEASE = """
    UPDATE deliveries d SET lease_until = NULL
      FROM unnest(%(ids)s::uuid[], %(claims)s::integer[]) AS held(id, claims)
     WHERE d.id = held.id AND d.claims = held.claims AND NOT d.sending AND d.finished_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this dispatcher holds the lease of."""

    id: UUID
    lane: int
    claims: int
    was_sending: bool
    again: bool
    due: float
    change_id: int | None
    request_id: str | None
    traceparent: str | None


class Deliveries:
    queues = tuple(QUEUE_OF.values())
    long_queue = 4  # of about half a second each: well within the lease

    def __init__(self, settings: Settings) -> None:
        # For waiting, as that of changes. Who sends takes another for that.
        self._lease = settings.lease_seconds

    def claim(self, database: Database, queues: Sequence[Queue]) -> tuple[list[Handout], bool]:
        lanes = [lane for lane, queue in QUEUE_OF.items() if queue in queues]
        values = {"lanes": [int(lane) for lane in lanes], "limit": LIMIT, "lease": self._lease}
        with database.cursor(row_factory=class_row(Claim)) as cursor:
            claims = cursor.execute(CLAIM, values).fetchall()
        metrics.dispatch_deliveries.inc(len(claims))
        metrics.dispatch_lost.inc(sum(claim.was_sending for claim in claims))
        handouts, full = [], False
        for lane in lanes:
            mine = [claim for claim in claims if claim.lane == lane]
            full |= len(mine) == LIMIT
            size = MESSAGE_SIZE[lane]
            for message in (mine[start : start + size] for start in range(0, len(mine), size)):
                held = [(claim.id, claim.claims) for claim in message]
                handouts.append(
                    Handout(
                        Task.DELIVER,
                        QUEUE_OF[lane],
                        [[str(delivery), number] for delivery, number in held],
                        sorted({claim.request_id for claim in message if claim.request_id}),
                        held,
                        min(claim.due for claim in message),
                        any(claim.again for claim in message),
                        {
                            claim.change_id: claim.traceparent
                            for claim in message
                            if claim.change_id and claim.traceparent
                        },
                    )
                )
        return handouts, full

    def release(self, database: Database, handouts: Sequence[Handout]) -> None:
        held = [pair for handout in handouts for pair in handout.held]
        database.execute(RELEASE, {"ids": [one for one, _ in held], "claims": [claim for _, claim in held]})
