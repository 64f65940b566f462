"""What is stuck, and who has to do something? Everything here is 0, or nearly, when all is well."""

from monitoring.grafana.panel import ANY, Dashboard, Panel, Row, increase, or_zero

NOW = Row(
    "Now",
    [
        Panel(
            "Firing alerts",
            "A single line with «-» means that none fires.",
            "alerts/README",
            "short",
            {
                "{{alertname}} {{severity}}": or_zero(
                    'count by (alertname, severity) (ALERTS{alertstate="firing"})', "alertname"
                )
            },
            kind="table",
            width=12,
        ),
        Panel(
            "Oldest work that is due",
            "Changes and deliveries, but mailings to very many.",
            "alerts/PlannerBacklogOld",
            "s",
            {"oldest": 'max(planner_backlog_oldest_seconds{work!="deliver_bulk"})'},
            kind="stat",
            width=4,
            thresholds=[(30, "orange"), (60, "red")],
        ),
        Panel(
            "Given up",
            "Dead letters: `planner dead list`.",
            "alerts/PlannerDeadLetters",
            "short",
            {"dead": "planner_deliveries_dead"},
            kind="stat",
            width=4,
            thresholds=ANY,
        ),
        Panel(
            "Faults",
            "That the last audit found, of all invariants.",
            "alerts/PlannerAuditViolations",
            "short",
            {"faults": or_zero("sum(planner_audit_violations)")},
            kind="stat",
            width=4,
            thresholds=ANY,
        ),
    ],
)

BACKLOG = Row(
    "Work that is due",
    [
        Panel(
            "Backlog",
            "Rows that are due, by the queue they go through; counted up to 10,000.",
            "alerts/PlannerBacklogOld",
            "short",
            {"{{work}}": "planner_backlog"},
        ),
        Panel(
            "Age of the oldest",
            "How long it has been due.",
            "alerts/PlannerBacklogOld",
            "s",
            {"{{work}}": "planner_backlog_oldest_seconds"},
            thresholds=[(60, "red")],
        ),
        Panel(
            "Taken and not acknowledged",
            "Messages in workers' hands. Workers acknowledge early: what stays here was lost with its worker.",
            "alerts/PlannerQueueNotConsumed",
            "short",
            {"unacked": "planner_queue_unacked"},
        ),
    ],
)

HANDS = Row(
    "Work that changed hands: counts within the interval",
    [
        Panel(
            "Leases that ran out",
            "A worker took work and did not finish it in time: it was handed out once more.",
            "alerts/PlannerLeaseExpiries",
            "short",
            {
                "changes": increase("planner_dispatcher_lease_expiries_total"),
                "deliveries": increase("planner_dispatcher_delivery_lease_expiries_total"),
            },
        ),
        Panel(
            "Redeliveries",
            "Tasks with work that was handed out before.",
            "alerts/PlannerLeaseExpiries",
            "short",
            {"{{task}}": increase("planner_task_redeliveries_total", "task")},
        ),
        Panel(
            "Stuck children",
            "Killed, since they took work and did not begin it.",
            "alerts/PlannerWorkerChildStuck",
            "short",
            {"killed": increase("planner_worker_stuck_children_total")},
            thresholds=ANY,
        ),
        Panel(
            "Messages that Redis did not take",
            "Their work was released, to be handed out again.",
            "alerts/PlannerRedisAway",
            "short",
            {"{{queue}}": increase("planner_dispatcher_publish_errors_total", "queue")},
        ),
        Panel(
            "Turns of the dispatcher that failed",
            "By what was away.",
            "alerts/PlannerDispatcherSilent",
            "short",
            {"{{dependency}}": increase("planner_dispatcher_errors_total", "dependency")},
        ),
    ],
)

PEOPLE = Row(
    "What waits for somebody to decide",
    [
        Panel(
            "Held",
            "Changes that reach so many people that an admin has to approve them: `planner held list`.",
            "alerts/PlannerChangesHeld",
            "short",
            {"held": "planner_changes_held"},
        ),
        Panel(
            "Oldest of them",
            "How long it has been held.",
            "alerts/PlannerChangesHeld",
            "s",
            {"oldest": "planner_changes_held_oldest_seconds"},
            thresholds=[(3600, "red")],
        ),
        Panel(
            "Deliveries",
            "Given up, and such as may have arrived more than once; counted up to 10,000.",
            "alerts/PlannerDeadLetters",
            "short",
            {"dead": "planner_deliveries_dead", "outcome unknown": "planner_deliveries_outcome_unknown"},
        ),
        Panel(
            "Faults by invariant",
            "`planner audit` names the rows.",
            "alerts/PlannerAuditViolations",
            "short",
            {"{{invariant}}": or_zero("sum by (invariant) (planner_audit_violations)", "invariant")},
            thresholds=ANY,
        ),
        Panel(
            "Age of the last audit",
            "There is one every AUDIT_SECONDS, five minutes unless set. 0 until the first.",
            "alerts/PlannerAuditStale",
            "s",
            {"age": or_zero("max(planner_audit_age_seconds)")},
            thresholds=[(1800, "red")],
        ),
    ],
)

ROOM = Row(
    "Room",
    [
        Panel(
            "Memory of Redis",
            "Share of its limit that is used; 0 where there is no limit.",
            "alerts/PlannerRedisMemory",
            "percentunit",
            {"used": or_zero("planner_redis_memory_used_bytes / (planner_redis_memory_limit_bytes > 0)")},
            thresholds=[(0.8, "red")],
        ),
        Panel(
            "Dropped by Redis",
            "Keys evicted for want of memory, within the interval: cached answers and limits.",
            "alerts/PlannerRedisMemory",
            "short",
            {"keys": increase("planner_redis_evicted_keys_total")},
        ),
        Panel(
            "Connections to PostgreSQL",
            "Share of those there may be: of all of them, and of the API's own pool.",
            "alerts/PlannerDatabaseConnections",
            "percentunit",
            {
                "server": "sum(planner_database_connections) / max(planner_database_connections_limit)",
                "pool of the API": 'sum(planner_database_pool_connections{state="used"})'
                " / sum(planner_database_pool_limit)",
            },
            thresholds=[(0.8, "red")],
        ),
        Panel(
            "Requests without a connection",
            "That got none in time, within the interval; they were answered with 503.",
            "alerts/PlannerDatabaseConnections",
            "short",
            {"timeouts": increase("planner_database_pool_timeouts_total")},
        ),
    ],
)

STUCK = Dashboard(
    "planner-stuck",
    "Planner: what is stuck",
    "Where to look when somebody was not told. Everything here is 0, or nearly, when all is well.",
    3,
    [NOW, BACKLOG, HANDS, PEOPLE, ROOM],
)
