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
    Double,
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
    Time,
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


# Tables that grow with every change. Unless told otherwise PostgreSQL vacuums and analyzes a table when a fifth, or a
# tenth, of it has changed: of millions of rows that is too late for indexes to stay short and estimates to be right.
GROWING: dict[str, float | int] = {
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_insert_scale_factor": 0.05,
    "autovacuum_analyze_scale_factor": 0.02,
}


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
    Column("admin", Boolean, nullable=False, server_default="false"),
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

# Calendars that programs subscribe to, by an address that is secret (RFC 5545; `GET /calendars/{token}.ics`).
calendars = Table(
    "calendars",
    metadata,
    _id(),
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),  # SHA-256
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
    Column("sequence", Integer, nullable=False, server_default="0"),  # RFC 5545 §3.8.7.4: what mattered of its changes
    Column("source", Text),  # the iCalendar components it was imported from, unfolded and verbatim
    Column("recurrence", ARRAY(Text), nullable=False, server_default="{}"),  # RFC 5545's lines, in our form
    Column("over_at", Instant),  # when no occurrence is left; NULL where it does not repeat: `ends_at`
    Column("edited", ARRAY(Text), nullable=False, server_default="{}"),  # fields that were changed here since then
    _created_at(),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    Column("deleted_at", Instant),
    Column("purging", Boolean, nullable=False, server_default="false"),  # what belongs to it is being pruned
    CheckConstraint("status IN ('confirmed', 'tentative', 'cancelled')", name="status"),
    CheckConstraint("all_day = (start_zone IS NULL) AND all_day = (end_zone IS NULL)", name="zones"),
    Index(
        "uq_events_organizer_id_uid", "organizer_id", "uid", unique=True, postgresql_where=text("deleted_at IS NULL")
    ),
    Index("ix_events_organizer_id_starts_at", "organizer_id", "starts_at", "id"),
    Index("ix_events_organizer_id_ends_at", "organizer_id", "ends_at"),  # what is not over
    # What pruning asks for.
    Index("ix_events_ends_at", "ends_at"),
    Index("ix_events_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    Index("ix_events_purging", "id", postgresql_where=text("purging")),
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
    Column("traceparent", Text),  # W3C Trace Context of the request, where it is traced
    Column("audience_size", Integer, nullable=False),  # an estimate, so that batches are even
    Column("claims", SmallInteger, nullable=False, server_default="0"),  # how often it was dispatched
    Column("lease_until", Instant),  # dispatched: leave it alone until then
    Column("fanned_out_at", Instant),  # its notifications exist
    Column("counted", Boolean, nullable=False, server_default="false"),  # in `reach`
    Column("held_at", Instant),  # kept back by the brake (reach), until an admin approves or rejects it
    Column("decided_by", Uuid),  # who let it go or, where `notify` is false now, did not: a person, or held.OPERATOR
    Column("decided_at", Instant),  # from when on it is due, then
    Column("email_on", Boolean, nullable=False, server_default="false"),  # e-mail was set up when it was fanned out
    UniqueConstraint("event_id", "revision"),
    # What is due: small while the workers keep up, whatever the table's size.
    Index("ix_changes_due", "id", postgresql_where=text("fanned_out_at IS NULL")),
    Index("ix_changes_held_at", "held_at", postgresql_where=text("held_at IS NOT NULL AND fanned_out_at IS NULL")),
    # For an audit of the last day: a few pages, since rows lie in the order of their times.
    Index("ix_changes_at", "at", postgresql_using="brin"),
    # What live streams ask for: what was fanned out since they last looked.
    Index("ix_changes_fanned_out_at", "fanned_out_at", postgresql_where=text("fanned_out_at IS NOT NULL")),
    postgresql_with=GROWING | {"fillfactor": 80},  # claiming updates in place (HOT)
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
    Column("waiting_since", BigInteger),  # the change that put them on the waitlist, which is in this order
    # Not before the event ends: by which its past is passed over. 'infinity': not known, and never passed over.
    Column("ends_at", Instant, nullable=False, server_default="infinity"),
    CheckConstraint("role IN ('chair', 'required', 'optional')", name="role"),
    CheckConstraint("response IN ('needs_action', 'accepted', 'declined', 'tentative')", name="response"),
    CheckConstraint("waiting_since IS NULL OR response = 'tentative'", name="waiting"),
    Index(
        "uq_participants_event_id_person_id",
        "event_id",
        "person_id",
        unique=True,
        postgresql_where=text("until_change IS NULL"),
    ),
    Index("ix_participants_event_id_since_change", "event_id", "since_change", "id"),
    Index("ix_participants_person_id_ends_at", "person_id", "ends_at", postgresql_where=text("until_change IS NULL")),
    # What pruning has yet to look up: rows from before the column.
    Index("ix_participants_endless", "event_id", postgresql_where=text("ends_at = 'infinity'")),
    Index("ix_participants_until_change", "until_change", postgresql_where=text("until_change IS NOT NULL")),
    Index(
        "ix_participants_waiting",
        "event_id",
        "waiting_since",
        postgresql_where=text("waiting_since IS NOT NULL AND until_change IS NULL"),
    ),
)

# Who was given a place that had become free, by which change: its audience, however they answer later.
promotions = Table(
    "promotions",
    metadata,
    Column("change_id", BigInteger, primary_key=True, autoincrement=False),
    Column("person_id", Uuid, primary_key=True),
)

notifications = Table(
    "notifications",
    metadata,
    Column("person_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True, server_default=func.uuidv7()),
    # No foreign key: it would look up the same change once per row. Changes go after their notifications.
    Column("change_id", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("read_at", Instant),
    UniqueConstraint("change_id", "person_id"),  # I2: none twice
    Index("ix_notifications_unread", "person_id", "id", postgresql_where=text("read_at IS NULL")),
    postgresql_with=GROWING,
)

channels = Table(
    "channels",
    metadata,
    _id(),
    Column("person_id", Uuid, nullable=False, index=True),
    Column("type", String(8), nullable=False),  # deliveries.ChannelType
    Column("name", Text, nullable=False),
    # Sealed (sealing.Sealer): {"email"}, {"url", "secrets": newest first} or {"url"}; with {"code"} until verified.
    Column("address", LargeBinary, nullable=False),
    Column("digest", String(6), nullable=False, server_default="none"),
    Column("code_tries", SmallInteger, nullable=False, server_default="0"),
    Column("code_expires_at", Instant),
    Column("verified_at", Instant),
    Column("paused_at", Instant),  # by its owner
    Column("disabled_at", Instant),  # by us: the other side said that it is gone
    Column("disabled_reason", Text),
    Column("ended_at", Instant),  # deleted by its owner; deliveries still name it
    _created_at(),
    CheckConstraint("digest IN ('none', 'hourly', 'daily')", name="digest"),
)

# Which kinds of notification go to which channel of a person, and from when to when: a change is told by the routes
# that were in force when it was made. Everyone has one channel without a row, e-mail to the address that they are known
# by; its id is the person's, and what it takes unless a route says otherwise is deliveries.DEFAULT_KINDS.
routes = Table(
    "routes",
    metadata,
    _id(),
    Column("person_id", Uuid, nullable=False),
    Column("channel_id", Uuid, nullable=False),
    Column("type", String(8), nullable=False),
    Column("kinds", ARRAY(Text), nullable=False),
    Column("since", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("until", Instant),
    Index("uq_routes_channel_id", "channel_id", unique=True, postgresql_where=text("until IS NULL")),
    Index("ix_routes_person_id", "person_id"),
)

mutes = Table(
    "mutes",
    metadata,
    _id(),
    Column("person_id", Uuid, nullable=False),
    Column("event_id", ForeignKey("events.id"), nullable=False),
    Column("since", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("until", Instant),
    Index("uq_mutes_person_id_event_id", "person_id", "event_id", unique=True, postgresql_where=text("until IS NULL")),
    Index("ix_mutes_event_id", "event_id"),
)

# What a person wants beyond that. No row: what the defaults say.
preferences = Table(
    "preferences",
    metadata,
    Column("person_id", Uuid, primary_key=True),
    Column("quiet_from", Time),  # wall time in the person's zone
    Column("quiet_to", Time),
    Column("email_digest", String(6), nullable=False, server_default="none"),  # of the channel without a row
    Column("email_paused_at", Instant),
    Column("free_busy", String(15), nullable=False, server_default="everyone_i_meet"),  # who may ask when I am busy
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    CheckConstraint("(quiet_from IS NULL) = (quiet_to IS NULL)", name="quiet"),
    CheckConstraint("email_digest IN ('none', 'hourly', 'daily')", name="email_digest"),
    CheckConstraint("free_busy IN ('everyone_i_meet', 'nobody')", name="free_busy"),
)

deliveries = Table(
    "deliveries",
    metadata,
    _id(),  # the stable id: of the Message-ID, of the webhook-id
    Column("change_id", BigInteger),  # NULL: a code or a test
    Column("person_id", Uuid, nullable=False),
    Column("channel_id", Uuid, nullable=False),
    Column("type", String(8), nullable=False),  # deliveries.ChannelType
    Column("purpose", String(12), nullable=False, server_default="notification"),
    Column("lane", SmallInteger, nullable=False, server_default="1"),  # deliveries.Lane
    Column("state", String(10), nullable=False, server_default="pending"),  # deliveries.State
    Column("reason", Text),  # why it is in that state, or waits: deliveries.Reason
    Column("superseded_by", BigInteger),  # the change that made it stale
    Column("due_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("tries", SmallInteger, nullable=False, server_default="0"),  # that count against the channel's limit
    Column("claims", Integer, nullable=False, server_default="0"),  # the lease's token: whoever claims raises it
    Column("lease_until", Instant),
    Column("sending", Boolean, nullable=False, server_default="false"),  # by a worker, which holds the lease
    Column("digest", Boolean, nullable=False, server_default="false"),  # it has waited to go out with others
    Column("message_id", Uuid),  # of the message it went out in: a digest's first delivery; NULL: its own
    Column("told_revision", Integer),  # the event's, as the message showed it
    Column("outcome_unknown", Boolean, nullable=False, server_default="false"),  # of one try at least
    Column("queued_at", Instant, nullable=False, server_default=func.clock_timestamp()),  # anew at a replay
    Column("finished_at", Instant),
    Column("created_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    UniqueConstraint("change_id", "person_id", "channel_id"),  # I3: at most one per notification and channel
    CheckConstraint("state IN ('pending', 'sent', 'failed', 'dead', 'superseded')", name="state"),
    CheckConstraint("(finished_at IS NULL) = (state IN ('pending', 'failed'))", name="finished"),
    # What is due: small while the workers keep up.
    Index("ix_deliveries_due", "lane", "due_at", postgresql_where=text("finished_at IS NULL")),
    Index("ix_deliveries_digest", "channel_id", "due_at", postgresql_where=text("finished_at IS NULL AND digest")),
    Index("ix_deliveries_dead", "id", postgresql_where=text("state = 'dead'")),
    Index("ix_deliveries_outcome_unknown", "id", postgresql_where=text("outcome_unknown")),
    Index("ix_deliveries_channel_id", "channel_id", "id"),
    postgresql_with=GROWING | {"fillfactor": 70},
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("delivery_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),  # the claim it was made under
    Column("started_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("finished_at", Instant),
    Column("outcome", String(8)),  # deliveries.Outcome; NULL: under way
    Column("status", Integer),  # what the other side answered: a reply code of SMTP, a status of HTTP
    Column("detail", Text),  # the first 1,000 characters of what it said, or what went wrong
    Column("milliseconds", Integer),
    postgresql_with=GROWING,
)

# People reached by an account's changes, by the clock's hour: what the brake counts.
reach = Table(
    "reach",
    metadata,
    Column("actor", Uuid, primary_key=True),
    Column("hour", Instant, primary_key=True),
    Column("people", BigInteger, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),  # SHA-256 of method, address and body
    Column("status", SmallInteger, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),  # sealed
    Column("created_at", Instant, nullable=False, server_default=func.now(), index=True),
)

# Processes that live, by their own word (presence.Presence); who has not been seen for a while is gone.
processes = Table(
    "processes",
    metadata,
    Column("id", Text, primary_key=True),  # service@host:process
    Column("service", Text, nullable=False),
    Column("version", Text, nullable=False),  # Planner's
    Column("tzdata", Text, nullable=False),  # of the zones it computes with
    Column("queues", ARRAY(Text), nullable=False, server_default="{}"),  # that it consumes
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),  # by the database's clock
    Column("clock", Instant, nullable=False),  # what its own said then
    postgresql_with={"fillfactor": 50},
)

# What `planner audit` found when the workers ran it, for the exporter.
audits = Table(
    "audits",
    metadata,
    _id(),
    Column("at", Instant, nullable=False, server_default=func.now()),
    Column("since", Instant, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("violations", JSONB, nullable=False),  # {invariant: number}
    Column("information", JSONB, nullable=False),  # {what is no fault, but is to be known: number}
)

# How far pruning has gone, by table: what belongs to a change that was fanned out before may be gone from it. Written
# before anything is deleted, so that whoever recomputes what should be there knows from where on all of it is.
horizons = Table(
    "horizons",
    metadata,
    Column("name", Text, primary_key=True),  # of the table
    Column("at", Instant, nullable=False),
)

# From which backups this database was restored (restoring): what was unfinished in one may have been sent since.
restores = Table(
    "restores",
    metadata,
    _id(),
    Column("at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("last_change", BigInteger, nullable=False),  # up to this one, what is told later is not sent by itself
    Column("quarantined", BigInteger, nullable=False),  # deliveries that were unfinished then
    Column("changes", BigInteger, nullable=False),  # that were not fanned out then
)

# Shows whether the tables were restored from a dump: its row says by which transaction it was written, in which table.
# A restored row is written by another, in another. A migration must never rewrite this table.
birthmarks = Table(
    "birthmarks",
    metadata,
    Column("transaction", BigInteger, primary_key=True, autoincrement=False),
    Column("oid", BigInteger, nullable=False),  # this table's
)

# What admins did.
admin_actions = Table(
    "admin_actions",
    metadata,
    _id(),
    Column("at", Instant, nullable=False, server_default=func.now()),
    Column("actor", Uuid),  # a person; NULL: an operator at the command line
    Column("action", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default="{}"),
)
