import pytest
from planner_worker.tasks import prune as pruning
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
    assert prune() == {"refresh_tokens": 2, "personal_tokens": 1}
    assert prune() == {"refresh_tokens": 0, "personal_tokens": 0}
    assert domain.connection.scalar(text("SELECT count(*) FROM refresh_tokens")) == 1
    assert domain.connection.scalar(text("SELECT count(*) FROM personal_tokens")) == 3
