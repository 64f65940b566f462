"""The canary's accounts in the database."""

from sqlalchemy import Connection, text

from planner_common.canary import ORGANIZER, PARTICIPANT, token
from planner_common.people import person_id
from planner_common.tokens import digest

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
