"""The tables. Rows are written by set-based statements (see `changes`, `fan_out`), so these are SQLAlchemy Core tables.

Ids of what people see are UUIDv7 made by PostgreSQL. `changes.id` is a number: it orders the changes of one event,
which its row lock makes the order of their commits; between events it orders nothing.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant = DateTime(timezone=True)
WallTime = DateTime(timezone=False)


def _id() -> Column[object]:
    return Column("id", Uuid, primary_key=True, server_default=func.uuidv7())


def _created_at() -> Column[object]:
    return Column("created_at", Instant, nullable=False, server_default=func.now())


accounts = Table(
    "accounts",
    metadata,
    _id(),
    Column("person_id", Uuid, nullable=False, unique=True),  # people.person_id(email)
    Column("email", Text, nullable=False, unique=True),  # as people.normalize_email gives it
    Column("name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),  # IANA
    Column("locale", Text, nullable=False),  # BCP 47
    Column("password_hash", Text, nullable=False),
    _created_at(),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    _id(),
    Column("family_id", Uuid, nullable=False, index=True),  # all that came of one login
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("token_hash", LargeBinary, nullable=False, unique=True),  # SHA-256
    Column("spent_at", Instant),
    Column("expires_at", Instant, nullable=False, index=True),
    _created_at(),
)

personal_tokens = Table(
    "personal_tokens",
    metadata,
    _id(),
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),  # SHA-256
    Column("expires_at", Instant),
    Column("last_used_at", Instant),
    _created_at(),
)

events = Table(
    "events",
    metadata,
    _id(),
    Column("uid", Text, nullable=False),  # RFC 5545 §3.8.4.7
    Column("organizer_id", ForeignKey("accounts.id"), nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text),
    Column("location", Text),
    Column("url", Text),
    Column("status", String(9), nullable=False, server_default="confirmed"),
    Column("all_day", Boolean, nullable=False),
    Column("start_wall", WallTime, nullable=False),  # midnight where all_day
    Column("start_zone", Text),  # IANA; NULL where all_day
    Column("end_wall", WallTime, nullable=False),
    Column("end_zone", Text),
    Column("starts_at", Instant, nullable=False),  # derived; UTC midnight where all_day
    Column("ends_at", Instant, nullable=False),
    Column("reminders", ARRAY(Integer), nullable=False, server_default="{}"),  # minutes before the start
    Column("capacity", Integer),
    Column("revision", Integer, nullable=False, server_default="1"),  # the ETag
    Column("source", Text),  # the iCalendar component it was imported from, unfolded and verbatim
    _created_at(),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    Column("deleted_at", Instant),
    CheckConstraint("status IN ('confirmed', 'tentative', 'cancelled')", name="status"),
    CheckConstraint("all_day = (start_zone IS NULL) AND all_day = (end_zone IS NULL)", name="zones"),
    Index(
        "uq_events_organizer_id_uid", "organizer_id", "uid", unique=True, postgresql_where=text("deleted_at IS NULL")
    ),
    Index("ix_events_organizer_id_starts_at", "organizer_id", "starts_at", "id"),
)

changes = Table(
    "changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", ForeignKey("events.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("kind", String(12), nullable=False),  # changes.Kind
    Column("actor", Uuid),  # a person; NULL: the system
    Column("at", Instant, nullable=False, server_default=func.now()),
    Column("diff", JSONB, nullable=False, server_default="{}"),  # {"title": ["old", "new"], …}
    Column("notify", Boolean, nullable=False, server_default="true"),
    Column("request_id", Text),
    Column("audience_size", Integer, nullable=False),  # an estimate, so that batches are even
    Column("claims", SmallInteger, nullable=False, server_default="0"),  # how often it was dispatched
    Column("lease_until", Instant),  # dispatched: leave it alone until then
    Column("fanned_out_at", Instant),  # its notifications exist
    UniqueConstraint("event_id", "revision"),
    # What is due: small while the workers keep up, whatever the table's size.
    Index("ix_changes_due", "id", postgresql_where=text("fanned_out_at IS NULL")),
    # What live streams ask for: what was fanned out since they last looked.
    Index("ix_changes_fanned_out_at", "fanned_out_at", postgresql_where=text("fanned_out_at IS NOT NULL")),
    postgresql_with={"fillfactor": 80},  # claiming updates in place (HOT)
)

participants = Table(
    "participants",
    metadata,
    _id(),
    Column("event_id", ForeignKey("events.id"), nullable=False),
    Column("person_id", Uuid, nullable=False),  # people.person_id(email)
    Column("email", Text, nullable=False),
    Column("name", Text),
    Column("role", String(8), nullable=False, server_default="required"),
    Column("response", String(12), nullable=False, server_default="needs_action"),
    Column("comment", Text),
    Column("responded_at", Instant),
    Column("since_change", BigInteger, nullable=False),  # the change that brought them in
    Column("until_change", BigInteger),  # the change that took them out
    CheckConstraint("role IN ('chair', 'required', 'optional')", name="role"),
    CheckConstraint("response IN ('needs_action', 'accepted', 'declined', 'tentative')", name="response"),
    Index(
        "uq_participants_event_id_person_id",
        "event_id",
        "person_id",
        unique=True,
        postgresql_where=text("until_change IS NULL"),
    ),
    Index("ix_participants_event_id_since_change", "event_id", "since_change", "id"),
    Index("ix_participants_person_id", "person_id", postgresql_where=text("until_change IS NULL")),
    Index("ix_participants_until_change", "until_change", postgresql_where=text("until_change IS NOT NULL")),
)

notifications = Table(
    "notifications",
    metadata,
    Column("person_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True, server_default=func.uuidv7()),
    # No foreign key: it would look up the same change once per row, and changes are never deleted.
    Column("change_id", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("read_at", Instant),
    UniqueConstraint("change_id", "person_id"),  # I2: none twice
    Index("ix_notifications_unread", "person_id", "id", postgresql_where=text("read_at IS NULL")),
)
