"""Is Planner well, and if not: since when, and what is away?"""

from monitoring.grafana.panel import ANY, Dashboard, Panel, Row, quantile, quantiles, rate

REQUESTS = "planner_http_requests_total"

OBJECTIVES = Row(
    "Objectives",
    [
        Panel(
            "Firing alerts",
            "Alerts that fire now, of all severities.",
            "alerts/README",
            "short",
            {"firing": 'count(ALERTS{alertstate="firing"}) or vector(0)'},
            kind="stat",
            width=4,
            thresholds=ANY,
        ),
        Panel(
            "Budget used",
            "Of what each objective allows in the time shown: 99.9 % of requests without a 5xx, 99 % of them within"
            " 250 ms, 99.9 % of canaries told within 30 s. At 100 % the objective is missed.",
            "alerts/PlannerAvailabilityBurnFast",
            "percentunit",
            {
                "{{objective}}": "sum_over_time(planner:slo_bad:rate1m[$__range])"
                " / (sum_over_time(planner:slo_events:rate1m[$__range]) > 0) / planner:slo_budget:ratio"
            },
            kind="stat",
            width=8,
            thresholds=[(0.5, "orange"), (1, "red")],
        ),
        Panel(
            "Last success of the canary",
            "How long ago a synthetic notification last went the whole way. It sets out every 15 seconds.",
            "alerts/PlannerCanaryLate",
            "s",
            {"ago": "time() - max(planner_canary_last_success_timestamp_seconds)"},
            kind="stat",
            width=4,
            thresholds=[(30, "orange"), (60, "red")],
        ),
        Panel(
            "Burn rates",
            "How fast each objective's budget is used up, by the last hour: 1 uses up just what a month allows.",
            "alerts/PlannerAvailabilityBurnFast",
            "short",
            {"{{objective}}": "planner:slo_burn:1h"},
            thresholds=[(14.4, "red")],
        ),
        Panel(
            "Latency of the canary",
            "From its request sent to its notification seen in the inbox.",
            "alerts/PlannerCanaryLate",
            "s",
            quantiles("planner_canary_latency_seconds"),
            thresholds=[(30, "red")],
        ),
        Panel(
            "Runs of the canary",
            "Told is good; late, refused and unreachable are not.",
            "alerts/PlannerCanaryLate",
            "ops",
            {"{{outcome}}": rate("planner_canary_runs_total", "outcome")},
        ),
    ],
)

API = Row(
    "API",
    [
        Panel(
            "Requests",
            "Answered per second, by route.",
            "alerts/PlannerApiErrors",
            "reqps",
            {"{{method}} {{route}}": rate(REQUESTS, "method, route")},
        ),
        Panel(
            "Errors",
            "Answers of 4xx, the caller's fault, and of 5xx, ours; per second, by route.",
            "alerts/PlannerApiErrors",
            "reqps",
            {"{{status}} {{method}} {{route}}": rate(REQUESTS + '{status=~"4..|5.."}', "status, method, route")},
        ),
        Panel(
            "Duration by route",
            "99 of 100 answers took no longer. Live streams are not in it.",
            "alerts/PlannerLatencyBurnFast",
            "s",
            {"{{method}} {{route}}": quantile(0.99, "planner_http_request_duration_seconds", "method, route")},
        ),
        Panel(
            "Duration",
            "Of all routes together.",
            "alerts/PlannerLatencyBurnFast",
            "s",
            quantiles("planner_http_request_duration_seconds"),
        ),
        Panel(
            "Refused for their number",
            "Answers of 429 per second: a client that does not wait, or a limit that is too tight.",
            "alerts/PlannerApiErrors",
            "reqps",
            {"{{route}}": rate("planner_http_rate_limited_total", "route")},
        ),
        Panel(
            "Answers from the cache",
            "Errors mean that Redis is away; answers come from PostgreSQL then.",
            "alerts/PlannerRedisAway",
            "ops",
            {"{{result}}": rate("planner_cache_reads_total", "result")},
        ),
        Panel(
            "Live streams",
            "Open now.",
            "alerts/PlannerApiDown",
            "short",
            {"open": "sum(planner_streams)"},
        ),
        Panel(
            "Connections of the API",
            "Of its pool to PostgreSQL, and how many there may be.",
            "alerts/PlannerDatabaseConnections",
            "short",
            {
                "{{state}}": "sum by (state) (planner_database_pool_connections)",
                "limit": "sum(planner_database_pool_limit)",
            },
        ),
        Panel(
            "Wait for a connection",
            "99 of 100 requests waited no longer for one. Timeouts are answered with 503.",
            "alerts/PlannerDatabaseConnections",
            "s",
            {"p99": quantile(0.99, "planner_database_pool_wait_seconds")},
        ),
    ],
)

DEPENDENCIES = Row(
    "What it stands on",
    [
        Panel(
            "Targets",
            "Processes that Prometheus reaches, by job. The exporter's is down while Redis or PostgreSQL is.",
            "alerts/PlannerTargetDown",
            "short",
            {"{{job}}": "sum by (job) (up)"},
        ),
        Panel(
            "Reached by the dispatcher",
            "1: it reaches it; 0: it does not.",
            "alerts/PlannerDispatcherSilent",
            "short",
            {"{{dependency}}": "min by (dependency) (planner_dispatcher_dependency_up)"},
        ),
        Panel(
            "Memory of Redis",
            "Used, and its limit (0: none). At the limit it drops cached answers first.",
            "alerts/PlannerRedisMemory",
            "bytes",
            {"used": "planner_redis_memory_used_bytes", "limit": "planner_redis_memory_limit_bytes"},
        ),
        Panel(
            "Connections to PostgreSQL",
            "Of everybody, by state, and how many there may be.",
            "alerts/PlannerDatabaseConnections",
            "short",
            {"{{state}}": "planner_database_connections", "limit": "planner_database_connections_limit"},
        ),
        Panel(
            "Size of the database",
            "On disk, indexes included.",
            "README",
            "bytes",
            {"size": "planner_database_size_bytes"},
        ),
        Panel(
            "Schema",
            "1 while the database is not at the version that the code needs.",
            "alerts/PlannerSchemaBehind",
            "short",
            {"behind": "planner_schema_behind"},
            thresholds=ANY,
        ),
    ],
)

PROCESSES = Row(
    "Processes",
    [
        Panel(
            "Alive",
            "By their own word, which each writes into PostgreSQL every ten seconds.",
            "alerts/PlannerWorkersGone",
            "short",
            {"{{service}}": "planner_processes"},
        ),
        Panel(
            "Children of the workers",
            "Where tasks run: WORKER_PROCESSES for each worker.",
            "alerts/PlannerWorkerChildStuck",
            "short",
            {"children": "sum(planner_worker_children)"},
        ),
        Panel(
            "Cost of a scrape",
            "What the exporter takes to measure.",
            "alerts/PlannerExporterFailing",
            "s",
            {"scrape": "planner_exporter_scrape_duration_seconds"},
        ),
        Panel(
            "What runs",
            "More than one version at a time is normal during an upgrade only.",
            "README",
            "short",
            {
                "{{service}} {{version}} {{revision}} {{python}}": "count by (service, version, revision, python)"
                " (planner_build_info)"
            },
            kind="table",
            width=24,
        ),
    ],
)

OVERVIEW = Dashboard(
    "planner-overview",
    "Planner: overview",
    "Is Planner well, and if not: since when, and what is away?",
    6,
    [OBJECTIVES, API, DEPENDENCIES, PROCESSES],
)
