"""The way of a notification, in its order: from the change that was committed to the inbox and the provider's yes."""

from monitoring.grafana.panel import Dashboard, Panel, Row, increase, quantile, quantiles, rate

DISPATCH = Row(
    "Changes and deliveries are handed out",
    [
        Panel(
            "Claimed",
            "What the dispatcher took to hand out, per second.",
            "alerts/PlannerDispatcherSilent",
            "ops",
            {
                "changes": rate("planner_dispatcher_claims_total"),
                "deliveries": rate("planner_dispatcher_delivery_claims_total"),
            },
        ),
        Panel(
            "Messages",
            "Handed to Redis per second, by queue. One may carry many changes or deliveries.",
            "alerts/PlannerQueueGrows",
            "ops",
            {"{{queue}}": rate("planner_dispatcher_messages_total", "queue")},
        ),
        Panel(
            "The dispatcher's turns",
            "99 of 100 took no longer, and began no later than they meant to.",
            "alerts/PlannerDispatcherSilent",
            "s",
            {
                "duration": quantile(0.99, "planner_dispatcher_turn_duration_seconds"),
                "lag": quantile(0.99, "planner_dispatcher_loop_lag_seconds"),
            },
        ),
    ],
)

QUEUES = Row(
    "They wait in Redis",
    [
        Panel(
            "Waiting",
            "Messages in each queue. Short is normal: the dispatcher hands out no more than workers can take.",
            "alerts/PlannerQueueGrows",
            "short",
            {"{{queue}}": "sum by (queue) (planner_queue_depth)"},
        ),
        Panel(
            "Waiting, by priority",
            "0 goes first, 9 last.",
            "alerts/PlannerQueueGrows",
            "short",
            {"{{queue}} {{priority}}": "sum by (queue, priority) (planner_queue_depth)"},
        ),
        Panel(
            "Consumers",
            "Workers that listen to each queue.",
            "alerts/PlannerQueueNotConsumed",
            "short",
            {"{{queue}}": "sum by (queue) (planner_queue_consumers)"},
        ),
    ],
)

TASKS = Row(
    "Workers take them",
    [
        Panel(
            "Tasks",
            "Ended per second, by state.",
            "alerts/PlannerLeaseExpiries",
            "ops",
            {"{{task}} {{state}}": rate("planner_tasks_total", "task, state")},
        ),
        Panel(
            "Lateness",
            "From when a task's oldest piece of work was due to the task's start: 99 of 100.",
            "alerts/PlannerBacklogOld",
            "s",
            {"{{task}}": quantile(0.99, "planner_task_lateness_seconds", "task")},
        ),
        Panel(
            "Duration",
            "99 of 100 tasks took no longer.",
            "alerts/PlannerBacklogOld",
            "s",
            {"{{task}}": quantile(0.99, "planner_task_duration_seconds", "task")},
        ),
    ],
)

INBOX = Row(
    "The inbox",
    [
        Panel(
            "Notifications written",
            "Per second.",
            "alerts/PlannerBacklogOld",
            "ops",
            {"written": rate("planner_notifications_written_total")},
            width=12,
        ),
        Panel(
            "From the commit to the inbox",
            "The half, and 99 of 100, took no longer.",
            "alerts/PlannerCanaryLate",
            "s",
            quantiles("planner_notification_lateness_seconds"),
            width=12,
        ),
    ],
)

DELIVERIES = Row(
    "Mail servers, webhooks, services",
    [
        Panel(
            "Deliveries",
            "That came to a state, per second: sent, failed (and tried again later), dead, superseded.",
            "alerts/PlannerDeadLetters",
            "ops",
            {"{{channel}} {{state}}": rate("planner_deliveries_total", "channel, state")},
        ),
        Panel(
            "Tries",
            "By what the other side said, per second.",
            "alerts/PlannerDeadLetters",
            "ops",
            {"{{channel}} {{outcome}}": rate("planner_delivery_attempts_total", "channel, outcome")},
        ),
        Panel(
            "From the commit to the provider's yes",
            "The half, and 99 of 100, took no longer. Waits for a time that people chose are in it.",
            "alerts/PlannerBacklogOld",
            "s",
            quantiles("planner_delivery_lateness_seconds", "channel"),
        ),
        Panel(
            "Duration of a try",
            "99 of 100 took no longer.",
            "alerts/PlannerBacklogOld",
            "s",
            {"{{channel}}": quantile(0.99, "planner_delivery_attempt_duration_seconds", "channel")},
        ),
        Panel(
            "To be tried again",
            "Deliveries whose try failed, within the interval.",
            "alerts/PlannerDeadLetters",
            "short",
            {"{{channel}}": increase('planner_deliveries_total{state="failed"}', "channel")},
        ),
        Panel(
            "Put off",
            "Deliveries made to wait, within the interval, by why: limits of the provider, one that is left alone …",
            "alerts/PlannerBacklogOld",
            "short",
            {"{{channel}} {{reason}}": increase("planner_deliveries_put_off_total", "channel, reason")},
        ),
    ],
)

PIPELINE = Dashboard(
    "planner-pipeline",
    "Planner: the way of a notification",
    "From the change that was committed to the inbox and the provider's yes, step by step.",
    3,
    [DISPATCH, QUEUES, TASKS, INBOX, DELIVERIES],
)
