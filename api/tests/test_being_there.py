import pytest
from planner_api.presence import Presence
from planner_common import presence as module
from planner_common.settings import Settings
from planner_local.servers import free_port
from sqlalchemy import Connection

from tests.system import until


def test_a_process_is_there_from_its_start_to_its_stop(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although PostgreSQL was away when it began."""
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)

    def rows() -> list[tuple[object, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql("SELECT service, seen_at FROM processes")]

    presence = Presence(settings, "api")
    url, presence.url = presence.url, f"postgresql://planner@127.0.0.1:{free_port()}/planner"
    presence.say("SELECT")
    presence.url = url
    presence.start()
    until(rows, "the row")
    (first,) = rows()
    assert first[0] == "api"
    until(lambda: rows()[0] != first, "another beat")
    presence.stop()
    assert not rows()
