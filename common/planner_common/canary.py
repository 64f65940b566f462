"""The canary's two accounts: one organizes, the other answers, and who organizes is told.

The canary and `planner migrate` agree by a key (`CANARY_KEY`) alone: both derive the accounts' personal tokens from it.
So neither has to ask the other, and the canary needs no database.
"""

from sqlalchemy import Connection, text

from planner_common.people import person_id
from planner_common.tokens import PERSONAL_PREFIX, derived_secret, digest

ORGANIZER = "canary-organizer@planner.invalid"
PARTICIPANT = "canary-participant@planner.invalid"
"""Below a domain that nobody can have (RFC 6761 §6.4)."""

NO_PASSWORD = "$argon2id$v=19$m=65536,t=3,p=4$bm8gcGFzc3dvcmQgZml0cw$" + 43 * "A"
"""A hash whose password nobody can find: 256 zeros. Checking one against it takes as long as for anybody else."""

# - Somebody may have registered the address before it was the canary's: their password, sessions and tokens end.
# - A token that another key made is replaced.
# - E-mail is a channel that everybody has; by this route nothing goes there.
KEEP = text("""
    WITH account AS (
        INSERT INTO accounts (person_id, email, name, time_zone, locale, password_hash)
        VALUES (:person, :email, 'Canary', 'UTC', 'en', :password_hash)
        ON CONFLICT (person_id) DO UPDATE SET password_hash = EXCLUDED.password_hash, admin = false
        RETURNING id
    ), session AS (
        DELETE FROM refresh_tokens USING account WHERE account_id = account.id
    ), other AS (
        DELETE FROM personal_tokens USING account WHERE account_id = account.id AND token_hash <> :token_hash
    ), route AS (
        INSERT INTO routes (person_id, channel_id, type, kinds) VALUES (:person, :person, 'email', '{}')
        ON CONFLICT (channel_id) WHERE until IS NULL DO UPDATE SET kinds = EXCLUDED.kinds
    )
    INSERT INTO personal_tokens (account_id, name, scopes, token_hash)
    SELECT id, 'canary', '{read,write}', :token_hash FROM account
    ON CONFLICT (token_hash) DO NOTHING
""")


def token(key: str, email: str) -> str:
    """The personal token of one of the accounts."""
    return derived_secret(PERSONAL_PREFIX, key, f"canary {email}")


def keep_accounts(connection: Connection, key: str) -> None:
    """Make the accounts, or set them right, in the caller's transaction. Twice, or twice at once, is harmless."""
    for email in (ORGANIZER, PARTICIPANT):
        values = {
            "person": person_id(email),
            "email": email,
            "password_hash": NO_PASSWORD,
            "token_hash": digest(token(key, email)),
        }
        connection.execute(KEEP, values)
