"""The system broken on purpose, in real processes: what the checker must see in a run.

`python -m tests.faults.sabotage no-lease dispatcher` is the dispatcher with that part of it taken out.
"""

import os
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from planner_common.changes import Kind
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT

from tests.faults.checks import deliveries, liveness, notifications, staleness, writes
from tests.faults.schedule import Planned
from tests.system import System


def without(statement: str, *parts: str) -> str:
    """A statement less these parts, each of which it must have: else nothing is broken, and nothing is shown."""
    for part in parts:
        if part not in statement:
            raise LookupError(f"not in the statement: {part}")
        statement = statement.replace(part, "")
    return statement


def lose_changes() -> None:
    """One change in five of an event leaves no row behind."""
    from planner_api.events import writing  # noqa: PLC0415

    writing.UPDATE = text(f"{writing.UPDATE.text} WHERE event.kind = '{Kind.DELETION}' OR random() > 0.2")


def ignore_leases_that_ran_out() -> None:
    from planner_worker.due import changes  # noqa: PLC0415
    from planner_worker.due import deliveries as due  # noqa: PLC0415

    modules: tuple[Any, ...] = (changes, due)
    for module in modules:
        module.CLAIM = without(module.CLAIM, " OR lease_until < now()")


def send_twice() -> None:
    """Each message comes twice, as a broker may do; the second one later."""
    from planner_worker.dispatcher import Dispatcher  # noqa: PLC0415

    hand_out = Dispatcher.hand_out

    def twice(self: Dispatcher, *arguments: object) -> None:
        hand_out(self, *arguments)  # type: ignore[arg-type]
        hand_out(self, *arguments)  # type: ignore[arg-type]

    Dispatcher.hand_out = twice  # type: ignore[assignment,method-assign]


def fan_out_without_conflict_clauses() -> None:
    from planner_worker.tasks import fan_out  # noqa: PLC0415

    fan_out.FAN_OUT = without(
        fan_out.FAN_OUT,
        "ON CONFLICT (change_id, person_id) DO NOTHING",
        "AND fanned_out_at IS NULL AND held_at IS NULL",
    )
    fan_out.DELIVERY = without(fan_out.DELIVERY, "ON CONFLICT (change_id, person_id, channel_id) DO NOTHING")


def drop_unique_constraints(system: System) -> None:
    with system.connect() as connection:
        names = connection.execute("""
            SELECT conrelid::regclass::text, conname FROM pg_constraint
             WHERE contype = 'u' AND conrelid IN ('notifications'::regclass, 'deliveries'::regclass)
        """).fetchall()
        for table, name in names:
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())


def mark_before_telling() -> None:
    """Fan-out in two transactions, the wrong one first; and now and then a worker dies in between."""
    from planner_worker.database import engine  # noqa: PLC0415
    from planner_worker.tasks import fan_out  # noqa: PLC0415

    mark = text("""
        UPDATE changes SET fanned_out_at = clock_timestamp(), email_on = true
         WHERE id = ANY(:change_ids) AND fanned_out_at IS NULL
    """).bindparams(bindparam("change_ids", type_=ARRAY(BIGINT)))
    fan_out.FAN_OUT = without(fan_out.FAN_OUT, "AND fanned_out_at IS NULL")
    whole = fan_out.fan_out.run

    def by_half(change_ids: list[int]) -> object:
        with engine().connect() as connection:
            connection.execute(mark, {"change_ids": change_ids})
        if random.random() < 0.05:  # noqa: S311
            os._exit(9)
        return whole(change_ids)

    fan_out.fan_out.run = by_half


def mark_nothing_as_unknown() -> None:
    from planner_worker.delivery import claims  # noqa: PLC0415

    record = without(claims.RECORD.text, " OR r.outcome = 'unknown'")
    claims.RECORD = claims._statement(record)


def send_without_looking() -> None:
    """What has become of the event since does not matter."""
    from planner_worker.delivery import claims, sending  # noqa: PLC0415

    module: Any = sending
    module.verdict = lambda _facts, *, email_on: None  # noqa: ARG005
    claims.TAKE = claims._statement(without(claims.TAKE.text, " AND e.revision IS NOT DISTINCT FROM w.revision"))


@dataclass(frozen=True)
class Sabotage:
    breaks: Mapping[str, Callable[[], None]]
    """What is done to which service before it starts."""
    seen_as: frozenset[str]
    """Rules, of which one at least must be found broken."""
    faults: tuple[str, ...] = ()
    """What happens meanwhile, each for a second."""
    prepare: Callable[[System], None] = field(default=lambda _system: None)

    def commands(self, name: str) -> dict[str, list[str]]:
        return {service: [sys.executable, "-m", "tests.faults.sabotage", name, service] for service in self.breaks}

    def planned(self) -> list[Planned]:
        return [Planned(number, kind, 4 + 3 * number, 1, 0.5) for number, kind in enumerate(self.faults)]


SABOTAGES = {
    "no-change-row": Sabotage({"api": lose_changes}, frozenset([writes.LOST])),
    "no-lease": Sabotage(
        {"dispatcher": ignore_leases_that_ran_out},
        frozenset([liveness.EXPIRED]),
        ("kill-all-workers", "flush-redis", "kill-all-workers"),
    ),
    "no-conflict-clause": Sabotage(
        {"dispatcher": send_twice, "worker": fan_out_without_conflict_clauses},
        frozenset([notifications.TWICE]),
        prepare=drop_unique_constraints,
    ),
    "commit-before-insert": Sabotage({"worker": mark_before_telling}, frozenset([notifications.MISSING])),
    "no-mark": Sabotage(
        {"worker": mark_nothing_as_unknown}, frozenset([deliveries.DUPLICATE]), ("cut-mail-after", "cut-mail-after")
    ),
    "no-look-at-the-present": Sabotage(
        {"worker": send_without_looking}, frozenset([staleness.STALE]), ("turn-mail-away",) * 3
    ),
}


def main() -> None:
    name, service = sys.argv[1:]
    SABOTAGES[name].breaks[service]()
    match service:
        case "api":
            from planner_api.__main__ import main as serve  # noqa: PLC0415
        case "dispatcher":
            from planner_worker.dispatcher import main as serve  # noqa: PLC0415
        case _:
            from planner_worker.__main__ import main as serve  # noqa: PLC0415
    sys.argv[1:] = []
    serve()


if __name__ == "__main__":
    main()
