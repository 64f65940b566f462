"""The canary's accounts, as `planner migrate` makes them."""

import os
import subprocess
from typing import Any

import pytest
from planner_common.canary import ORGANIZER, PARTICIPANT, token
from planner_common.canary.accounts import keep_accounts
from planner_common.people import person_id
from planner_common.tokens import PERSONAL_PREFIX, digest, looks_genuine
from sqlalchemy import Connection, text

from common.tests.test_cli import PLANNER

KEY = "a key of the canary, which is long enough"
TOKENS = "SELECT a.email, t.token_hash FROM personal_tokens t JOIN accounts a ON a.id = t.account_id"


def tokens(connection: Connection) -> dict[str, bytes]:
    return {row.email: row.token_hash for row in connection.execute(text(TOKENS))}


def scalars(connection: Connection, statement: str) -> list[Any]:
    return list(connection.scalars(text(statement)))


def test_each_account_has_a_token_of_its_own_that_follows_from_the_key() -> None:
    made = {token(key, email) for key in (KEY, KEY + "!") for email in (ORGANIZER, PARTICIPANT)}
    assert len(made) == 4
    assert all(looks_genuine(one, PERSONAL_PREFIX) for one in made)
    assert token(KEY, ORGANIZER) == token(KEY, ORGANIZER)


def test_migrating_twice_at_once_makes_them_once(connection: Connection, database: str) -> None:
    environment = os.environ | {"DATABASE_URL": database, "CANARY_KEY": KEY}
    migrations = [subprocess.Popen([PLANNER, "migrate"], env=environment, stdout=subprocess.DEVNULL) for _ in "12"]
    assert [migration.wait(60) for migration in migrations] == [0, 0]
    assert tokens(connection) == {email: digest(token(KEY, email)) for email in (ORGANIZER, PARTICIPANT)}
    assert scalars(connection, "SELECT count(*) FROM accounts") == [2]
    assert scalars(connection, "SELECT kinds FROM routes WHERE until IS NULL") == [[], []]


def test_without_a_key_there_are_none(connection: Connection, database: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database}
    subprocess.run([PLANNER, "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert scalars(connection, "SELECT count(*) FROM accounts") == [0]


def test_another_key_ends_the_tokens_of_the_one_before(connection: Connection) -> None:
    keep_accounts(connection, KEY)
    keep_accounts(connection, KEY + "!")
    assert tokens(connection) == {email: digest(token(KEY + "!", email)) for email in (ORGANIZER, PARTICIPANT)}


@pytest.mark.parametrize("email", [ORGANIZER, PARTICIPANT])
def test_an_address_that_somebody_registered_is_theirs_no_longer(connection: Connection, email: str) -> None:
    theirs = text("""
        WITH account AS (
            INSERT INTO accounts (person_id, email, name, time_zone, locale, password_hash, admin)
            VALUES (:person, :email, 'Eve', 'UTC', 'en', 'a hash of hers', true) RETURNING id
        ), session AS (
            INSERT INTO refresh_tokens (family_id, account_id, token_hash, expires_at)
            SELECT uuidv7(), id, 'session', now() + interval '1 day' FROM account
        ), route AS (
            INSERT INTO routes (person_id, channel_id, type, kinds) VALUES (:person, :person, 'email', '{response}')
        )
        INSERT INTO personal_tokens (account_id, name, scopes, token_hash)
        SELECT id, 'hers', '{read}', 'token' FROM account
    """)
    connection.execute(theirs, {"person": person_id(email), "email": email})
    keep_accounts(connection, KEY)
    assert tokens(connection)[email] == digest(token(KEY, email))
    assert len(tokens(connection)) == 2
    assert scalars(connection, "SELECT count(*) FROM refresh_tokens") == [0]
    assert scalars(connection, "SELECT kinds FROM routes WHERE until IS NULL") == [[], []]
    assert scalars(connection, "SELECT admin FROM accounts") == [False, False]
    assert scalars(connection, "SELECT count(*) FROM accounts WHERE password_hash = 'a hash of hers'") == [0]
