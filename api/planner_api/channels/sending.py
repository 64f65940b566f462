"""What goes to a channel at its owner's word: codes and tests. As rows, like all deliveries: workers send them."""

from datetime import timedelta
from uuid import UUID

from planner_common.deliveries import TOLD_AS, Lane, Purpose
from planner_common.models import deliveries
from sqlalchemy import RowMapping, insert, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.schemas.channels import ChannelDelivery

CODE_VALID = timedelta(minutes=30)


async def queue(connection: AsyncConnection, channel: RowMapping, purpose: Purpose) -> UUID:
    """Write the delivery. Returns its id."""
    values = {
        "person_id": channel["person_id"],
        "channel_id": channel["id"],
        "type": channel["type"],
        "purpose": purpose.value,
        "lane": Lane.URGENT.value,  # somebody waits for it
    }
    queued: UUID = (await connection.execute(insert(deliveries).values(values).returning(deliveries.c.id))).scalar_one()
    return queued


# A digest's tries are kept with the first of its deliveries, which gave the message its id.
LOG = text(f"""
    SELECT d.id, d.message_id, d.purpose, d.state, d.reason, d.outcome_unknown, d.due_at, d.created_at, d.finished_at,
           n.id AS notification_id, CASE WHEN c.id IS NOT NULL THEN {TOLD_AS} END AS kind,
           COALESCE(tried.attempts, '[]') AS attempts
      FROM (
          SELECT * FROM deliveries WHERE channel_id = :channel AND id < :before ORDER BY id DESC LIMIT :limit
      ) d
      LEFT JOIN changes c ON c.id = d.change_id
      LEFT JOIN notifications n ON n.change_id = d.change_id AND n.person_id = d.person_id
      CROSS JOIN LATERAL (
          SELECT jsonb_agg(
                     jsonb_build_object(
                         'number', a.number, 'started_at', a.started_at, 'finished_at', a.finished_at,
                         'outcome', a.outcome, 'status', a.status, 'duration_ms', a.milliseconds, 'detail', a.detail
                     ) ORDER BY a.started_at, a.number
                 ) AS attempts
            FROM delivery_attempts a WHERE a.delivery_id IN (d.id, d.message_id)
      ) tried
     ORDER BY d.id DESC
""").columns(attempts=JSONB)


async def log(connection: AsyncConnection, channel: UUID, limit: int, before: UUID) -> list[ChannelDelivery]:
    """What went to a channel, or did not, newest first: each delivery with its tries."""
    rows = (await connection.execute(LOG, {"channel": channel, "before": before, "limit": limit})).mappings()
    return [ChannelDelivery.model_validate(row) for row in rows]
