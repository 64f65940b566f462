"""The work: nothing waits too long, nothing was given up, and the audit finds all of it right."""

from sqlalchemy import text

from planner_common.doctor.database import Asked, group
from planner_common.doctor.verdicts import Verdict, by_size, failed, ok, warning
from planner_common.vitals import AUDITED, BACKLOG, COUNTED, DUE_COUNTED, SEEN

DUE_WARNS, DUE_FAILS = 60.0, 300.0
HELD_SECONDS = 3600
AUDIT_SECONDS = 3600.0


@group.check("backlog")
def backlog(asked: Asked) -> Verdict:
    rows = asked.connection.execute(text(BACKLOG)).all()
    worst = max(rows, key=lambda row: row.seconds or 0)
    seconds, number = float(worst.seconds or 0), sum(row.number for row in rows)
    if not number:
        return ok("nothing waits")
    more = " or more" if any(row.number >= DUE_COUNTED for row in rows) else ""
    found = f"{number:,}{more} wait; the oldest for {seconds:.0f} s, for {worst.work}"
    advice = "see that workers and dispatcher live and Redis answers; if they do, run more workers"
    return by_size(seconds, found, advice, warns=DUE_WARNS, fails=DUE_FAILS)


@group.check("dead letters")
def dead(asked: Asked) -> Verdict:
    row = asked.connection.execute(text(SEEN)).one()
    if row.dead:
        return warning(f"{_up_to(row.dead)} deliveries were given up", "planner dead list")
    return ok("none")


@group.check("held changes")
def held(asked: Asked) -> Verdict:
    row = asked.connection.execute(text(SEEN)).one()
    if not row.held:
        return ok("none")
    found = f"{row.held}; the oldest waits for {row.held_seconds:.0f} s"
    return ok(found) if row.held_seconds < HELD_SECONDS else warning(found, "planner held list, and decide")


@group.check("audit")
def audit(asked: Asked) -> Verdict:
    """The last one that the workers made; `AUDIT_SECONDS` may not be known here."""
    row = asked.connection.execute(text(AUDITED)).one_or_none()
    run = "planner audit; unless AUDIT_SECONDS is 0, read the logs of dispatcher and worker"
    if row is None:
        return warning("none was made yet", run)
    found = f"{row.seconds:.0f} s ago"
    if faults := {name: number for name, number in row.violations.items() if number}:
        return failed(
            f"{found}: {', '.join(f'{number} {name}' for name, number in faults.items())}",
            "planner audit --all names them",
        )
    if row.seconds > max(AUDIT_SECONDS, 3 * asked.settings.audit_seconds):
        return warning(f"{found}, which is long", run)
    return ok(f"{found}, everything due was there, once")


def _up_to(number: int) -> str:
    return f"{number:,}" + (" or more" if number >= COUNTED else "")
