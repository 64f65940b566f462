"""Writes Alertmanager's configuration from the settings ALERT_…, since Alertmanager itself reads no environment.

`python make_alertmanager.py FILE`. It is JSON, which is YAML, so that no value can be anything but a value. Secrets are
not in it: Alertmanager reads their files. Without settings alerts are shown on Alertmanager's own page and go nowhere.

An outage wakes somebody once, by its cause: see `INHIBIT`. What the alerts are is in monitoring/prometheus/rules.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SMTP_PASSWORD = "/run/alerts/smtp_password"  # noqa: S105  # where it is, as Alertmanager's container has it
WEBHOOK_URL = "/run/alerts/webhook_url"
NO_FILE = ("", "/dev/null")

CAUSE = ['kind="cause"', 'severity="critical"']
DERIVED = {
    "PlannerPostgresAway": (
        "PlannerApiDown", "PlannerDispatcherSilent", "PlannerWorkersGone", "PlannerQueueNotConsumed",
        "PlannerSchemaBehind",
    ),
    "PlannerRedisAway": ("PlannerDispatcherSilent", "PlannerWorkersGone", "PlannerQueueNotConsumed"),
    "PlannerSchemaBehind": ("PlannerApiDown", "PlannerDispatcherSilent", "PlannerWorkersGone"),
    "PlannerWorkersGone": ("PlannerQueueNotConsumed",),
    "PlannerCanaryLate": ("PlannerBacklogOld", "Planner.+BurnFast"),
    "PlannerBacklogOld": ("Planner.+BurnFast",),
}  # fmt: skip
"""What follows from what, where both would wake somebody."""
INHIBIT = [
    # A known cause explains what people notice, and while it lasts the rest can wait.
    {"source_matchers": CAUSE, "target_matchers": ['kind="symptom"']},
    {"source_matchers": CAUSE, "target_matchers": ['severity="warning"']},
    *(
        {"source_matchers": [f'alertname="{cause}"'], "target_matchers": [f'alertname=~"{"|".join(following)}"']}
        for cause, following in DERIVED.items()
    ),
]
ROUTE = {
    "receiver": "operators",
    # One message says all that is wrong; it waits a little, so that a cause can silence what follows from it.
    "group_by": ["severity"],
    "group_wait": "30s",
    "group_interval": "1m",
    "repeat_interval": "2h",
    "routes": [
        {
            "receiver": "operators",
            "matchers": ['severity="warning"'],
            "group_wait": "2m",
            "group_interval": "15m",
            "repeat_interval": "24h",
        },
    ],
}
SUBJECT = (
    "[{{ .Status | toUpper }}] Planner:"
    "{{ range .Alerts.Firing }} {{ .Labels.alertname }}{{ else }}"
    "{{ range .Alerts.Resolved }} {{ .Labels.alertname }}{{ end }}{{ end }}"
)
TEXT = """\
{{ range .Alerts -}}
{{ .Status | toUpper }} {{ .Labels.alertname }} ({{ .Labels.severity }}), since \
{{ .StartsAt.UTC.Format "2006-01-02 15:04:05" }}Z{{ if eq .Status "resolved" }}, until \
{{ .EndsAt.UTC.Format "2006-01-02 15:04:05" }}Z{{ end }}
{{ .Annotations.summary }}
{{ .Annotations.description }}
{{ .Annotations.runbook_url }}

{{ end -}}
{{ .ExternalURL }}
"""


class WrongError(Exception):
    """A setting is not what it has to be; says which, and what it has to be."""


def email(settings: Mapping[str, str]) -> dict[str, Any]:
    needed = {name: settings[name] for name in ("ALERT_EMAIL_TO", "ALERT_EMAIL_FROM", "ALERT_SMARTHOST")}
    if missing := [name for name, value in needed.items() if not value]:
        raise WrongError(f"{' and '.join(missing)} must be set too, for there to be mails")
    for name in ("ALERT_EMAIL_TO", "ALERT_EMAIL_FROM"):
        if "@" not in settings[name] or "{{" in settings[name]:
            raise WrongError(f"{name} is not an address, or several separated by commas")
    host, _, port = settings["ALERT_SMARTHOST"].rpartition(":")
    if not host or not port.isdecimal():
        raise WrongError("ALERT_SMARTHOST is not host:port, such as mail.example.org:587")
    if settings["ALERT_SMTP_TLS"] not in ("always", "never"):
        raise WrongError("ALERT_SMTP_TLS is neither always nor never")
    user = settings["ALERT_SMTP_USER"]
    if user and settings["ALERT_SMTP_PASSWORD_FILE"] in NO_FILE:
        raise WrongError("ALERT_SMTP_PASSWORD_FILE must be set too, for ALERT_SMTP_USER to log in")
    return {
        "to": settings["ALERT_EMAIL_TO"],
        "from": settings["ALERT_EMAIL_FROM"],
        "smarthost": settings["ALERT_SMARTHOST"],
        "require_tls": settings["ALERT_SMTP_TLS"] == "always",
        **({"auth_username": user, "auth_password_file": SMTP_PASSWORD} if user else {}),
        "send_resolved": True,
        "headers": {"Subject": SUBJECT},
        "html": "",
        "text": TEXT,
    }


def webhook(settings: Mapping[str, str]) -> dict[str, Any]:
    url, file = settings["ALERT_WEBHOOK_URL"], settings["ALERT_WEBHOOK_URL_FILE"]
    if url and file not in NO_FILE:
        raise WrongError("ALERT_WEBHOOK_URL and ALERT_WEBHOOK_URL_FILE are both set: keep one of them")
    if url and (not re.match("https?://[^/]", url) or re.search("%(?![0-9A-Fa-f]{2})", url)):
        raise WrongError("ALERT_WEBHOOK_URL is not an address such as https://example.org/alerts")
    return {**({"url": url} if url else {"url_file": WEBHOOK_URL}), "send_resolved": True}


DEFAULTS = {
    "ALERT_EMAIL_TO": "",
    "ALERT_EMAIL_FROM": "",
    "ALERT_SMARTHOST": "",
    "ALERT_SMTP_USER": "",
    "ALERT_SMTP_PASSWORD_FILE": "",
    "ALERT_SMTP_TLS": "always",
    "ALERT_WEBHOOK_URL": "",
    "ALERT_WEBHOOK_URL_FILE": "",
}


def configuration(environment: Mapping[str, str]) -> dict[str, Any]:
    """Raises WrongError."""
    settings = {name: environment.get(name, "").strip() or default for name, default in DEFAULTS.items()}
    for name, value in settings.items():
        if not value.isprintable():
            raise WrongError(f"{name} holds a line break or another character that cannot be printed")
    receiver: dict[str, Any] = {"name": "operators"}
    if any(settings[name] for name in ("ALERT_EMAIL_TO", "ALERT_EMAIL_FROM", "ALERT_SMARTHOST")):
        receiver["email_configs"] = [email(settings)]
    if settings["ALERT_WEBHOOK_URL"] or settings["ALERT_WEBHOOK_URL_FILE"] not in NO_FILE:
        receiver["webhook_configs"] = [webhook(settings)]
    return {"route": ROUTE, "inhibit_rules": INHIBIT, "receivers": [receiver]}


def main(file: Path) -> None:
    try:
        made = configuration(os.environ)
    except WrongError as error:
        sys.exit(f"make_alertmanager.py: {error}")
    new = file.with_suffix(".new")
    new.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
