"""`planner audit`: is everything that is due there, once, and does nothing lie about forgotten (I2, I3)?

What is due is computed here from the change log by queries of their own, written differently from `changes.AUDIENCE`
and `deliveries.ROUTED` on purpose: a mistake shared by the writer and the auditor would be seen by neither.

`notifications`, `deliveries` and `backlog` each ask for one kind of row; `snapshot` asks all of them at one moment.
"""

from planner_common.audit.backlog import pending, waiting
from planner_common.audit.findings import Fault, Findings, Information, Invariant
from planner_common.audit.notifications import DUE
from planner_common.audit.scope import Scope
from planner_common.audit.snapshot import audit, begin, look

__all__ = [
    "DUE",
    "Fault",
    "Findings",
    "Information",
    "Invariant",
    "Scope",
    "audit",
    "begin",
    "look",
    "pending",
    "waiting",
]
