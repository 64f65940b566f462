"""Deliveries: which there are of a notification, and the words for what becomes of them.

A delivery is one notification on one channel. Its row is made with the notification, in one transaction, by the routes
that were in force when the change was made; afterwards only its state changes.
"""

from enum import IntEnum, StrEnum

from planner_common.changes import TOLD_OTHERWISE, Kind


class ChannelType(StrEnum):
    EMAIL = "email"
    WEBHOOK = "webhook"
    APPRISE = "apprise"
    """Any of the services that Apprise speaks to."""


class Purpose(StrEnum):
    NOTIFICATION = "notification"
    CODE = "code"
    """Shows that whoever set up a channel reads it."""
    TEST = "test"


class State(StrEnum):
    PENDING = "pending"
    """Not tried yet, or put off for a reason that is nobody's failure."""
    FAILED = "failed"
    """Tried, and will be again."""
    SENT = "sent"
    DEAD = "dead"
    """Given up; an admin can replay it."""
    SUPERSEDED = "superseded"
    """Not sent, because what it says was no longer so or no longer wanted."""


class Outcome(StrEnum):
    """What became of one try."""

    ACCEPTED = "accepted"
    LATER = "later"
    """Refused for now, or nobody answered."""
    REFUSED = "refused"
    """Refused for good."""
    UNKNOWN = "unknown"
    """The other side may have taken it: the connection, or we, died before the answer was written down."""


class Lane(IntEnum):
    URGENT = 0
    """The event starts, or would have started, within the hour."""
    NORMAL = 1
    BULK = 2
    """One of very many, or a digest."""


class Reason(StrEnum):
    """Why a delivery waits, or will not be sent. What explains it to people is the API's."""

    # it waits
    QUIET_HOURS = "quiet_hours"
    DIGEST = "digest"
    PACE = "pace"
    """Its destination takes no more per second."""
    BREAKER = "breaker"
    """Its destination has failed so often that it is left alone for a while."""
    RETRY = "retry"

    # dead
    REFUSED = "refused"
    TRIES = "tries"
    """Tried as often as its channel allows."""
    AGE = "age"
    """Too old to go on trying."""
    QUARANTINED = "quarantined"
    """Planner was restored from a backup in which it was unfinished: it may have been sent since."""

    # superseded
    CANCELLED = "cancelled"
    RESTORED = "restored"
    CHANGED_AGAIN = "changed_again"
    """All that it says was changed again since, and that is told too."""
    ALREADY_TOLD = "already_told"
    """An earlier message, sent late, showed the event as it is since this change."""
    REMOVED = "removed"
    """The person is no longer in the event."""
    BACK = "back"
    """The person is in the event again."""
    ANSWERED = "answered"
    ANSWERED_AGAIN = "answered_again"
    OVER = "over"
    DELETED = "deleted"
    CHANNEL_GONE = "channel_gone"
    """Removed or paused by its owner, disabled, or no longer set up here."""
    NOT_WANTED = "not_wanted"
    """Its owner does not want this kind on this channel any more."""
    MUTED = "muted"


KINDS = ("invitation", "update", "reschedule", "cancellation", "restoration", "removal", "response", "reminder")
"""Kinds of notification, as the API names them (`changes.told_as`)."""
DEFAULT_KINDS = tuple(kind for kind in KINDS if kind != "response")
"""What a channel takes unless its owner says otherwise: an organizer of many would get an answer from each."""

URGENT_INTERVAL = "interval '1 hour'"
BULK_AUDIENCE = 500
"""From how many people on a change is told on the bulk lane."""
URGENT_KINDS = ("invitation", "reschedule", "cancellation", "restoration", "removal", "reminder")


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


# What a change's audience is told as: an SQL expression over its `kind`.
_OTHERWISE = " ".join(f"WHEN '{kind}' THEN '{told}'" for kind, told in TOLD_OTHERWISE.items())
TOLD_AS = f"CASE c.kind {_OTHERWISE} ELSE c.kind END"

# The routes of `told (change_id, person_id)`, joined with `c`, its changes: one row per delivery. The one place that
# says where a notification goes; who asks binds `email_on`. A route counts if it was in force when the change was made,
# so that the answer is the same whenever the question is asked.
ROUTED = f"""
    SELECT t.change_id, t.person_id, t.person_id AS channel_id, '{ChannelType.EMAIL}' AS type
      FROM told t JOIN changes c ON c.id = t.change_id
      LEFT JOIN routes r ON r.person_id = t.person_id AND r.channel_id = t.person_id
       AND r.since <= c.at AND (r.until IS NULL OR r.until > c.at)
     WHERE :email_on AND {TOLD_AS} = ANY(COALESCE(r.kinds, ARRAY[{_listed(DEFAULT_KINDS)}]))
       AND NOT EXISTS (
           SELECT FROM mutes m WHERE m.event_id = c.event_id AND m.person_id = t.person_id
              AND m.since <= c.at AND (m.until IS NULL OR m.until > c.at)
       )
    UNION ALL
    SELECT t.change_id, t.person_id, r.channel_id, r.type
      FROM told t JOIN changes c ON c.id = t.change_id
      JOIN routes r ON r.person_id = t.person_id AND r.channel_id <> t.person_id
       AND r.since <= c.at AND (r.until IS NULL OR r.until > c.at)
     WHERE (:email_on OR r.type <> '{ChannelType.EMAIL}') AND {TOLD_AS} = ANY(r.kinds)
       AND NOT EXISTS (
           SELECT FROM mutes m WHERE m.event_id = c.event_id AND m.person_id = t.person_id
              AND m.since <= c.at AND (m.until IS NULL OR m.until > c.at)
       )
"""

# Whether deliveries of a change `c` may have been pruned: where there is none, nothing says that there never was.
PRUNED = "COALESCE(c.fanned_out_at < (SELECT at FROM horizons WHERE name = 'deliveries'), false)"

# The lane of a change `c` of event `e`.
LANE = f"""
    CASE WHEN ({TOLD_AS} IN ({_listed(URGENT_KINDS)}) OR c.kind = '{Kind.PROMOTION}')
          AND e.starts_at BETWEEN now() AND now() + {URGENT_INTERVAL} THEN {Lane.URGENT.value}
         WHEN c.audience_size >= {BULK_AUDIENCE} THEN {Lane.BULK.value} ELSE {Lane.NORMAL.value} END
"""
