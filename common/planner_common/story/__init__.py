"""The story of one thing, from the tables: a request, an event, a change, a notification or a delivery.

What was committed, when it was fanned out, who was told, what was tried and what came of it, in the order in which it
happened; and what has not happened yet. People are ids and of a change only the names of its fields are shown: a story
may be pasted into a ticket. `finding` says what an id means, `reading` reads the rows, `telling` makes moments of them.
"""

from planner_common.story.finding import Subject, find
from planner_common.story.reading import FEW
from planner_common.story.telling import Moment, Story, tell

__all__ = ["FEW", "Moment", "Story", "Subject", "find", "tell"]
