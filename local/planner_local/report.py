"""What the demo prints."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any

from planner_common.audit import Findings
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from planner_local.client import Person
from planner_local.watch import Inbox, QueueWatch

LISTED = 5
BARS = " ▁▂▃▄▅▆▇█"
COLUMNS = 60
MEDIAN, NINETY_NINE = 0.5, 0.99
SLOW = 1.0


def names(people: Sequence[Person]) -> str:
    return ", ".join(person.name for person in people[:-1]) + f" and {people[-1].name}"


def number(of: int, what: str) -> str:
    return f"{of:,} {what}" + ("" if of == 1 else "s")


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= SLOW else f"{value * 1000:.0f} ms"


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that a share of `q` of them does not exceed."""
    return sorted(values)[max(0, ceil(q * len(values)) - 1)]


def imported(console: Console, answer: dict[str, Any], took: float) -> None:
    failed = answer["failed"]
    rest = "".join(f", {answer[what]} {what}" for what in ("updated", "unchanged") if answer[what])
    events = number(answer["created"], "event")
    console.print(f"[bold]{events}[/bold] imported in {seconds(took)}{rest}, {len(failed)} failed")
    for fault in failed[:LISTED]:
        console.print(f"  {escape(str(fault['uid']))}: {escape(fault['detail'])}", style="yellow")
    if len(failed) > LISTED:
        console.print(f"  … and {len(failed) - LISTED} more", style="yellow")


def latencies(console: Console, causes: Callable[[str, str, int], list[float]], inboxes: Sequence[Inbox]) -> None:
    """Per kind of notification: how many, and how long from the request being sent to the live stream's line."""
    took: dict[str, list[float]] = {}
    for inbox in inboxes:
        of_one_kind: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for arrived, notification in inbox.arrived.values():
            key = (notification["event"]["id"], notification["kind"])
            of_one_kind.setdefault(key, []).append((notification["revision"], arrived))
        for (event_id, kind), arrivals in of_one_kind.items():
            sent = causes(event_id, kind, len(arrivals))
            took.setdefault(kind, []).extend(at - since for (_, at), since in zip(sorted(arrivals), sent, strict=True))
    table = Table(title="From request to inbox", title_style="bold", title_justify="left")
    for heading in ("kind", "notifications", "median", "99 %", "worst"):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    if not took:
        return
    rows = [*sorted(took.items()), ("all", [value for each in took.values() for value in each])]
    for kind, values in rows:
        if kind == "all":
            table.add_section()
        figures = (quantile(values, MEDIAN), quantile(values, NINETY_NINE), max(values))
        table.add_row(kind, f"{len(values):,}", *map(seconds, figures))
    console.print(table)


def queue(console: Console, watched: QueueWatch, since: float) -> None:
    """The changes that waited for their notifications, over time: a bar per look, or per few looks."""
    looks = [(at - since, backlog, depth) for at, backlog, depth in watched.looks if at >= since]
    if not looks:
        console.print("The exporter could not be asked for the queue.", style="yellow")
        return
    most = max(backlog for _, backlog, _ in looks)
    step = ceil(len(looks) / COLUMNS)
    tops = [max(backlog for _, backlog, _ in looks[i : i + step]) for i in range(0, len(looks), step)]
    bars = "".join(BARS[ceil(top / most * (len(BARS) - 1)) if most else 0] for top in tops)
    empty = next((at for at, *rest in reversed(looks) if any(rest)), None)
    console.print(f"[bold]Waiting changes[/bold] │{bars}│ over {seconds(looks[-1][0])}, seen {len(looks)} times")
    drained = f"empty for good {seconds(empty)} after the import was sent" if empty is not None else "never any"
    depth = max(depth for *_, depth in looks)
    console.print(f"at most {most:,.0f} changes waited, and {depth:,.0f} messages in the broker; {drained}")


def mails(console: Console, states: Mapping[str, int], folder: str) -> None:
    """How many went out, and where they are to be read."""
    if not states:
        console.print("[bold]Mails[/bold]  none: no mail server is set up")
        return
    rest = {
        "superseded": "not sent, since they were out of date by then",
        "pending": "waiting",
        "failed": "to be tried again",
        "dead": "given up",
    }
    said = [
        f"{states.get('sent', 0):,} sent",
        *(f"{states[state]:,} {what}" for state, what in rest.items() if state in states),
    ]
    console.print(
        f"[bold]Mails[/bold]  {', '.join(said)}" + (f"; they are files in {folder}" if folder else ""), markup=True
    )


def verdict(console: Console, found: Findings, told: int, faults: Sequence[str]) -> int:
    """Print it; 0 if all is well, else 1."""
    console.print(
        f"[bold]Audit[/bold] of the whole database: {found.events:,} events, {found.changes:,} changes, "
        f"{found.notifications:,} notifications; {found.missing_count} missing, {found.extra_count} extra, "
        f"{found.pending} changes pending"
    )
    for fault in faults:
        console.print(f"  {fault}", style="red", markup=False)
    if faults or found.pending or not found.ok:
        console.print("Not everything due is there.", style="bold red")
        return 1
    if told:
        console.print(f"All {told:,} notifications of these people are there, each once.", style="bold green")
    else:
        console.print("There was nothing to tell anyone.", style="bold yellow")
    return 0
