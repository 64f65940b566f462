"""An exporter that serves, and what it says."""

import threading
from collections.abc import Callable, Iterator
from wsgiref.simple_server import make_server

import httpx
import pytest
from planner_common.settings import Settings
from planner_exporter.__main__ import Exporter, QuietHandler
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture
def exporter(settings: Settings) -> Iterator[Exporter]:
    exporter = Exporter(settings)
    yield exporter
    exporter.thread.shutdown()
    exporter.redis.close()
    exporter.session.close()


@pytest.fixture
def url(exporter: Exporter) -> Iterator[str]:
    with make_server("127.0.0.1", 0, exporter, ThreadingWSGIServer, QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def scrape(url: str) -> Callable[[], dict[str, float]]:
    """The samples by name and labels' values: `planner_queue_unacked`, `planner_queue_depth 0 fan_out`."""

    def scrape() -> dict[str, float]:
        answer = httpx.get(f"{url}/metrics", trust_env=False, timeout=30)
        answer.raise_for_status()
        return {
            " ".join((sample.name, *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    return scrape
