"""Why a notification came, and which of a person's channels took it: from the tables to what the API shows."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from planner_common import explanations
from planner_common.changes import Kind
from planner_common.deliveries import DEFAULT_KINDS, PRUNED, TOLD_AS, ChannelType, State
from planner_common.explanations import Untaken, Why
from planner_common.summaries import Reader
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.schemas.channels import Attempt
from planner_api.schemas.explanations import ChannelExplained, DeliveryExplained, RouteInForce, Told, WhyTold

# One row for each channel of the person that was there, or is. What was in force is asked for the time of the change,
# as in `deliveries.ROUTED`.
CHANNELS = text(f"""
    WITH told AS MATERIALIZED (
        SELECT c.id AS change_id, {TOLD_AS} AS kind, c.at, c.email_on, c.decided_at, n.created_at AS told_at,
               EXTRACT(epoch FROM n.created_at - c.at)::float AS seconds,
               CASE WHEN c.kind IN ('{Kind.CREATION}', '{Kind.INVITATION}') THEN '{Why.INVITED}'
                    WHEN c.kind = '{Kind.REMOVAL}' THEN '{Why.REMOVED}'
                    WHEN c.kind = '{Kind.PROMOTION}' THEN '{Why.PROMOTED}'
                    WHEN c.kind <> '{Kind.RESPONSE}' AND EXISTS (
                        SELECT FROM participants p
                         WHERE p.event_id = c.event_id AND p.person_id = n.person_id AND p.since_change < c.id
                           AND (p.until_change IS NULL OR p.until_change > c.id)
                    ) THEN '{Why.PARTICIPANT}' ELSE '{Why.ORGANIZER}' END AS why,
               EXISTS (
                   SELECT FROM mutes m
                    WHERE m.event_id = c.event_id AND m.person_id = n.person_id
                      AND m.since <= c.at AND (m.until IS NULL OR m.until > c.at)
               ) AS muted,
               {PRUNED} AS pruned
          FROM notifications n JOIN changes c ON c.id = n.change_id
         WHERE n.person_id = :person AND n.id = :notification
    ), mine AS (
        SELECT CAST(:person AS uuid) AS id, '{ChannelType.EMAIL}' AS type, NULL AS name,
               CAST(NULL AS timestamptz) AS made_at, CAST(NULL AS timestamptz) AS verified_at,
               (SELECT email_paused_at FROM preferences WHERE person_id = :person) AS paused_at,
               CAST(NULL AS timestamptz) AS disabled_at, CAST(NULL AS timestamptz) AS ended_at
        UNION ALL
        SELECT id, type, name, created_at, verified_at, paused_at, disabled_at, ended_at
          FROM channels WHERE person_id = :person
    )
    SELECT told.*, mine.*, mine.id = :person AS without_row, r.kinds, r.since, r.until,
           d.id AS delivery_id, d.message_id, d.state, d.reason, d.told_revision, d.digest, d.outcome_unknown, d.due_at,
           d.created_at, d.finished_at, by.revision AS superseded_by
      FROM told CROSS JOIN mine
      LEFT JOIN routes r ON r.person_id = :person AND r.channel_id = mine.id
       AND r.since <= told.at AND (r.until IS NULL OR r.until > told.at)
      LEFT JOIN deliveries d
        ON d.change_id = told.change_id AND d.person_id = :person AND d.channel_id = mine.id
      LEFT JOIN changes by ON by.id = d.superseded_by
     WHERE d.id IS NOT NULL OR mine.ended_at IS NULL OR mine.ended_at > told.at
     ORDER BY without_row DESC, mine.id
""")
# A digest's tries are kept with the first of its deliveries, which gave the message its id.
ATTEMPTS = text("""
    SELECT d.id, a.number, a.started_at, a.finished_at, a.outcome, a.status, a.milliseconds AS duration_ms, a.detail
      FROM deliveries d JOIN delivery_attempts a ON a.delivery_id IN (d.id, d.message_id)
     WHERE d.id = ANY(:deliveries) ORDER BY a.started_at, a.number
""").bindparams(bindparam("deliveries", type_=ARRAY(PG_UUID)))


async def channels(
    connection: AsyncConnection, person: UUID, notification: UUID, reader: Reader
) -> tuple[WhyTold, Told, list[ChannelExplained]]:
    """Why one of a person's notifications came, when, and what each channel did with it."""
    rows = (await connection.execute(CHANNELS, {"person": person, "notification": notification})).mappings().all()
    attempts: dict[UUID, list[Attempt]] = {row["delivery_id"]: [] for row in rows if row["delivery_id"]}
    if attempts:
        for row in (await connection.execute(ATTEMPTS, {"deliveries": list(attempts)})).mappings():
            values = dict(row)
            attempts[values.pop("id")].append(Attempt.model_validate(values))
    first, tongue = rows[0], explanations.language(reader)
    why = Why(first["why"])
    told = Told(
        changed_at=first["at"],
        told_at=first["told_at"],
        seconds=first["seconds"],
        approved_at=first["decided_at"],
        text=explanations.note("approved", reader) if first["decided_at"] else None,
    )
    found = [explained(row, attempts.get(row["delivery_id"], []), reader) for row in rows]
    return WhyTold(reason=why, text=explanations.WHY[tongue][why]), told, found


def explained(row: Mapping[Any, Any], attempts: Sequence[Attempt], reader: Reader) -> ChannelExplained:
    delivery, reason = None, None
    if row["delivery_id"] is None:
        reason = untaken(row)
        sentence = explanations.UNTAKEN[explanations.language(reader)][reason]
    else:
        delivery = delivery_explained(row, attempts, reader)
        sentence = delivery.text
    route = RouteInForce(kinds=row["kinds"], since=row["since"], until=row["until"]) if row["since"] else None
    return ChannelExplained(
        id=row["id"],
        type=row["type"],
        name=row["name"],
        route=route,
        delivery=delivery,
        untaken=reason,
        text=sentence,
    )


def sentence(row: Mapping[Any, Any], reader: Reader) -> str:
    """What became of a delivery, or what it waits for."""
    state = State(row["state"])
    return explanations.delivery(
        state,
        explanations.reason_of(state, row["reason"]),
        reader=reader,
        due_at=row["due_at"],
        superseded_by=row["superseded_by"],
        outcome_unknown=row["outcome_unknown"],
    )


def delivery_explained(row: Mapping[Any, Any], attempts: Sequence[Attempt], reader: Reader) -> DeliveryExplained:
    return DeliveryExplained(
        id=row["delivery_id"],
        message_id=row["message_id"],
        state=row["state"],
        reason=explanations.reason_of(State(row["state"]), row["reason"]),
        text=sentence(row, reader),
        superseded_by=row["superseded_by"],
        told_revision=row["told_revision"],
        digest=row["digest"],
        outcome_unknown=row["outcome_unknown"],
        due_at=row["due_at"] if row["finished_at"] is None else None,
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        attempts=list(attempts),
    )


def untaken(row: Mapping[Any, Any]) -> Untaken:
    """Why there is no delivery on a channel."""
    if row["muted"]:
        return Untaken.MUTED
    if row["type"] == ChannelType.EMAIL and not row["email_on"]:
        return Untaken.EMAIL_OFF
    if row["kinds"] is None and not row["without_row"]:
        return without_route(row)
    kinds, otherwise = (DEFAULT_KINDS, Untaken.DEFAULT) if row["kinds"] is None else (row["kinds"], Untaken.NOT_WANTED)
    if row["kind"] not in kinds:
        return otherwise
    return Untaken.PRUNED if row["pruned"] else Untaken.NOT_RECORDED


def without_route(row: Mapping[Any, Any]) -> Untaken:
    """Why a channel was to take nothing at all at the time of the change."""
    at = row["at"]
    if row["made_at"] > at:
        return Untaken.NOT_YET
    if row["verified_at"] is None or row["verified_at"] > at:
        return Untaken.NOT_VERIFIED
    for name, reason in (("disabled_at", Untaken.DISABLED), ("paused_at", Untaken.PAUSED)):
        if row[name] is not None and row[name] <= at:
            return reason
    return Untaken.OFF
