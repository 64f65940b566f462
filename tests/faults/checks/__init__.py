"""The checker: each module compares some of the evidence, and yields what is wrong.

All of it is worked out anew from rows, in Python: nothing of what is under test is asked or imported.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    """What was broken, the same words for each case."""
    case: str
