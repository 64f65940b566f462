"""Running the checks: each of them, whatever hangs or fails, and within a time."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from planner_common.doctor.verdicts import Status, Verdict, failed, unknown
from planner_common.logging import in_short
from planner_common.settings import Settings

SECONDS = 12.0
"""How long all of it may take."""

Patient = TypeVar("Patient")


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    status: Status
    found: str
    advice: str


class Group(Generic[Patient]):
    """Checks of one thing, which `open_` makes from the settings and ends. `@group.check("name")` adds one."""

    def __init__(self, name: str, advice: str, open_: Callable[[Settings], AbstractContextManager[Patient]]) -> None:
        """`advice`: what to do when it does not open, or a check of it ends with an error."""
        self.name = name
        self.advice = advice
        self.open = open_
        self.checks: dict[str, Callable[[Patient], Verdict]] = {}

    def check(self, name: str) -> Callable[[Callable[[Patient], Verdict]], Callable[[Patient], Verdict]]:
        def add(check: Callable[[Patient], Verdict]) -> Callable[[Patient], Verdict]:
            self.checks[name] = check
            return check

        return add

    def examine(self, settings: Settings, note: Callable[[str, Verdict], None]) -> None:
        """Hand each verdict to `note`. The first check stands for the opening too."""
        try:
            with self.open(settings) as patient:
                for name, check in self.checks.items():
                    note(name, self._verdict(check, patient))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
            note(next(iter(self.checks)), failed(in_short(error), self.advice))

    def _verdict(self, check: Callable[[Patient], Verdict], patient: Patient) -> Verdict:
        try:
            return check(patient)
        except Exception as error:  # noqa: BLE001  # likewise
            return failed(in_short(error), self.advice)


def examine(settings: Settings, groups: Sequence[Group[Any]], seconds: float = SECONDS) -> list[Finding]:
    """The findings of all groups, in their order. What has not been said in time is said to hang, or to be unknown."""
    deadline = time.monotonic() + seconds
    noted: list[dict[str, Verdict]] = [{} for _ in groups]
    threads = [
        threading.Thread(target=group.examine, args=(settings, verdicts.__setitem__), daemon=True)
        for group, verdicts in zip(groups, noted, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [
        Finding(name, verdict.status, verdict.found, verdict.advice)
        for group, thread, verdicts in zip(groups, threads, noted, strict=True)
        for name, verdict in _completed(group, dict(verdicts), seconds if thread.is_alive() else None).items()
    ]


def _completed(group: Group[Any], verdicts: dict[str, Verdict], hung: float | None) -> dict[str, Verdict]:
    """The verdicts in the order of the checks, with one for those that were not reached."""
    for name in group.checks:
        if name in verdicts:
            continue
        if hung is not None:
            verdicts[name] = failed(f"no answer within {hung:g} s", group.advice)
            hung = None
        else:
            verdicts[name] = unknown(f"not looked at: {group.name} does not answer")
    return {name: verdicts[name] for name in group.checks}
