"""${message}

Rules: add a column with a constant default or none; index with CONCURRENTLY (and `with op.get_context().autocommit_block()`)
once the table holds data; drop only what no running version reads. The lock_timeout set by `planner migrate` makes a
migration that would queue behind a long transaction, and block everyone behind itself, fail instead: run it again.
"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
