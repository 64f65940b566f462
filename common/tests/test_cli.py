import os
import re
import subprocess
import sys
from pathlib import Path

from sqlalchemy import Connection, text

PLANNER = Path(sys.executable).with_name("planner")

# An event whose first change nobody has fanned out.
PENDING = """
    WITH account AS (
        INSERT INTO accounts (person_id, email, name, time_zone, locale, password_hash)
        VALUES (gen_random_uuid(), 'ann@example.org', 'Ann', 'UTC', 'en', '') RETURNING id
    ), event AS (
        INSERT INTO events (uid, organizer_id, title, all_day, start_wall, end_wall, starts_at, ends_at)
        SELECT 'dinner', id, 'Dinner', true, '2030-05-01', '2030-05-02', '2030-05-01', '2030-05-02' FROM account
        RETURNING id
    )
    INSERT INTO changes (event_id, revision, kind, audience_size, at)
    SELECT id, 1, 'creation', 0, now() - make_interval(secs => :age) FROM event
"""


def planner(database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DATABASE_URL": database, "COLUMNS": "120"}
    return subprocess.run([PLANNER, *arguments], check=False, capture_output=True, text=True, env=environment)


def test_audit_waits_for_what_is_pending_and_no_longer_than_told(connection: Connection, database: str) -> None:
    connection.execute(text(PENDING), {"age": 0})
    done = planner(database, "audit", "--wait", "0.3")
    assert done.stdout.startswith("1 events, 1 changes, 0 notifications: 0 missing, 0 extra, 1 changes pending"), done
    assert done.returncode == 0


def test_audit_fails_when_a_change_is_stuck(connection: Connection, database: str) -> None:
    connection.execute(text(PENDING), {"age": 3600})
    done = planner(database, "audit", "--stuck", "60")
    assert re.search(r"change_stuck: 1\n +change \d+, for 1:00:", done.stdout), done
    assert done.returncode == 1
