"""What time asks of the tables: when people are busy, and who may know.

The indexes of participants are made while writes to participants wait: a second for 1,000,000 of them, twice.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Free/busy. Old code leaves `ends_at` at its default, which is right, if slow; pruning looks it up.
    op.add_column(
        "preferences", sa.Column("free_busy", sa.String(15), server_default="everyone_i_meet", nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_preferences_free_busy"), "preferences", "free_busy IN ('everyone_i_meet', 'nobody')"
    )
    op.add_column(
        "participants",
        sa.Column("ends_at", sa.DateTime(timezone=True), server_default="infinity", nullable=False),
    )
    op.create_index(
        "ix_participants_person_id_ends_at",
        "participants",
        ["person_id", "ends_at"],
        postgresql_where=sa.text("until_change IS NULL"),
    )
    op.create_index(
        "ix_participants_endless", "participants", ["event_id"], postgresql_where=sa.text("ends_at = 'infinity'")
    )
    op.drop_index("ix_participants_person_id", table_name="participants")
    op.create_index("ix_events_organizer_id_ends_at", "events", ["organizer_id", "ends_at"])
    # Waitlists. Old code, which knows of none, is refused the answer of somebody who waits.
    op.add_column("participants", sa.Column("waiting_since", sa.BigInteger(), nullable=True))
    op.create_check_constraint(
        op.f("ck_participants_waiting"), "participants", "waiting_since IS NULL OR response = 'tentative'"
    )
    op.create_index(
        "ix_participants_waiting",
        "participants",
        ["event_id", "waiting_since"],
        postgresql_where=sa.text("waiting_since IS NOT NULL AND until_change IS NULL"),
    )
    op.create_table(
        "promotions",
        sa.Column("change_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("change_id", "person_id", name=op.f("pk_promotions")),
    )
    # Calendars to subscribe to. What was imported and then changed here before now counts as changed here.
    op.create_table(
        "calendars",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_calendars_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calendars")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_calendars_token_hash")),
    )
    op.create_index(op.f("ix_calendars_account_id"), "calendars", ["account_id"])
    op.add_column("events", sa.Column("sequence", sa.Integer(), server_default="0", nullable=False))
    op.add_column("events", sa.Column("edited", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.execute("""
        UPDATE events e
           SET edited = ARRAY(
                   SELECT DISTINCT field.name FROM changes c, jsonb_object_keys(c.diff) AS field (name)
                    WHERE c.event_id = e.id AND c.kind IN ('update', 'reschedule', 'cancellation', 'restoration')
               )
         WHERE e.source IS NOT NULL AND e.revision > 1
    """)
    # Events that repeat. Old code takes them for what happens once.
    op.add_column("events", sa.Column("recurrence", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.add_column("events", sa.Column("over_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("events", "over_at")
    op.drop_column("events", "recurrence")
    op.drop_column("events", "edited")
    op.drop_column("events", "sequence")
    op.drop_table("calendars")
    op.drop_table("promotions")
    op.drop_index("ix_participants_waiting", table_name="participants")
    op.drop_constraint(op.f("ck_participants_waiting"), "participants")
    op.drop_column("participants", "waiting_since")
    op.drop_index("ix_events_organizer_id_ends_at", table_name="events")
    op.create_index(
        "ix_participants_person_id", "participants", ["person_id"], postgresql_where=sa.text("until_change IS NULL")
    )
    op.drop_index("ix_participants_endless", table_name="participants")
    op.drop_index("ix_participants_person_id_ends_at", table_name="participants")
    op.drop_column("participants", "ends_at")
    op.drop_column("preferences", "free_busy")
