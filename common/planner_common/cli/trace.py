"""`planner trace`: the story of one thing."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from planner_common.cli.base import app, connect, console
from planner_common.cli.dead import Json
from planner_common.cli.output import as_json, fail, shown
from planner_common.story import FEW, Story, find, tell
from planner_common.story.open import stamp, times


@app.command()
def trace(
    thing: Annotated[str, typer.Argument(metavar="ID", help="Of a request, event, change, notification or delivery.")],
    every: Annotated[
        bool, typer.Option("--all", help=f"Tell of everyone, not only of {FEW} people per change.")
    ] = False,
    json: Json = False,
) -> None:
    """Tell what became of one thing, in order: changes, notifications, deliveries, tries, and what is still to come.

    Times are milliseconds from the first. People are ids, and nothing is shown of what they wrote. Exits with 1 when
    nothing has this id.
    """
    with connect().connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        subject = find(connection, thing)
        if subject is None:
            fail(f"{shown(thing)}: no event, change, notification or delivery has this id, nor a request that changed")
        story = tell(connection, subject, None if every else FEW)
    if json:
        as_json(story.as_json())
    else:
        _print(story)


def _print(story: Story) -> None:
    first = story.moments[0].at if story.moments else None
    console.print(
        f"{story.subject.what} {shown(story.subject.id)}" + (f", from {stamp(first)}" if first else ""), markup=False
    )
    offsets = [f"{story.milliseconds(moment):+,.0f} ms" for moment in story.moments]
    width = max(map(len, offsets), default=0)
    for offset, moment in zip(offsets, story.moments, strict=True):
        line = SENTENCES[moment.what](moment.facts)
        console.print(f"{offset:>{width}}  {shown(line)}", markup=False, highlight=False)
    if story.untold:
        console.print(f"… and {story.untold} more: --all tells of each")
    if not story.moments:
        console.print("nothing has happened to it")
    for each in story.open:
        console.print(f"open: {shown(each.text)}", markup=False, highlight=False)


def _change(f: dict[str, Any]) -> str:
    parts = [f"change {f['change_id']}: {f['kind']} of event {f['event_id']}, revision {f['revision']}"]
    if f["fields"]:
        parts.append("fields " + ", ".join(f["fields"]))
    parts.append(f"by person {f['actor']}" if f["actor"] else "by the system")
    parts += [f"{name} {f[f'{name}_id']}" for name in ("request", "trace") if f[f"{name}_id"]]
    if not f["told"]:
        parts.append("nobody is to be told")
    return "; ".join(parts)


def _fanned_out(f: dict[str, Any]) -> str:
    number = f["notifications"]
    told = f"{number} notification{'' if number == 1 else 's'}" + (f", {f['read']} read" if f["read"] else "")
    by = (
        f"; {kind}: " + ", ".join(f"{number} {state}" for state, number in states.items())
        for kind, states in f["deliveries"].items()
    )
    return f"change {f['change_id']} fanned out, handed out {times(f['claims'])}: {told}{''.join(by)}"


def _delivery(f: dict[str, Any]) -> str:
    about = (
        f"for person {f['person']}" if f["purpose"] == "notification" else f"a {f['purpose']} for person {f['person']}"
    )
    return f"delivery {f['delivery_id']} by {f['type']}, lane {f['lane']}, {about}" + (
        f", in digest {f['in_digest']}" if f["in_digest"] else ""
    )


def _attempt(f: dict[str, Any]) -> str:
    took = "" if f["milliseconds"] is None else f" after {f['milliseconds']} ms"
    answer = " ".join(str(f[name]) for name in ("status", "detail") if f[name] is not None)
    outcome = f["outcome"] or "under way"
    return f"try under claim {f['number']} of delivery {f['delivery_id']}: {outcome}{took}" + (
        f": {answer}" if answer else ""
    )


def _finished(f: dict[str, Any]) -> str:
    why = f" ({f['reason']})" if f["reason"] else ""
    return f"delivery {f['delivery_id']} {f['state']}{why}" + (
        f", by revision {f['superseded_by']}" if f["superseded_by"] else ""
    )


SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "change": _change,
    "held": lambda f: f"change {f['change_id']} held: it reaches very many people",
    "decided": lambda f: (
        f"change {f['change_id']} {f['decision']} by " + (f"admin {f['by']}" if f["by"] else "an operator")
    ),
    "fanned_out": _fanned_out,
    "notification": lambda f: f"notification {f['notification_id']} for person {f['person']}",
    "delivery": _delivery,
    "attempt": _attempt,
    "finished": _finished,
    "read": lambda f: f"notification {f['notification_id']} read",
}
