"""What reaches me, where and when: kinds of notification by channel, quiet hours, the digest of e-mail. And who may ask
when I am busy."""

from typing import Any
from uuid import UUID

from planner_common.deliveries import DEFAULT_KINDS, ChannelType
from planner_common.models import preferences
from sqlalchemy import ColumnElement, func, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.channels import kinds
from planner_api.channels.kinds import Wanted
from planner_api.dependencies import CallerDep, ConnectionDep
from planner_api.errors import invalid, problems
from planner_api.routing import make_router
from planner_api.schemas.preferences import (
    ChannelPreferences,
    EmailPreferences,
    Preferences,
    QuietHours,
)

router = make_router("preferences")

# One row, whatever there is. What a person never touched is as the defaults say.
PRESENT = text("""
    SELECT p.quiet_from, p.quiet_to, COALESCE(p.email_digest, 'none') AS email_digest,
           p.email_paused_at IS NOT NULL AS email_paused, email.kinds AS email_kinds,
           COALESCE(p.free_busy, 'everyone_i_meet') AS free_busy,
           COALESCE(
               (SELECT jsonb_agg(
                           jsonb_build_object(
                               'id', c.id, 'type', c.type, 'name', c.name, 'kinds', COALESCE(r.kinds, '{}')
                           ) ORDER BY c.id
                       )
                  FROM channels c LEFT JOIN routes r ON r.channel_id = c.id AND r.until IS NULL
                 WHERE c.person_id = me.id AND c.ended_at IS NULL AND c.verified_at IS NOT NULL),
               '[]'
           ) AS channels
      FROM (SELECT CAST(:person AS uuid) AS id) me
      LEFT JOIN preferences p ON p.person_id = me.id
      LEFT JOIN routes email ON email.channel_id = me.id AND email.until IS NULL
""").columns(channels=JSONB)


@router.get("/me/preferences", responses=problems(401, 403))
async def show_preferences(caller: CallerDep, connection: ConnectionDep) -> Preferences:
    """What reaches me. Who never changed it gets every kind but `response` by e-mail, at once."""
    row = (await connection.execute(PRESENT, {"person": caller.person_id})).one()
    email_kinds: Any = list(DEFAULT_KINDS) if row.email_kinds is None else row.email_kinds
    quiet = None if row.quiet_from is None else QuietHours(**{"from": row.quiet_from, "to": row.quiet_to})
    return Preferences(
        quiet_hours=quiet,
        email=EmailPreferences(kinds=email_kinds, digest=row.email_digest, paused=row.email_paused),
        channels=[ChannelPreferences(id=one["id"], kinds=one["kinds"]) for one in row.channels],
        free_busy=row.free_busy,
    )


@router.put("/me/preferences", responses=problems(400, 401, 403, 413, 415))
async def replace_preferences(body: Preferences, caller: CallerDep, connection: ConnectionDep) -> Preferences:
    """Replace all of it. Every part is needed, and every verified channel: send what GET answers, changed.

    It counts for what happens from now on; what is on its way is held back, or not sent, by what is wanted when its
    time comes.
    """
    person = caller.person_id
    await kinds.lock(connection, person)
    types = await _types(connection, person, body.channels)
    await connection.execute(_kept(person, body))
    wanted = [kinds.email_of(person, body.email.kinds)]
    wanted += [Wanted(one.id, types[one.id], tuple(one.kinds)) for one in body.channels]
    await kinds.set_kinds(connection, person, wanted)
    return await show_preferences(caller, connection)


async def _types(connection: AsyncConnection, person: UUID, given: list[ChannelPreferences]) -> dict[UUID, ChannelType]:
    """The types of the person's verified channels. 422 unless exactly these are given."""
    row = (await connection.execute(PRESENT, {"person": person})).one()
    mine = {UUID(one["id"]): one for one in row.channels}
    missing = dict(mine)
    for index, one in enumerate(given):
        if one.id not in mine:
            raise invalid(f"/channels/{index}/id", "is no verified channel of yours")
        if missing.pop(one.id, None) is None:
            raise invalid(f"/channels/{index}/id", "comes twice")
    if missing:
        lacking = next(iter(missing.values()))
        raise invalid("/channels", f"lacks your channel {lacking['id']} ({lacking['name']}): name every verified one")
    return {channel: ChannelType(one["type"]) for channel, one in mine.items()}


def _kept(person: UUID, body: Preferences) -> postgresql.Insert:
    """The statement that writes what is no route. A pause that goes on keeps its beginning."""
    quiet, email = body.quiet_hours, body.email
    values: dict[str, Any] = {
        "quiet_from": quiet.from_ if quiet else None,
        "quiet_to": quiet.to if quiet else None,
        "email_digest": email.digest,
        "email_paused_at": func.now() if email.paused else None,
        "updated_at": func.now(),
    }
    if "free_busy" in body.model_fields_set:
        values["free_busy"] = body.free_busy
    paused: ColumnElement[object] | None = (
        func.coalesce(preferences.c.email_paused_at, func.now()) if email.paused else None
    )
    return (
        postgresql.insert(preferences)
        .values(person_id=person, **values)
        .on_conflict_do_update(index_elements=["person_id"], set_=values | {"email_paused_at": paused})
    )
