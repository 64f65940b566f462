"""What operators look at: which processes live, and which trace a change belongs to; and what ages: how far pruning has
gone, and from which backups the database was restored.

The indexes of events are made while writes to events wait: a second for 1,000,000 of them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

GROWING = ("notifications", "deliveries", "delivery_attempts", "changes")
AUTOVACUUM = {
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_insert_scale_factor": 0.05,
    "autovacuum_analyze_scale_factor": 0.02,
}


def upgrade() -> None:
    op.add_column("changes", sa.Column("traceparent", sa.Text(), nullable=True))
    op.create_table(
        "processes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("tzdata", sa.Text(), nullable=False),
        sa.Column("queues", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("clock", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "horizons",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_horizons")),
    )
    op.create_table(
        "restores",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("last_change", sa.BigInteger(), nullable=False),
        sa.Column("quarantined", sa.BigInteger(), nullable=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restores")),
    )
    op.create_table(
        "birthmarks",
        sa.Column("transaction", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("oid", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("transaction", name=op.f("pk_birthmarks")),
    )
    op.add_column("events", sa.Column("purging", sa.Boolean(), server_default="false", nullable=False))
    op.create_index("ix_events_ends_at", "events", ["ends_at"])
    op.create_index(
        "ix_events_deleted_at", "events", ["deleted_at"], postgresql_where=sa.text("deleted_at IS NOT NULL")
    )
    op.create_index("ix_events_purging", "events", ["id"], postgresql_where=sa.text("purging"))
    for table in GROWING:
        op.execute(f"ALTER TABLE {table} SET ({', '.join(f'{name} = {value}' for name, value in AUTOVACUUM.items())})")


def downgrade() -> None:
    for table in GROWING:
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(AUTOVACUUM)})")
    for index in ("ix_events_purging", "ix_events_deleted_at", "ix_events_ends_at"):
        op.drop_index(index, table_name="events")
    op.drop_column("events", "purging")
    op.drop_table("birthmarks")
    op.drop_table("restores")
    op.drop_table("horizons")
    op.drop_table("processes")
    op.drop_column("changes", "traceparent")
