"""The tables of the main job: accounts, events, the change log, participants, notifications."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("email", name=op.f("uq_accounts_email")),
        sa.UniqueConstraint("person_id", name=op.f("uq_accounts_person_id")),
    )
    op.create_table(
        "notifications",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("person_id", "id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("change_id", "person_id", name=op.f("uq_notifications_change_id_person_id")),
    )
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["person_id", "id"],
        unique=False,
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("organizer_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=9), server_default="confirmed", nullable=False),
        sa.Column("all_day", sa.Boolean(), nullable=False),
        sa.Column("start_wall", sa.DateTime(), nullable=False),
        sa.Column("start_zone", sa.Text(), nullable=True),
        sa.Column("end_wall", sa.DateTime(), nullable=False),
        sa.Column("end_zone", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reminders", postgresql.ARRAY(sa.Integer()), server_default="{}", nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('confirmed', 'tentative', 'cancelled')", name=op.f("ck_events_status")),
        sa.CheckConstraint(
            "all_day = (start_zone IS NULL) AND all_day = (end_zone IS NULL)", name=op.f("ck_events_zones")
        ),
        sa.ForeignKeyConstraint(["organizer_id"], ["accounts.id"], name=op.f("fk_events_organizer_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_organizer_id_starts_at", "events", ["organizer_id", "starts_at", "id"], unique=False)
    op.create_index(
        "uq_events_organizer_id_uid",
        "events",
        ["organizer_id", "uid"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "personal_tokens",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_personal_tokens_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_personal_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_personal_tokens_token_hash")),
    )
    op.create_index(op.f("ix_personal_tokens_account_id"), "personal_tokens", ["account_id"], unique=False)
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("spent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_refresh_tokens_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_refresh_tokens_token_hash")),
    )
    op.create_index(op.f("ix_refresh_tokens_account_id"), "refresh_tokens", ["account_id"], unique=False)
    op.create_index(op.f("ix_refresh_tokens_expires_at"), "refresh_tokens", ["expires_at"], unique=False)
    op.create_index(op.f("ix_refresh_tokens_family_id"), "refresh_tokens", ["family_id"], unique=False)
    op.create_table(
        "changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("actor", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("diff", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("notify", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("audience_size", sa.Integer(), nullable=False),
        sa.Column("claims", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fanned_out_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_changes_event_id_events")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes")),
        sa.UniqueConstraint("event_id", "revision", name=op.f("uq_changes_event_id_revision")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_changes_due", "changes", ["id"], unique=False, postgresql_where=sa.text("fanned_out_at IS NULL")
    )
    op.create_index(
        "ix_changes_fanned_out_at",
        "changes",
        ["fanned_out_at"],
        unique=False,
        postgresql_where=sa.text("fanned_out_at IS NOT NULL"),
    )
    op.create_table(
        "participants",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("role", sa.String(length=8), server_default="required", nullable=False),
        sa.Column("response", sa.String(length=12), server_default="needs_action", nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("responded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("since_change", sa.BigInteger(), nullable=False),
        sa.Column("until_change", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "response IN ('needs_action', 'accepted', 'declined', 'tentative')", name=op.f("ck_participants_response")
        ),
        sa.CheckConstraint("role IN ('chair', 'required', 'optional')", name=op.f("ck_participants_role")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_participants_event_id_events")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_participants")),
    )
    op.create_index(
        "ix_participants_event_id_since_change", "participants", ["event_id", "since_change", "id"], unique=False
    )
    op.create_index(
        "ix_participants_person_id",
        "participants",
        ["person_id"],
        unique=False,
        postgresql_where=sa.text("until_change IS NULL"),
    )
    op.create_index(
        "ix_participants_until_change",
        "participants",
        ["until_change"],
        unique=False,
        postgresql_where=sa.text("until_change IS NOT NULL"),
    )
    op.create_index(
        "uq_participants_event_id_person_id",
        "participants",
        ["event_id", "person_id"],
        unique=True,
        postgresql_where=sa.text("until_change IS NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "uq_participants_event_id_person_id",
        table_name="participants",
        postgresql_where=sa.text("until_change IS NULL"),
    )
    op.drop_index(
        "ix_participants_until_change", table_name="participants", postgresql_where=sa.text("until_change IS NOT NULL")
    )
    op.drop_index(
        "ix_participants_person_id", table_name="participants", postgresql_where=sa.text("until_change IS NULL")
    )
    op.drop_index("ix_participants_event_id_since_change", table_name="participants")
    op.drop_table("participants")
    op.drop_index(
        "ix_changes_fanned_out_at", table_name="changes", postgresql_where=sa.text("fanned_out_at IS NOT NULL")
    )
    op.drop_index("ix_changes_due", table_name="changes", postgresql_where=sa.text("fanned_out_at IS NULL"))
    op.drop_table("changes")
    op.drop_index(op.f("ix_refresh_tokens_family_id"), table_name="refresh_tokens")
    op.drop_index(op.f("ix_refresh_tokens_expires_at"), table_name="refresh_tokens")
    op.drop_index(op.f("ix_refresh_tokens_account_id"), table_name="refresh_tokens")
    op.drop_table("refresh_tokens")
    op.drop_index(op.f("ix_personal_tokens_account_id"), table_name="personal_tokens")
    op.drop_table("personal_tokens")
    op.drop_index("uq_events_organizer_id_uid", table_name="events", postgresql_where=sa.text("deleted_at IS NULL"))
    op.drop_index("ix_events_organizer_id_starts_at", table_name="events")
    op.drop_table("events")
    op.drop_index("ix_notifications_unread", table_name="notifications", postgresql_where=sa.text("read_at IS NULL"))
    op.drop_table("notifications")
    op.drop_table("accounts")
