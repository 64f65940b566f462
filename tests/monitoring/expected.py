"""What every panel is to say after that traffic: by dashboard and title, the legends, and between which numbers."""

import math
from dataclasses import dataclass

from planner_common.messages import Queue, Task

from tests.monitoring.conftest import JOBS
from tests.monitoring.traffic import GUESTS, Traffic

Bounds = tuple[float, float]

NONE: Bounds = (0, 0)
ANY: Bounds = (0, math.inf)
OTHERS = ANY
SOME: Bounds = (1e-9, math.inf)
SOON: Bounds = (1e-9, 10)
"""Seconds that something took, on a machine that does little else."""


@dataclass(frozen=True)
class Answer:
    """The series by legend. `others`: between which numbers those lie that are not named; without it there are none."""

    series: dict[str, Bounds]
    others: Bounds | None = None


def exactly(number: float) -> Bounds:
    return number, number


def after(sent: Traffic) -> dict[str, dict[str, Answer]]:
    def counted(number: float, more: float = 0) -> Bounds:
        return number * 0.999, (number + more) * sent.stretch * 1.001

    def per_second(number: float, more: float = 0) -> Bounds:
        low, high = counted(number, more)
        return low / sent.seconds, high / sent.seconds

    told = sent.events * (1 + GUESTS)
    overview = {
        "Firing alerts": Answer({"firing": exactly(len(sent.alerts))}),
        "Budget used": Answer({"availability": NONE, "notification": NONE, "latency": ANY}),
        "Burn rates": Answer({"availability": NONE, "notification": NONE, "latency": ANY}),
        "Last success of the canary": Answer({"ago": (0, 10)}),
        "Latency of the canary": Answer({"p50": SOON, "p99": SOON}),
        "Runs of the canary": Answer({"told": per_second(1, sent.canaries)}, OTHERS),
        "Requests": Answer(
            {
                "GET /api/v1/me": per_second(sent.looks),
                "POST /api/v1/events": per_second(sent.events, sent.canaries),
                "GET /api/v1/events/{event_id}": per_second(sent.missing, sent.canaries),
            },
            OTHERS,
        ),
        "Errors": Answer({"404 GET /api/v1/events/{event_id}": per_second(sent.missing)}, OTHERS),
        "Duration by route": Answer({"GET /api/v1/me": SOON, "POST /api/v1/events": SOON}, OTHERS),
        "Duration": Answer({"p50": SOON, "p99": SOON}),
        "Refused for their number": Answer({}, NONE),
        "Answers from the cache": Answer({"near": ANY, "hit": ANY, "miss": ANY, "error": NONE}),
        "Live streams": Answer({"open": NONE}),
        "Connections of the API": Answer({"used": (0, 10), "idle": (0, 10), "limit": (10, 20)}),
        "Wait for a connection": Answer({"p99": SOON}),
        "Targets": Answer({job: exactly(1) for job in JOBS}),
        "Reached by the dispatcher": Answer({"postgresql": exactly(1), "redis": exactly(1)}),
        "Memory of Redis": Answer({"used": (1e5, 1e9), "limit": (1e6, 1e12)}),
        "Connections to PostgreSQL": Answer({"limit": (100, 200), "active": SOME, "idle": SOME}, OTHERS),
        "Size of the database": Answer({"size": (1e6, 1e12)}),
        "Schema": Answer({"behind": NONE}),
        "Alive": Answer({service: exactly(1) for service in ("api", "dispatcher", "worker")}, OTHERS),
        "Children of the workers": Answer({"children": exactly(2)}),
        "Cost of a scrape": Answer({"scrape": (1e-6, 1)}),
        "What runs": Answer({}, OTHERS),
    }
    pipeline = {
        "Claimed": Answer({"changes": per_second(sent.events, math.inf), "deliveries": per_second(sent.mails)}),
        "Messages": Answer({"fan_out": SOME, "deliver": SOME}, OTHERS),
        "The dispatcher's turns": Answer({"duration": SOON, "lag": SOON}),
        "Waiting": Answer(dict.fromkeys(Queue, NONE)),
        "Waiting, by priority": Answer({f"{queue} {priority}": NONE for queue in Queue for priority in (0, 3, 6, 9)}),
        "Consumers": Answer({queue: exactly(1) for queue in Queue}),
        "Tasks": Answer({f"{Task.FAN_OUT} SUCCESS": SOME, f"{Task.DELIVER} SUCCESS": SOME}, OTHERS),
        "Lateness": Answer({Task.FAN_OUT: SOON, Task.DELIVER: SOON}, OTHERS),
        "Duration": Answer({Task.FAN_OUT: SOON, Task.DELIVER: SOON}, OTHERS),
        "Notifications written": Answer({"written": per_second(told, sent.canaries)}),
        "From the commit to the inbox": Answer({"p50": SOON, "p99": SOON}),
        "Deliveries": Answer({"email sent": per_second(sent.mails)}, OTHERS),
        "Tries": Answer({"email accepted": per_second(sent.mails)}, OTHERS),
        "From the commit to the provider's yes": Answer({"email p50": SOON, "email p99": SOON}, OTHERS),
        "Duration of a try": Answer({"email": SOON}, OTHERS),
        "To be tried again": Answer({"email": NONE}, NONE),
        "Put off": Answer({}, NONE),
    }
    stuck = {
        "Firing alerts": Answer({" ".join(alert): exactly(1) for alert in sent.alerts.items()} or {"-": NONE}),
        "Oldest work that is due": Answer({"oldest": (0, 10)}),
        "Given up": Answer({"dead": NONE}),
        "Faults": Answer({"faults": NONE}),
        "Backlog": Answer(dict.fromkeys(("fan_out", "deliver_urgent", "deliver", "deliver_bulk"), (0, 10))),
        "Age of the oldest": Answer(dict.fromkeys(("fan_out", "deliver_urgent", "deliver", "deliver_bulk"), (0, 10))),
        "Taken and not acknowledged": Answer({"unacked": NONE}),
        "Leases that ran out": Answer({"changes": NONE, "deliveries": NONE}),
        "Redeliveries": Answer({}, NONE),
        "Stuck children": Answer({"killed": NONE}),
        "Messages that Redis did not take": Answer(dict.fromkeys(Queue, NONE)),
        "Turns of the dispatcher that failed": Answer({"postgresql": NONE, "redis": NONE}),
        "Held": Answer({"held": NONE}),
        "Oldest of them": Answer({"oldest": NONE}),
        "Deliveries": Answer({"dead": NONE, "outcome unknown": NONE}),
        "Faults by invariant": Answer({}, NONE),
        "Age of the last audit": Answer({"age": (0, 60)}),
        "Memory of Redis": Answer({"used": (0.0001, 0.8)}),
        "Dropped by Redis": Answer({"keys": NONE}),
        "Connections to PostgreSQL": Answer({"server": (0.01, 0.8), "pool of the API": (0, 1)}),
        "Requests without a connection": Answer({"timeouts": NONE}),
    }
    return {"planner-overview": overview, "planner-pipeline": pipeline, "planner-stuck": stuck}
