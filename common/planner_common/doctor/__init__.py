"""What an operator would look at, and what is to be done where it is not as it should be: `planner doctor`.

A module for each noun, a function for each check. Checks that ask the same server are a group: they share what was
opened for them and run one after the other, while groups run side by side, each for as long as all are given.
"""

from planner_common.doctor import database, mail, processes, redis, surroundings, tables, work  # noqa: F401  # each adds its checks to PostgreSQL's
from planner_common.doctor.examination import Finding, examine
from planner_common.doctor.verdicts import Status
from planner_common.settings import Settings

__all__ = ["Finding", "Status", "look"]

GROUPS = (database.group, redis.group, mail.group, surroundings.group)


def look(settings: Settings) -> list[Finding]:
    """Every finding, in the order in which one reads them, within `examination.SECONDS`."""
    return examine(settings, GROUPS)
