"""The waitlist of a full event: who answers that they come when there is no place, and who is given one that is free.

A waiting participant is `tentative` (RFC 5545 §3.2.12), with the change that put them on the list, which is in the
order of these changes. The event's row is locked by the caller, so nobody takes a place that somebody else is about to
take, and none is free while somebody waits: see docs/decisions/0021-a-waitlist-in-the-order-of-the-log.md.
"""

from typing import Any
from uuid import UUID

from planner_common.changes import Kind
from sqlalchemy import Row, RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.events.problems import cancelled
from planner_api.events.recording import LOG, LOGGED, Author

LAST = 2**63 - 1
"""Comes after all changes."""

TAKEN = """
    SELECT count(*) FROM participants WHERE event_id = :event AND until_change IS NULL AND response = 'accepted'
"""
WAITING = """
    SELECT id, person_id, COALESCE(name, email) AS shown FROM participants
     WHERE event_id = :event AND until_change IS NULL AND waiting_since IS NOT NULL
     ORDER BY waiting_since LIMIT {limit}
"""

# Who is `tentative` because there is no place says `waits`; so an answer is the same as before if all three are. How
# many places are taken is counted only where they are limited, and only for who has none.
ANSWER = text(f"""
    WITH mine AS MATERIALIZED (
        SELECT *, waiting_since IS NOT NULL AS waited FROM participants
         WHERE event_id = :event AND person_id = :person AND until_change IS NULL
    ), answer AS MATERIALIZED (
        SELECT mine.*, waits, said, mine.response = 'accepted' AND said <> 'accepted' AS frees,
               (mine.response, mine.waited, mine.comment)
                   IS DISTINCT FROM (said, waits, CAST(:comment AS text)) AS differs
          FROM mine
         CROSS JOIN LATERAL (
             SELECT CASE WHEN CAST(:capacity AS integer) IS NULL OR mine.response = 'accepted' THEN false
                         ELSE CAST(:response AS text) = 'accepted' AND ({TAKEN}) >= :capacity END AS waits
         ) place
         CROSS JOIN LATERAL (SELECT CASE WHEN waits THEN 'tentative' ELSE :response END AS said) answer
    ), next AS ({WAITING.format(limit=1)}
    ), event AS (
        UPDATE events SET revision = revision + 1, updated_at = now()
         WHERE id = :event AND status <> 'cancelled' AND (SELECT differs FROM answer)
        RETURNING id, revision
    ), change AS (
        INSERT INTO changes ({LOG})
        SELECT event.id, event.revision, '{Kind.RESPONSE}', {
    LOGGED.format(
        diff='''jsonb_strip_nulls(jsonb_build_object(
                   'response', jsonb_build_array(response, said),
                   'comment', CASE WHEN comment IS DISTINCT FROM CAST(:comment AS text)
                                   THEN jsonb_build_array(comment, CAST(:comment AS text)) END,
                   'waiting', CASE WHEN waited OR waits THEN jsonb_build_array(waited, waits) END,
                   'promoted', CASE WHEN frees THEN (
                       SELECT jsonb_build_array(NULL, shown) FROM next
                   ) END
               ))''',
        audience="1",
    )
}
          FROM event CROSS JOIN answer
        RETURNING id
    ), written AS (
        UPDATE participants p
           SET response = said, comment = CAST(:comment AS text),
               waiting_since = CASE WHEN waits THEN COALESCE(p.waiting_since, change.id) END,
               responded_at = CASE WHEN said <> 'needs_action' THEN now() END
          FROM answer, change WHERE p.id = answer.id
        RETURNING p.responded_at, change.id AS change_id
    )
    SELECT answer.id, answer.email, answer.name, answer.role, said AS response, CAST(:comment AS text) AS comment,
           CASE WHEN differs THEN written.responded_at ELSE answer.responded_at END AS responded_at,
           CASE WHEN waits THEN (
               SELECT count(*) FROM participants before
                WHERE before.event_id = :event AND before.until_change IS NULL
                  AND before.waiting_since < COALESCE(answer.waiting_since, {LAST})
           ) + 1 END AS waiting,
           change_id, differs, frees
      FROM answer LEFT JOIN written ON true
""")


async def answer(
    connection: AsyncConnection, event: RowMapping, person: UUID, response: str, comment: str | None, author: Author
) -> Row[Any] | None:
    """Write somebody's answer to an event that is locked; a place that it frees goes to whoever waited longest.

    Returns the participant as it is then, with the place in the waitlist as `waiting`; None for who is not in the
    event. The same answer again changes nothing. 409 when the event is cancelled.
    """
    values = {
        "event": event["id"],
        "capacity": event["capacity"],
        "person": person,
        "response": response,
        "comment": comment,
        **author.parameters(),
    }
    given = (await connection.execute(ANSWER, values)).one_or_none()
    if given is None or not given.differs:
        return given
    if given.change_id is None:
        raise cancelled()
    author.made.append((given.change_id, event["id"]))
    if given.frees and event["capacity"] is not None:
        await promote(connection, event["id"], event["capacity"], author)
    return given


PROMOTE = text(f"""
    WITH promoted AS MATERIALIZED ({
    WAITING.format(limit=f"CAST(:capacity AS integer) - LEAST(CAST(:capacity AS integer), ({TAKEN}))")
}
    ), event AS (
        UPDATE events SET revision = revision + 1, updated_at = now()
          FROM (SELECT count(*) AS promoted FROM promoted) places
         WHERE id = :event AND places.promoted > 0
        RETURNING id, revision, places.promoted
    ), change AS (
        INSERT INTO changes ({LOG})
        SELECT id, revision, '{Kind.PROMOTION}', {
    LOGGED.format(
        diff='''jsonb_build_object(
                   'response', jsonb_build_array('tentative', 'accepted'),
                   'waiting', jsonb_build_array(true, false),
                   'participants', jsonb_build_object('promoted', promoted)
               )''',
        audience="promoted",
    )
} FROM event
        RETURNING id
    ), told AS (
        INSERT INTO promotions (change_id, person_id)
        SELECT change.id, promoted.person_id FROM change CROSS JOIN promoted ORDER BY promoted.person_id
    ), seated AS (
        UPDATE participants SET response = 'accepted', waiting_since = NULL
          FROM promoted WHERE participants.id = promoted.id
    )
    SELECT id FROM change
""")


async def promote(connection: AsyncConnection, event: UUID, capacity: int | None, author: Author) -> None:
    """Give the places of a locked event that are free to those who have waited longest: one change, if there are any.

    It is nobody's doing, and those people are told of it whether or not others are told of what freed the places:
    who does not know of a place does not come.
    """
    values = {"event": event, "capacity": capacity, **author.parameters(), "actor": None, "notify": True}
    made = (await connection.execute(PROMOTE, values)).scalar_one_or_none()
    if made is not None:
        author.made.append((made, event))
