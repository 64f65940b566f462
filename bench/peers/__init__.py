"""What else one would use for the same work, each as a good engineer would write it with that tool: one task for each
recipient, which inserts the row by the ORM. All write into the table that Planner writes into, with all its indexes."""

import importlib
import os
import sys
from types import ModuleType


def load(name: str, environment: dict[str, str]) -> ModuleType:
    """A peer's module, anew: it reads where its servers are when it is imported, and each benchmark has its own."""
    os.environ |= environment
    sys.modules.pop(f"bench.peers.{name}", None)
    return importlib.import_module(f"bench.peers.{name}")
