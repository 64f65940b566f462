"""What a check may say."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, and will not go on well, or not as safely as it could."""
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It could not be looked at, since something else is broken or not to be seen from here."""

    @property
    def rank(self) -> int:
        return list(Status).index(self)


@dataclass(frozen=True, slots=True)
class Verdict:
    status: Status
    found: str
    advice: str = ""
    """What to do, in one line."""


def ok(found: str) -> Verdict:
    return Verdict(Status.OK, found)


def warning(found: str, advice: str) -> Verdict:
    return Verdict(Status.WARNING, found, advice)


def failed(found: str, advice: str) -> Verdict:
    return Verdict(Status.FAILED, found, advice)


def unknown(found: str, advice: str = "") -> Verdict:
    return Verdict(Status.UNKNOWN, found, advice)


def by_size(value: float, found: str, advice: str, *, warns: float, fails: float) -> Verdict:
    """Failed from one bound on, a warning from the other, else all right."""
    if value >= fails:
        return failed(found, advice)
    return warning(found, advice) if value >= warns else ok(found)
