"""Who would be told what, where and when: computed from the changes that a transaction has written, before it ends.

By the statements that fan-out and delivery go by, so that what is said is what would happen, as things stand now.
"""

from datetime import UTC, date, datetime
from typing import Any

from planner_common.changes import AUDIENCE, told_as
from planner_common.deliveries import LANE, ROUTED, ChannelType, Lane
from planner_common.explanations import Discreet
from planner_common.settings import Settings
from planner_common.summaries import Reader, summary
from planner_common.timing import WHOLE_DAY_LASTS, Wishes, held_until
from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.schemas.previews import (
    Preview,
    PreviewedChange,
    PreviewedChannel,
    PreviewedNotification,
    PreviewedNumbers,
    PreviewedPerson,
)
from planner_api.turns import taking_turns

ORDER = list(ChannelType)
LISTED = 200
"""How many are listed. The numbers count all."""

NEWEST = text("SELECT COALESCE(max(id), 0) FROM changes")

# Ids of changes grow, so those of this transaction, which xmin names, are among those after the newest one before it.
# The brake is the dispatcher's (`planner_worker.due.changes`): what the account has reached in this hour, and these.
CHANGES = text(f"""
    SELECT c.id, c.kind, c.revision, c.diff, {LANE} AS lane,
           :reach > 0 AND c.notify AND c.actor IS NOT NULL AND COALESCE(reach.people, 0)
               + sum(c.audience_size) FILTER (WHERE c.notify AND c.actor IS NOT NULL) OVER (ORDER BY c.id) > :reach
               AS held
      FROM changes c JOIN events e ON e.id = c.event_id
      LEFT JOIN reach ON reach.actor = c.actor AND reach.hour = date_trunc('hour', now())
     WHERE c.id > :newest AND c.xmin = CAST(pg_current_xact_id_if_assigned() AS xid)
     ORDER BY c.id
""").columns(diff=JSONB)

# - `going`: what would be sent. Not by channels that are closed, and not about what is over (a whole day ends later in
#   the west): such deliveries would be superseded.
# - What a person reads: an account's own language and zone; a guest reads what the organizer does, in the event's zone.
# - A name is shown as the organizer has given it: what people call themselves is theirs to tell.
TOLD = (
    text(f"""
    WITH due AS MATERIALIZED (
        SELECT id, event_id, kind, actor, notify FROM changes WHERE id = ANY(:changes)
    ), told AS MATERIALIZED (
        SELECT DISTINCT change_id, person_id FROM ({AUDIENCE}) audience
    ), going AS MATERIALIZED (
        SELECT routed.change_id, routed.person_id, routed.type,
               CASE WHEN ch.id IS NULL THEN COALESCE(p.email_digest, 'none') ELSE ch.digest END AS digest
          FROM ({ROUTED}) routed
          JOIN changes c ON c.id = routed.change_id JOIN events e ON e.id = c.event_id
          LEFT JOIN channels ch ON ch.id = routed.channel_id
          LEFT JOIN preferences p ON p.person_id = routed.person_id
         WHERE CASE WHEN routed.channel_id = routed.person_id THEN p.email_paused_at IS NULL
                    ELSE ch.verified_at IS NOT NULL
                         AND COALESCE(ch.paused_at, ch.disabled_at, ch.ended_at) IS NULL END
           AND COALESCE(e.over_at, e.ends_at)
               + CASE WHEN e.all_day THEN CAST(:whole_day AS interval) ELSE interval '0' END >= now()
    ), numbers AS (
        SELECT (SELECT count(DISTINCT person_id) FROM told) AS people, (SELECT count(*) FROM told) AS notifications,
               (SELECT COALESCE(jsonb_object_agg(type, number), '{{}}')
                  FROM (SELECT type, count(*) AS number FROM going GROUP BY type) g) AS messages
    ), listed AS (
        SELECT row_number() OVER (ORDER BY told.change_id, guest.since_change, guest.id) AS position,
               told.change_id, told.person_id, now() AS now, e.title, e.starts_at, e.all_day,
               COALESCE(guest.email, account.email) AS email,
               COALESCE(guest.name, CASE WHEN account.id = e.organizer_id THEN account.name END) AS name,
               caller.locale AS callers_locale, caller.time_zone AS callers_zone,
               COALESCE(account.time_zone, e.start_zone, organizer.time_zone) AS time_zone,
               actor.name AS actor, p.quiet_from, p.quiet_to
          FROM told JOIN changes c ON c.id = told.change_id
          JOIN events e ON e.id = c.event_id
          JOIN accounts organizer ON organizer.id = e.organizer_id
          JOIN accounts caller ON caller.person_id = (SELECT actor FROM due WHERE actor IS NOT NULL LIMIT 1)
          LEFT JOIN accounts actor ON actor.person_id = c.actor
          LEFT JOIN accounts account ON account.person_id = told.person_id
          LEFT JOIN preferences p ON p.person_id = told.person_id
          LEFT JOIN LATERAL (
              SELECT email, name, since_change, id FROM participants
               WHERE event_id = c.event_id AND person_id = told.person_id AND until_change IS NULL
              UNION ALL
              SELECT email, name, since_change, id FROM participants
               WHERE until_change = c.id AND person_id = told.person_id
          ) guest ON true
         ORDER BY position LIMIT :limit
    )
    SELECT numbers.*, listed.*, COALESCE(g.channels, '[]') AS channels
      FROM numbers LEFT JOIN listed ON true
      LEFT JOIN (
          SELECT change_id, person_id, jsonb_agg(jsonb_build_array(type, digest)) AS channels
            FROM going GROUP BY change_id, person_id
      ) g ON g.change_id = listed.change_id AND g.person_id = listed.person_id
     ORDER BY listed.position
""")
    .bindparams(bindparam("changes", type_=ARRAY(BIGINT)))
    .columns(messages=JSONB, channels=JSONB)
)


async def newest(connection: AsyncConnection) -> int:
    """The id of the newest change: what the transaction writes comes after it."""
    return int((await connection.execute(NEWEST)).scalar_one())


async def preview(connection: AsyncConnection, since: int, settings: Settings, status: int, answer: Any) -> Preview:
    """What would come of the changes that this transaction has written after the change `since`."""
    brake = {"newest": since, "reach": settings.reach_per_hour}
    changes = (await connection.execute(CHANGES, brake)).mappings().all()
    by_id = {change["id"]: change for change in changes}
    values = {
        "changes": list(by_id),
        "email_on": settings.smtp_url is not None,
        "limit": LISTED,
        "whole_day": WHOLE_DAY_LASTS,
    }
    rows = (await connection.execute(TOLD, values)).mappings().all()
    told = [notification(row, by_id[row["change_id"]]) async for row in taking_turns(rows) if row["change_id"]]
    numbers = rows[0]
    return Preview(
        status=status,
        answer=answer,
        changes=[
            PreviewedChange(
                kind=change["kind"],
                revision=change["revision"],
                diff=change["diff"],
                urgent=change["lane"] == Lane.URGENT,
                held=change["held"],
            )
            for change in changes[:LISTED]
        ],
        held=any(change["held"] for change in changes),
        people=numbers["people"],
        messages=PreviewedNumbers(**numbers["messages"]),
        told=told,
        truncated=len(changes) > LISTED or numbers["notifications"] > len(told),
    )


def notification(row: RowMapping, change: RowMapping) -> PreviewedNotification:
    kind = told_as(change["kind"])
    starts_at: datetime = row["starts_at"].astimezone(UTC)
    start: date | datetime = starts_at.date() if row["all_day"] else starts_at
    # As the caller would read it: what language and zone somebody else reads in is theirs to tell.
    reader = Reader(row["callers_locale"], row["callers_zone"])
    return PreviewedNotification(
        person=PreviewedPerson(email=row["email"], name=row["name"]),
        kind=kind,  # type: ignore[arg-type]  # one of those that the change log knows
        revision=change["revision"],
        summary=summary(kind, row["title"], start, row["actor"], change["diff"], reader=reader),
        inbox=True,
        channels=channels(row, starts_at),
    )


def channels(row: RowMapping, starts_at: datetime) -> list[PreviewedChannel]:
    found = []
    for channel_type, digest in sorted(row["channels"], key=lambda one: ORDER.index(one[0])):
        wishes = Wishes(row["time_zone"], row["quiet_from"], row["quiet_to"], digest)
        waits = held_until(row["now"], wishes, starts_at, digested=False)
        reason = Discreet.OWN_CHOICE if waits else None
        found.append(PreviewedChannel(type=channel_type, when=waits[0] if waits else "now", reason=reason))
    return found
