"""`python -m bench.switched`: the API, which counts for `BLOCK` requests and does not for as many, in turns.

One process that is switched, for two that are started alike differ by as much as metrics cost; and often, for so does
one process from minute to minute. `GET /turns` tells what each turn took, and forgets it.
"""

import time
from typing import Self

from planner_api import __main__ as api
from planner_api import middleware
from planner_common import metrics
from prometheus_client.metrics import MetricWrapperBase
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

BLOCK = 100


class Nothing:
    """Takes what a counter, gauge or histogram takes."""

    def labels(self, *_values: object) -> Self:
        return self

    def inc(self, _amount: float = 1) -> None: ...

    def set(self, _value: float) -> None: ...

    def observe(self, _amount: float) -> None: ...


COUNTING = {name: one for name, one in vars(metrics).items() if isinstance(one, MetricWrapperBase)}
SILENT = dict.fromkeys(COUNTING, Nothing())


class Switched:
    """The application as its server sees it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.counting = True
        self.forget()

    def forget(self) -> None:
        self.took: dict[str, list[tuple[float, float]]] = {"on": [], "off": []}
        self.left = BLOCK
        self.began = time.perf_counter(), time.process_time()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/turns":
            answer = JSONResponse(self.took)
            self.forget()
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)
        if scope["type"] == "http":
            self.left -= 1
            if not self.left:
                self.turn()

    def turn(self) -> None:
        now = time.perf_counter(), time.process_time()
        took = now[0] - self.began[0], now[1] - self.began[1]
        self.took["on" if self.counting else "off"].append(took)
        self.counting = not self.counting
        vars(metrics).update(COUNTING if self.counting else SILENT)
        middleware.series.cache_clear()
        self.left, self.began = BLOCK, now


def application() -> Switched:
    return Switched(api_application())


api_application = api.application
vars(api)["application"] = application

if __name__ == "__main__":
    api.main()
