"""Which processes live, by their own word."""

from pathlib import Path

from planner_common.messages import Queue

from tests.system import System, until


def test_services_are_there_while_they_run(tmp_path: Path) -> None:
    with System(tmp_path) as system, system.connect() as database:

        def services() -> dict[str, list[str]]:
            return dict(database.execute("SELECT service, queues FROM processes").fetchall())

        until(lambda: len(services()) == 3, "all of them have said so")
        assert services() == {"api": [], "dispatcher": [], "worker": list(Queue)}
        for name in ("worker", "dispatcher", "api"):
            assert system.stop(name) == 0
            assert name not in services()
