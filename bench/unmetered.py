"""`python -m bench.unmetered`: the API with a catalogue whose metrics do nothing."""

from contextlib import AbstractContextManager, nullcontext
from typing import Self

from planner_api import __main__ as api
from planner_common import metrics
from prometheus_client.metrics import MetricWrapperBase


class Nothing:
    """Takes what a counter, gauge or histogram takes."""

    def labels(self, *_values: object) -> Self:
        return self

    def inc(self, _amount: float = 1) -> None: ...

    def dec(self, _amount: float = 1) -> None: ...

    def set(self, _value: float) -> None: ...

    def observe(self, _amount: float) -> None: ...

    def time(self) -> AbstractContextManager[None]:
        return nullcontext()


for name, metric in list(vars(metrics).items()):
    if isinstance(metric, MetricWrapperBase):
        setattr(metrics, name, Nothing())
metrics.KNOWN = {}  # so that nothing is made to begin at 0

if __name__ == "__main__":
    api.main()
