"""What the doctor finds, by the name of the check."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from planner_common.doctor import GROUPS, Finding
from planner_common.doctor.examination import examine
from planner_common.settings import Settings

Look = Callable[..., Finding]
Fill = Callable[[int], None]


@pytest.fixture
def look(settings: Settings) -> Look:
    """`look("schema")` runs the group that has this check, with the suite's settings or with others in their place."""

    def look(name: str, **others: Any) -> Finding:
        (group,) = [group for group in GROUPS if name in group.checks]
        findings = examine(Settings(**{**settings.model_dump(exclude_unset=True), **others}), [group])
        return next(finding for finding in findings if finding.check == name)

    return look


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> Fill:
    """`fill(90)`: every disk is that full, in percent, whatever those of this machine are."""

    def fill(percent: int) -> None:
        usage = type(shutil.disk_usage("/"))(100 * 10**9, percent * 10**9, (100 - percent) * 10**9)
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)

    return fill
