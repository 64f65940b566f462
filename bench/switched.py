"""`python -m bench.switched`: the API, whose metrics do nothing from SIGUSR1 on and count again from SIGUSR2 on.

One process that is switched, for two that are started alike differ by as much as metrics cost.
"""

import signal
from collections.abc import Mapping
from types import FrameType
from typing import Self

from planner_api import __main__ as api
from planner_api import middleware
from planner_common import metrics
from prometheus_client.metrics import MetricWrapperBase


class Nothing:
    """Takes what a counter, gauge or histogram takes at a request."""

    def labels(self, *_values: object) -> Self:
        return self

    def inc(self, _amount: float = 1) -> None: ...

    def observe(self, _amount: float) -> None: ...


COUNTING = {name: one for name, one in vars(metrics).items() if isinstance(one, MetricWrapperBase)}
SILENT = dict.fromkeys(COUNTING, Nothing())


def take(catalogue: Mapping[str, object]) -> None:
    vars(metrics).update(catalogue)
    middleware.series.cache_clear()


def switch(number: int, _frame: FrameType | None) -> None:
    take(SILENT if number == signal.SIGUSR1 else COUNTING)


if __name__ == "__main__":
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, switch)
    api.main()
