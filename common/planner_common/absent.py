"""Importing a library without what it would use because it happens to be installed, and we do not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(name: str) -> Iterator[None]:
    """Within the block the module can't be imported, as where it is not installed; unless somebody has it already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # which the import system takes for «not found»
    try:
        yield
    finally:
        del sys.modules[name]
