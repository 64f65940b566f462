"""Admins: accounts that may look after what others cannot, and a record of what they did."""

from sqlalchemy import text

# Appointing and dismissing are recorded where they change something.
APPOINT = text("""
    WITH account AS (
        SELECT id, email, admin FROM accounts WHERE email = :email FOR UPDATE
    ), changed AS (
        UPDATE accounts SET admin = :admin FROM account
         WHERE accounts.id = account.id AND accounts.admin <> :admin
        RETURNING accounts.id
    ), noted AS (
        INSERT INTO admin_actions (actor, action, detail)
        SELECT NULL, CASE WHEN :admin THEN 'admin.appoint' ELSE 'admin.dismiss' END, jsonb_build_object('account', id)
          FROM changed
    )
    SELECT EXISTS (SELECT FROM changed) AS changed FROM account
""")
IS_ADMIN = text("SELECT admin FROM accounts WHERE id = :account")
LIST = text("""
    SELECT id, email, name, admin, created_at FROM accounts WHERE admin OR NOT :admins
     ORDER BY email LIMIT :limit
""")
