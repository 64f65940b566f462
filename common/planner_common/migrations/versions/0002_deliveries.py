"""Deliveries and what decides them: channels, routes, mutes, preferences; the brake; keys of repeated requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "admin_actions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin_actions")),
    )
    op.create_table(
        "audits",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("violations", postgresql.JSONB(), nullable=False),
        sa.Column("information", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audits")),
    )
    op.create_table(
        "channels",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=6), server_default="none", nullable=False),
        sa.Column("code_tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("code_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("digest IN ('none', 'hourly', 'daily')", name=op.f("ck_channels_digest")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channels")),
    )
    op.create_index(op.f("ix_channels_person_id"), "channels", ["person_id"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=True),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("purpose", sa.String(length=12), server_default="notification", nullable=False),
        sa.Column("lane", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("state", sa.String(length=10), server_default="pending", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("superseded_by", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("claims", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sending", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("digest", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("told_revision", sa.Integer(), nullable=True),
        sa.Column("outcome_unknown", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (state IN ('pending', 'failed'))", name=op.f("ck_deliveries_finished")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'sent', 'failed', 'dead', 'superseded')", name=op.f("ck_deliveries_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint(
            "change_id", "person_id", "channel_id", name=op.f("uq_deliveries_change_id_person_id_channel_id")
        ),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("ix_deliveries_channel_id", "deliveries", ["channel_id", "id"], unique=False)
    op.create_index(
        "ix_deliveries_dead", "deliveries", ["id"], unique=False, postgresql_where=sa.text("state = 'dead'")
    )
    op.create_index(
        "ix_deliveries_outcome_unknown",
        "deliveries",
        ["id"],
        unique=False,
        postgresql_where=sa.text("outcome_unknown"),
    )
    op.create_index(
        "ix_deliveries_digest",
        "deliveries",
        ["channel_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL AND digest"),
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["lane", "due_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "delivery_attempts",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=8), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("milliseconds", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_delivery_attempts")),
    )
    op.create_table(
        "preferences",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("quiet_from", sa.Time(), nullable=True),
        sa.Column("quiet_to", sa.Time(), nullable=True),
        sa.Column("email_digest", sa.String(length=6), server_default="none", nullable=False),
        sa.Column("email_paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("email_digest IN ('none', 'hourly', 'daily')", name=op.f("ck_preferences_email_digest")),
        sa.CheckConstraint("(quiet_from IS NULL) = (quiet_to IS NULL)", name=op.f("ck_preferences_quiet")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_preferences")),
    )
    op.create_table(
        "reach",
        sa.Column("actor", sa.Uuid(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("people", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("actor", "hour", name=op.f("pk_reach")),
    )
    op.create_table(
        "routes",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routes")),
    )
    op.create_index("ix_routes_person_id", "routes", ["person_id"], unique=False)
    op.create_index(
        "uq_routes_channel_id", "routes", ["channel_id"], unique=True, postgresql_where=sa.text("until IS NULL")
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_idempotency_keys_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "mutes",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_mutes_event_id_events")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mutes")),
    )
    op.create_index("ix_mutes_event_id", "mutes", ["event_id"], unique=False)
    op.create_index(
        "uq_mutes_person_id_event_id",
        "mutes",
        ["person_id", "event_id"],
        unique=True,
        postgresql_where=sa.text("until IS NULL"),
    )
    op.add_column("accounts", sa.Column("admin", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("changes", sa.Column("counted", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("changes", sa.Column("held_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("changes", sa.Column("decided_by", sa.Uuid(), nullable=True))
    op.add_column("changes", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("changes", sa.Column("email_on", sa.Boolean(), server_default="false", nullable=False))
    op.create_index(
        "ix_changes_held_at",
        "changes",
        ["held_at"],
        unique=False,
        postgresql_where=sa.text("held_at IS NOT NULL AND fanned_out_at IS NULL"),
    )
    op.create_index("ix_changes_at", "changes", ["at"], unique=False, postgresql_using="brin")


def downgrade() -> None:
    op.drop_index("ix_changes_at", table_name="changes", postgresql_using="brin")
    op.drop_index(
        "ix_changes_held_at",
        table_name="changes",
        postgresql_where=sa.text("held_at IS NOT NULL AND fanned_out_at IS NULL"),
    )
    op.drop_column("changes", "email_on")
    op.drop_column("changes", "decided_at")
    op.drop_column("changes", "decided_by")
    op.drop_column("changes", "held_at")
    op.drop_column("changes", "counted")
    op.drop_column("accounts", "admin")
    op.drop_index("uq_mutes_person_id_event_id", table_name="mutes", postgresql_where=sa.text("until IS NULL"))
    op.drop_index("ix_mutes_event_id", table_name="mutes")
    op.drop_table("mutes")
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("uq_routes_channel_id", table_name="routes", postgresql_where=sa.text("until IS NULL"))
    op.drop_index("ix_routes_person_id", table_name="routes")
    op.drop_table("routes")
    op.drop_table("reach")
    op.drop_table("preferences")
    op.drop_table("delivery_attempts")
    op.drop_index("ix_deliveries_due", table_name="deliveries", postgresql_where=sa.text("finished_at IS NULL"))
    op.drop_index("ix_deliveries_outcome_unknown", table_name="deliveries", postgresql_where=sa.text("outcome_unknown"))
    op.drop_index(
        "ix_deliveries_digest", table_name="deliveries", postgresql_where=sa.text("finished_at IS NULL AND digest")
    )
    op.drop_index("ix_deliveries_dead", table_name="deliveries", postgresql_where=sa.text("state = 'dead'"))
    op.drop_index("ix_deliveries_channel_id", table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index(op.f("ix_channels_person_id"), table_name="channels")
    op.drop_table("channels")
    op.drop_table("audits")
    op.drop_table("admin_actions")
