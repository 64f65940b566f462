"""What time asks of the tables: when people are busy, and who may know.

The indexes of participants are made while writes to participants wait: a second for 1,000,000 of them, twice.
"""

import sqlalchemy as sa
from alembic import op

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


def downgrade() -> None:
    op.drop_index("ix_events_organizer_id_ends_at", table_name="events")
    op.create_index(
        "ix_participants_person_id", "participants", ["person_id"], postgresql_where=sa.text("until_change IS NULL")
    )
    op.drop_index("ix_participants_endless", table_name="participants")
    op.drop_index("ix_participants_person_id_ends_at", table_name="participants")
    op.drop_column("participants", "ends_at")
    op.drop_column("preferences", "free_busy")
