"""Which deliveries are due, by the auditor's reckoning, which are missing or too many, and what contradicts itself."""

from planner_common.audit.notifications import DUE_IN
from planner_common.audit.scope import Scope, kept

UNDECIDED = "interval '30 seconds'"
"""How long the transaction that changes a route may take to commit: until then a fan-out does not see it."""

# Where each notification that is due goes: by each route of the person that was in force at that moment and takes the
# kind; and by e-mail, unless a route in force says what e-mail takes. What is muted goes nowhere.
DUE_DELIVERIES = f"""
    WITH told AS (
        SELECT due.change_id, due.person_id, c.event_id, c.at, c.email_on,
               CASE c.kind WHEN 'creation' THEN 'invitation' WHEN 'promotion' THEN 'update' ELSE c.kind::text END
                   AS word
          FROM ({DUE_IN.format(kept=kept("deliveries"))}) due JOIN changes c ON c.id = due.change_id
    ), wanted AS (
        SELECT told.change_id, told.person_id, told.event_id, told.at, r.channel_id
          FROM told JOIN routes r USING (person_id)
         WHERE told.at >= r.since AND told.at < COALESCE(r.until, 'infinity') AND r.kinds @> ARRAY[told.word]
           AND (told.email_on OR r.type <> 'email')
        UNION ALL
        SELECT told.change_id, told.person_id, told.event_id, told.at, told.person_id
          FROM told
         WHERE told.email_on AND told.word <> 'response'
           AND NOT EXISTS (
               SELECT FROM routes r
                WHERE r.channel_id = told.person_id AND told.at >= r.since AND told.at < COALESCE(r.until, 'infinity')
           )
    )
    SELECT wanted.change_id, wanted.person_id, wanted.channel_id
      FROM wanted
     WHERE NOT EXISTS (
         SELECT FROM mutes m
          WHERE m.person_id = wanted.person_id AND m.event_id = wanted.event_id
            AND wanted.at >= m.since AND wanted.at < COALESCE(m.until, 'infinity')
     )
"""

# Asked of the faults alone, of which there are few: did a route or a mute begin or end right before the change `c`? Its
# transaction may have committed after the fan-out looked.
JUST_CHANGED = f"""
    EXISTS (
        SELECT FROM routes r
         WHERE r.person_id = f.person_id AND r.channel_id = f.channel_id
           AND (r.since BETWEEN c.at - {UNDECIDED} AND c.at OR r.until BETWEEN c.at - {UNDECIDED} AND c.at)
    ) OR EXISTS (
        SELECT FROM mutes m
         WHERE m.person_id = f.person_id AND m.event_id = c.event_id
           AND (m.since BETWEEN c.at - {UNDECIDED} AND c.at OR m.until BETWEEN c.at - {UNDECIDED} AND c.at)
    )
"""


def faults(scope: Scope) -> str:
    """Rows of `snapshot.COLUMNS`, by the names of invariants: missing, too many, or either way right."""
    return f"""
        SELECT CASE WHEN {JUST_CHANGED} THEN 'undecided'
                    WHEN f.delivery_id IS NULL THEN 'delivery_missing' ELSE 'delivery_extra' END AS name,
               f.change_id, f.person_id, f.channel_id, f.delivery_id, NULL::float AS seconds
          FROM (
              SELECT change_id, person_id, channel_id, there.id AS delivery_id
                FROM ({DUE_DELIVERIES}) due
                FULL JOIN (
                    SELECT t.id, t.change_id, t.person_id, t.channel_id
                      FROM {scope.rows("deliveries")} AND {scope.kept("deliveries")}
                ) there USING (change_id, person_id, channel_id)
               WHERE due.change_id IS NULL OR there.change_id IS NULL
          ) f LEFT JOIN changes c ON c.id = f.change_id
    """


def orphans(scope: Scope) -> str:
    """Likewise: those of notifications that are not there."""
    return f"""
        SELECT 'delivery_without_notification' AS name, t.change_id, t.person_id, t.channel_id, t.id AS delivery_id,
               NULL::float AS seconds
          FROM {scope.rows("deliveries")}
           AND NOT EXISTS (
               SELECT FROM notifications n WHERE n.change_id = t.change_id AND n.person_id = t.person_id
           )
           AND {scope.kept("notifications")}
    """


def contradictions(scope: Scope) -> str:
    """Likewise: what the states say and what the tries say. A digest's tries are its first delivery's, which may have
    been pruned a moment before the others."""
    of_these = "" if scope.whole else "JOIN looked ON looked.id = a.delivery_id"
    return f"""
        WITH looked AS (
            SELECT t.id, t.change_id, t.person_id, t.channel_id, t.state, t.reason, t.finished_at, t.outcome_unknown,
                   t.message_id
              FROM {scope.rows("deliveries")}
        ), tried AS (
            SELECT a.delivery_id, count(*) FILTER (WHERE a.outcome = 'accepted') AS accepted,
                   bool_or(a.outcome IS NULL) AS open, max(a.started_at) AS last_at
              FROM delivery_attempts a {of_these} GROUP BY a.delivery_id
        )
        SELECT found.name, looked.change_id, looked.person_id, looked.channel_id, looked.id AS delivery_id,
               NULL::float AS seconds
          FROM looked LEFT JOIN tried ON tried.delivery_id = looked.id
         CROSS JOIN LATERAL (VALUES
             ('sent_without_accepted_attempt', looked.state = 'sent' AND COALESCE(tried.accepted, 0) = 0
                 AND NOT EXISTS (
                     SELECT FROM delivery_attempts a
                      WHERE a.delivery_id = looked.message_id AND a.outcome = 'accepted'
                 )
                 AND (looked.message_id IS NULL OR EXISTS (SELECT FROM deliveries f WHERE f.id = looked.message_id))),
             ('accepted_but_not_sent', tried.accepted > 0 AND looked.state <> 'sent' AND NOT looked.outcome_unknown),
             ('sent_more_than_once', tried.accepted > 1 AND NOT looked.outcome_unknown),
             ('attempt_open_on_finished', tried.open AND looked.finished_at IS NOT NULL),
             ('attempt_after_finish', tried.last_at > looked.finished_at),
             ('state_sum', looked.state NOT IN ('pending', 'failed', 'sent', 'dead', 'superseded')),
             ('outcome_unknown', looked.outcome_unknown),
             ('dead', looked.state = 'dead'),
             ('quarantined', looked.state = 'dead' AND looked.reason = 'quarantined')
         ) found (name, holds)
         WHERE found.holds
    """
