"""What the children of a worker share with its main process: the memory of all that was there when they were forked.

A page is copied for who writes to it, and Python writes where one would think that it only reads: the collector marks
whatever it looks at. So what each child would make for itself is made before, and kept from the collector.
"""

import gc

from billiard.util import get_pdeathsig

from planner_worker.database import engine


def share() -> None:
    """To be called right before the first fork."""
    get_pdeathsig()  # where there is cffi, billiard has it parse C for this, and a child would build the parser anew
    engine()  # it connects in the child, and is imported and set up here
    gc.collect()
    gc.freeze()
