"""The canary's two accounts: one organizes, the other answers, and who organizes is told.

The canary and `planner migrate` agree by a key (`CANARY_KEY`) alone: both derive the accounts' personal tokens from it.
So neither has to ask the other, and the canary needs no database. Nor does it load here what only `accounts` needs.
"""

from planner_common.tokens import PERSONAL_PREFIX, derived_secret

ORGANIZER = "canary-organizer@planner.invalid"
PARTICIPANT = "canary-participant@planner.invalid"
"""Below a domain that nobody can have (RFC 6761 §6.4)."""


def token(key: str, email: str) -> str:
    """The personal token of one of the accounts."""
    return derived_secret(PERSONAL_PREFIX, key, f"canary {email}")
