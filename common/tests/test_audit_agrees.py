"""Whatever people wish, the auditor's query and the workers' send the same to the same channels."""

from uuid import UUID, uuid4

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from planner_common.audit.deliveries import DUE_DELIVERIES
from planner_common.changes import Kind
from planner_common.deliveries import KINDS, ChannelType
from planner_common.people import person_id
from sqlalchemy import Connection, text

from common.tests.delivered import ANN, BOB, CAT, DAN, fan_out, route
from common.tests.domain import Domain

PEOPLE = [ANN, BOB, CAT, DAN]
BASE = "2026-01-01"
MINUTES = st.integers(min_value=-5, max_value=9)
"""From `BASE`; the changes are made at minutes 0, 1, …, so that intervals begin and end before, at and after them."""
OWN = [None, *(uuid4() for _ in range(2))]
"""Channels of each person: e-mail, which has no row, and two more."""
ROUTES = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE),
        st.sampled_from(ChannelType),
        st.sampled_from(OWN),
        st.sets(st.sampled_from(KINDS)),
        MINUTES,
        MINUTES,
    ),
    max_size=12,
)
MUTES = st.lists(st.tuples(st.sampled_from(PEOPLE), MINUTES, MINUTES), max_size=4)
STEPS = st.lists(
    st.tuples(st.sampled_from(Kind), st.sampled_from([*PEOPLE, None]), st.sets(st.sampled_from(PEOPLE))), max_size=8
)


@settings(
    max_examples=100,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes with a database
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(  # what begins, or ends, at the very moment of a change
    routes=[
        (BOB, ChannelType.WEBHOOK, OWN[1], {"invitation"}, 0, 9),
        (BOB, ChannelType.WEBHOOK, OWN[2], {"invitation"}, -5, 0),
        (BOB, ChannelType.EMAIL, None, set(), -5, 0),
        (CAT, ChannelType.EMAIL, None, set(), 0, 9),
    ],
    mutes=[(DAN, 1, 5)],
    steps=[(Kind.INVITATION, ANN, {DAN})],
    email_on=True,
)
@given(routes=ROUTES, mutes=MUTES, steps=STEPS, email_on=st.booleans())
def test_whatever_is_wished_the_audit_agrees(
    connection: Connection,
    routes: list[tuple[str, ChannelType, UUID | None, set[str], int, int]],
    mutes: list[tuple[str, int, int]],
    steps: list[tuple[Kind, str | None, set[str]]],
    email_on: bool,
) -> None:
    connection.exec_driver_sql(
        "TRUNCATE accounts, events, changes, participants, notifications, promotions, routes, mutes, deliveries CASCADE"
    )
    domain = Domain(connection)
    event = domain.event(ANN, BOB, CAT)
    now_in = {BOB, CAT}
    for kind, actor, people in steps:
        add = people - now_in if kind is Kind.INVITATION else set()
        remove = people & now_in if kind is Kind.REMOVAL else set()
        promote = people & now_in if kind is Kind.PROMOTION else set()
        now_in = (now_in | add) - remove
        domain.change(event, kind, actor=actor, add=add, remove=remove, promote=promote)
    connection.execute(
        text("UPDATE changes SET at = CAST(:base AS timestamptz) + make_interval(mins => revision - 1)"), {"base": BASE}
    )
    in_force: set[tuple[str, UUID | None]] = set()  # one channel has one route that has not ended
    for person, type_, channel, kinds, since, until in routes:
        open_end = (person, channel) not in in_force and until > 2 * since
        in_force |= {(person, channel)} if open_end else set()
        route(
            connection,
            person,
            kinds,
            type=ChannelType.EMAIL if channel is None else type_,
            channel=channel and UUID(int=channel.int ^ person_id(person).int),
            since=f"{since} min",
            until=None if open_end else f"{until} min",
            base=BASE,
        )
    for person, since, until in mutes:
        connection.execute(
            text("""
                INSERT INTO mutes (person_id, event_id, since, until)
                SELECT :person, :event, base + make_interval(mins => :since), base + make_interval(mins => :until)
                  FROM CAST(:base AS timestamptz) base
            """),
            {"person": person_id(person), "event": event.id, "since": since, "until": until, "base": BASE},
        )
    fan_out(connection, email_on=email_on)
    written = connection.execute(text("SELECT change_id, person_id, channel_id FROM deliveries"))
    due = connection.execute(text(DUE_DELIVERIES), {"since": "-infinity", "event": None})
    assert set(map(tuple, due)) == set(map(tuple, written))
