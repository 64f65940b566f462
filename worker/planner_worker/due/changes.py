"""Changes that are to be fanned out, and the brake: what reaches too many people waits for an admin."""

from collections.abc import Sequence

from planner_common import metrics
from planner_common.logging import get_logger
from planner_common.messages import Queue, Task
from planner_common.settings import Settings
from psycopg.rows import class_row

from planner_worker.due import Database, Handout
from planner_worker.packing import Claim, pack

logger = get_logger("planner_worker.dispatcher")

LIMIT = 1_000
"""Changes claimed at once."""

# - `due`: MATERIALIZED, so that it is evaluated once and the limit holds.
# - `weighed`: how many people the account would have reached in this hour with each of its changes. A change that an
#   admin has let go is not weighed, and none is weighed twice.
# - The token must not overflow: it would stop everything.
CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT id, actor, notify, audience_size, counted FROM changes
         WHERE fanned_out_at IS NULL AND held_at IS NULL AND (lease_until IS NULL OR lease_until < now())
         ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ), weighed AS MATERIALIZED (
        SELECT due.id, due.actor, due.audience_size,
               COALESCE(reach.people, 0) + sum(due.audience_size) OVER (PARTITION BY due.actor ORDER BY due.id) AS total
          FROM due LEFT JOIN reach ON reach.actor = due.actor AND reach.hour = date_trunc('hour', now())
         WHERE %(reach)s > 0 AND due.notify AND NOT due.counted AND due.actor IS NOT NULL
    ), reached AS (
        INSERT INTO reach (actor, hour, people)
        SELECT actor, date_trunc('hour', now()), sum(audience_size) FROM weighed
         WHERE total <= %(reach)s GROUP BY actor ORDER BY actor
        ON CONFLICT (actor, hour) DO UPDATE SET people = reach.people + EXCLUDED.people
    )
    UPDATE changes SET counted = true, held_at = CASE WHEN weighed.total > %(reach)s THEN now() END,
           lease_until = CASE WHEN weighed.total > %(reach)s THEN NULL
                              ELSE now() + make_interval(secs => %(lease)s) END,
           claims = LEAST(claims + 1, 32767)
      FROM due LEFT JOIN weighed ON weighed.id = due.id WHERE changes.id = due.id
    RETURNING changes.id, changes.audience_size, changes.request_id, changes.traceparent, changes.claims,
              changes.held_at IS NOT NULL AS held,
              EXTRACT(epoch FROM COALESCE(changes.decided_at, changes.at))::float AS due
"""

# Only while the lease is still ours.
RELEASE = """
    UPDATE changes SET lease_until = NULL, claims = changes.claims - 1
      FROM unnest(%(ids)s::bigint[], %(claims)s::smallint[]) AS held(id, claims)
     WHERE changes.id = held.id AND changes.claims = held.claims AND fanned_out_at IS NULL
"""


class Changes:
    queues = (Queue.FAN_OUT,)
    long_queue = 10

    def __init__(self, settings: Settings) -> None:
        self._values = {"limit": LIMIT, "lease": settings.lease_seconds, "reach": settings.reach_per_hour}

    def claim(self, database: Database, _queues: Sequence[Queue]) -> tuple[list[Handout], bool]:
        with database.cursor(row_factory=class_row(Claim)) as cursor:
            found = cursor.execute(CLAIM, self._values).fetchall()
        claims = [claim for claim in found if not claim.held]
        metrics.dispatch_claims.inc(len(claims))
        metrics.dispatch_reclaims.inc(sum(claim.claims > 1 for claim in claims))
        if held := [claim for claim in found if claim.held]:
            metrics.dispatch_held.inc(len(held))
            logger.warning("held by the brake", change_ids=[claim.id for claim in held[:10]], changes=len(held))
        handouts = [
            Handout(
                Task.FAN_OUT,
                Queue.FAN_OUT,
                [claim.id for claim in message],
                sorted({claim.request_id for claim in message if claim.request_id}),
                [(claim.id, claim.claims) for claim in message],
                min(claim.due for claim in message),
                any(claim.claims > 1 for claim in message),
                {claim.id: claim.traceparent for claim in message if claim.traceparent},
            )
            for message in pack(sorted(claims, key=lambda claim: claim.id))
        ]
        return handouts, len(found) == LIMIT

    def release(self, database: Database, handouts: Sequence[Handout]) -> None:
        held = [pair for handout in handouts for pair in handout.held]
        database.execute(RELEASE, {"ids": [one for one, _ in held], "claims": [claim for _, claim in held]})
