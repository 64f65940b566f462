"""The catalogue of metrics: whose each is, and which series it can have."""

import math

import pytest
from planner_common import metrics
from prometheus_client import REGISTRY, Gauge
from prometheus_client.metrics import MetricWrapperBase

BY_ROUTE = {metrics.http_requests, metrics.http_request_seconds, metrics.rate_limited}
CATALOGUE = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]


def name(metric: MetricWrapperBase) -> str:
    (family,) = metric.describe()
    return family.name


@pytest.mark.parametrize("metric", CATALOGUE, ids=name)
def test_it_is_one_service_s_and_the_values_of_its_labels_are_few_and_known(metric: MetricWrapperBase) -> None:
    if metric is metrics.build:
        return
    assert len([service for service in metrics.SERVICES if metrics.belongs(name(metric), service)]) == 1
    if not metric._labelnames:
        assert metric not in metrics.KNOWN
    elif metric in BY_ROUTE:
        assert set(metric._labelnames) <= {"method", "route", "status"}
    else:
        values = [list(some) for some in metrics.KNOWN[metric]]
        assert len(values) == len(metric._labelnames)
        assert math.prod(map(len, values)) <= 40


def test_what_can_be_counted_begins_at_0_and_a_gauge_as_unknown() -> None:
    metrics.begin("dispatcher", "abc1234")
    queues = {"deliver_urgent", "fan_out", "deliver", "deliver_bulk", "housekeeping"}
    for queue in queues:
        assert REGISTRY.get_sample_value("planner_dispatcher_publish_errors_total", {"queue": queue}) is not None
    for metric in metrics.KNOWN:
        if isinstance(metric, Gauge):
            metric.clear()
    metrics.begin("dispatcher", "abc1234")
    assert REGISTRY.get_sample_value("planner_dispatcher_dependency_up", {"dependency": "redis"}) is None
    (build,) = [sample for sample in metrics.build.collect()[0].samples if sample.labels["service"] == "dispatcher"]
    assert (build.labels["revision"], build.value) == ("abc1234", 1)
