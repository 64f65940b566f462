"""Planner's Celery workers, the dispatcher that feeds them, and Flower."""

from planner_common.absent import without

# Here, before any module of ours imports a library (`planner_common` also sees to what redis-py imports). Kombu would
# speak YAML too, since Apprise brings it: 1 MB.
with without("yaml"):
    import kombu.serialization  # noqa: F401
