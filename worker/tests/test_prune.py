import pytest
from planner_worker import pruning
from planner_worker.tasks.prune import prune
from sqlalchemy import text

from common.tests.domain import Domain

pytestmark = pytest.mark.usefixtures("settings")


def test_only_what_is_past_its_use_goes(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 1)
    domain.event("ann@example.org")
    domain.connection.execute(
        text("""
            INSERT INTO refresh_tokens (family_id, account_id, token_hash, expires_at)
            SELECT uuidv7(), accounts.id, age::text::bytea, now() - age
              FROM accounts, unnest(ARRAY['1 hour', '2 days', '-1 hour']::interval[]) age
        """)
    )
    domain.connection.execute(
        text("""
            INSERT INTO personal_tokens (account_id, name, scopes, token_hash, expires_at)
            SELECT accounts.id, 'token', '{}', COALESCE(age::text, 'never')::bytea, now() - age
              FROM accounts, unnest(ARRAY['31 days', '29 days', '-1 day', NULL]::interval[]) age
        """)
    )
    domain.connection.execute(
        text("""
            INSERT INTO idempotency_keys (account_id, key, fingerprint, status, headers, body, created_at)
            SELECT accounts.id, age::text, '', 201, '{}', '', now() - age
              FROM accounts, unnest(ARRAY['25 hours', '26 hours', '23 hours']::interval[]) age
        """)
    )
    domain.connection.execute(
        text("""
            INSERT INTO reach (actor, hour, people)
            SELECT uuidv7(), now() - age, 1 FROM unnest(ARRAY['49 hours', '50 hours', '47 hours']::interval[]) age
        """)
    )
    assert prune() == {"refresh_tokens": 2, "personal_tokens": 1, "idempotency_keys": 2, "reach": 2}
    assert prune() == {}
    assert domain.connection.scalar(text("SELECT count(*) FROM refresh_tokens")) == 1
    assert domain.connection.scalar(text("SELECT count(*) FROM personal_tokens")) == 3
    assert domain.connection.scalar(text("SELECT count(*) FROM idempotency_keys")) == 1
    assert domain.connection.scalar(text("SELECT count(*) FROM reach")) == 1


def test_the_newest_audit_stays(domain: Domain) -> None:
    insert = """
        INSERT INTO audits (at, since, seconds, violations, information)
        SELECT now() - age, now(), 1, '{}', '{}' FROM unnest(CAST(:ages AS interval[])) age
    """
    domain.connection.execute(text(insert), {"ages": ["32 days", "31 days", "33 days"]})
    assert prune()["audits"] == 2
    assert domain.connection.scalar(text("SELECT extract(day FROM now() - at) FROM audits")) == 31
    domain.connection.execute(text(insert), {"ages": ["29 days", "1 day"]})
    assert prune()["audits"] == 1


def test_a_removed_channel_stays_for_a_month_and_while_something_is_to_be_sent_by_it(domain: Domain) -> None:
    domain.connection.execute(
        text("""
            WITH channel AS (
                INSERT INTO channels (person_id, type, name, address, ended_at)
                SELECT uuidv7(), 'webhook', name, '', now() - age
                  FROM (VALUES ('free', interval '31 days'), ('waiting', '31 days'), ('done', '31 days'),
                               ('recent', '29 days'), ('alive', NULL)) given (name, age)
                RETURNING id, person_id, name
            )
            INSERT INTO deliveries (person_id, channel_id, type, state, finished_at)
            SELECT person_id, id, 'webhook', CASE name WHEN 'done' THEN 'sent' ELSE 'failed' END,
                   CASE name WHEN 'done' THEN now() END
              FROM channel WHERE name IN ('waiting', 'done')
        """)
    )
    assert prune()["channels"] == 2
    left = domain.connection.execute(text("SELECT name FROM channels ORDER BY name")).scalars()
    assert list(left) == ["alive", "recent", "waiting"]


def test_processes_are_forgotten_after_a_day(domain: Domain) -> None:
    domain.connection.execute(
        text("""
            INSERT INTO processes (id, service, version, tzdata, started_at, seen_at, clock)
            SELECT age::text, 'api', '1', '2026a', now() - age, now() - age, now() - age
              FROM unnest(ARRAY['23 hours', '25 hours']::interval[]) age
        """)
    )
    assert prune()["processes"] == 1
    assert domain.connection.scalar(text("SELECT id FROM processes")) == "23:00:00"


def test_of_what_is_over_the_end_becomes_known(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    over = domain.event("ann@example.org", "bob@example.org", "cat@example.org", "dan@example.org")
    coming = domain.event("ann@example.org", "bob@example.org")
    again = domain.event("ann@example.org", "bob@example.org")
    series = "UPDATE events SET ends_at = now() - interval '1 day', over_at = now() + interval '1 day'"
    domain.connection.execute(text(f"{series} WHERE id = :event"), {"event": again.id})
    ended = "UPDATE events SET ends_at = now() - interval '1 minute' WHERE id = :event RETURNING ends_at"
    end = domain.connection.scalar(text(ended), {"event": over.id})
    assert prune() == {"ends": 3}
    assert prune() == {}
    known = text("SELECT DISTINCT ends_at = :end, ends_at = 'infinity' FROM participants WHERE event_id = :event")
    assert domain.connection.execute(known, {"end": end, "event": over.id}).all() == [(True, False)]
    assert domain.connection.execute(known, {"end": end, "event": coming.id}).all() == [(False, True)]
    assert domain.connection.execute(known, {"end": end, "event": again.id}).all() == [(False, True)]
