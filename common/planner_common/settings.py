"""Every setting of every service, typed and checked when a process starts.

A setting is read from the environment variable of its name in capitals, or, for secrets, from the file that
`<NAME>_FILE` names (the way of Docker's and Compose's secrets). A file wins over nothing only: giving both is an error.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from planner_common.networks import networks_of, ports_of

HEARTBEAT_SECONDS = 5
"""How often a loop that lives shows it by touching its heartbeat file."""


def given(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What the environment says of these settings. Raises ValueError for a file that can't be read, or one too much."""
    for name in names:
        variable, value = name.upper(), os.environ.get(name.upper())
        if path := os.environ.get(f"{variable}_FILE"):
            if value:
                raise ValueError(f"{variable}_FILE and {variable} are both set: keep one of them")
            try:
                value = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as error:
                raise ValueError(f"{variable}_FILE names {path}, which cannot be read: {error.strerror}") from error
        if value is not None:
            yield name, value


class Settings(BaseModel):
    """The settings, by field: `Settings().database_url` is what `DATABASE_URL` or `DATABASE_URL_FILE` say."""

    model_config = ConfigDict(frozen=True, validate_default=True)

    # ---- where things are
    database_url: SecretStr = SecretStr("postgresql://planner@127.0.0.1:5432/planner")
    """PostgreSQL, as libpq writes it: `postgresql://user:password@host:port/database`."""
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """The Redis instance; broker, cache and limits are its databases 0, 1 and 2 unless they are given one by one."""
    celery_broker_url: SecretStr | None = None
    """Celery's broker; `REDIS_URL` unless given."""
    celery_result_backend: SecretStr | None = None
    """Where operators' tasks leave their results; the broker's database unless given."""
    redis_cache_url: SecretStr | None = None
    """Cached answers; database 1 of `REDIS_URL` unless given."""
    rate_limit_url: SecretStr | None = None
    """Rate limits; database 2 of `REDIS_URL` unless given."""

    # ---- the API
    signing_key: SecretStr | None = Field(default=None, min_length=32)
    """Signs access tokens (HS256): 32 characters or more. The API does not start without it."""
    registration: Literal["open", "closed"] = "open"
    """Whether anyone may register an account."""
    access_token_seconds: int = Field(default=900, ge=30)
    """How long an access token is good for."""
    refresh_token_days: int = Field(default=30, ge=1)
    """How long an unused refresh token is good for."""
    rate_limit: str = "1200/minute"
    """What one account, or one address where nobody is logged in, may ask of one route."""
    rate_limit_login: str = "30/minute"
    """What one address may try of registering, logging in and refreshing."""
    trusted_proxies: str = ""
    """Addresses or networks whose `X-Forwarded-For` is believed, separated by commas. None unless given."""
    api_host: str = "127.0.0.1"
    api_port: int = 8000
    api_processes: int = Field(default=1, ge=1)
    api_metrics_host: str | None = None
    """Where the API serves its metrics; `API_HOST` unless given."""
    api_metrics_port: int = 9101
    database_pool: int = Field(default=10, ge=1)
    """Connections to PostgreSQL that one API process keeps."""
    cache_seconds: int = Field(default=300, ge=1)
    """How long an answer stays in the cache. It can't be stale: its key holds revision and time of the last change."""

    # ---- the dispatcher and the workers
    lease_seconds: float = Field(default=5.0, gt=0)
    """How long a dispatched change, or delivery, may wait for a worker before it is dispatched again."""
    dispatch_poll_seconds: float = Field(default=1.0, gt=0)
    """How long the dispatcher sleeps when nothing wakes it."""
    worker_processes: int = Field(default=2, ge=1)
    """Children that a worker runs tasks in."""
    worker_name: str = "worker@%h"
    """What Celery calls a worker (`%h`: the host's name). Two workers on one host need different names."""
    worker_metrics_host: str = "127.0.0.1"
    worker_metrics_port: int = 9102
    dispatcher_metrics_port: int = 9103
    """Where the dispatcher serves its metrics, on the workers' `WORKER_METRICS_HOST`."""
    heartbeat_file: Path | None = None
    """The file that dispatcher and worker touch while they turn; none unless given."""

    # ---- deliveries: what leaves Planner
    encryption_keys: SecretStr | None = Field(default=None, min_length=32)
    """Seals what users entrust (addresses of channels) and signs links in mails. Several are separated by commas: the
    first seals, all open, so a new one goes in front. API and workers do not start without it."""
    public_url: str = "http://127.0.0.1:8000"
    """Where people reach the API: the beginning of the links in messages."""
    smtp_url: SecretStr | None = None
    """The mail server: `smtp://user:password@host:587`, or `smtps://…` for TLS from the start. STARTTLS is used where
    the server offers it; `?starttls=always` refuses to go on without, `?starttls=never` does not ask. A password goes
    unencrypted to this machine only, or after `?starttls=never`. The server's certificate must be good; `?ca=` names
    a file of those that vouch for it. Without this setting no e-mail is sent."""
    mail_from: str = "Planner <planner@localhost>"
    """Who mails are from. Its domain is that of the Message-IDs."""
    email_connections: int = Field(default=8, ge=1)
    """Connections to the mail server that one process of a worker keeps."""
    email_per_second: float = Field(default=0, ge=0)
    """Mails that the server takes per second, from all workers together; 0: as many as it will."""
    webhook_per_second: float = Field(default=50, ge=0)
    """Calls per second to one host."""
    apprise_per_second: float = Field(default=5, ge=0)
    """Messages per second to one service."""
    email_tries: int = Field(default=120, ge=1)
    email_hours: float = Field(default=48, gt=0)
    """A mail is dead after this many tries, or hours, which usually come first; likewise the other channels."""
    webhook_tries: int = Field(default=60, ge=1)
    webhook_hours: float = Field(default=24, gt=0)
    apprise_tries: int = Field(default=30, ge=1)
    apprise_hours: float = Field(default=12, gt=0)
    retry_base_seconds: float = Field(default=10, gt=0)
    """The longest wait after the first failed try. It doubles with each, up to `RETRY_CAP_SECONDS`."""
    retry_cap_seconds: float = Field(default=3600, gt=0)
    breaker_failures: int = Field(default=5, ge=1)
    """After so many failures in a row a destination is left alone for a while."""
    breaker_seconds: float = Field(default=30, gt=0)
    delivery_lease_seconds: float = Field(default=6.0, gt=0)
    """How long a worker that sends may be silent before its deliveries are given to another."""
    outbound_ports: str = "80,443,8080,8443"
    """Ports that addresses of users may name, separated by commas."""
    outbound_networks: str = ""
    """Networks within which addresses of users may lie although they are not public, separated by commas."""
    webhook_http: bool = False
    """Whether webhooks and services of Apprise may be reached by plain HTTP."""
    reach_per_hour: int = Field(default=250_000, ge=0)
    """People whom one account's changes may reach in an hour; what is beyond is held for an admin. 0: no limit."""
    audit_seconds: float = Field(default=300, ge=0)
    """How often the workers run `planner audit` over the last day; 0: never."""

    # ---- how long what is over is kept, in days; 0: for ever
    notification_days: float = Field(default=365, ge=0)
    """Notifications, read or not."""
    delivery_days: float = Field(default=90, ge=0)
    """Deliveries that are sent or superseded, with their tries."""
    dead_days: float = Field(default=365, ge=0)
    """Deliveries that were given up, which can be replayed until then."""
    deleted_event_days: float = Field(default=30, ge=0)
    """Events that were deleted, with all that belongs to them, notifications too."""
    event_days: float = Field(default=0, ge=0)
    """Events after their end and their last change, likewise."""
    admin_action_days: float = Field(default=730, ge=0)
    """What admins, and operators at the command line, did."""

    # ---- Flower
    flower_user: str = Field(default="planner", min_length=1, pattern="^[^:]+$")
    """Who may look at Flower."""
    flower_password: SecretStr | None = Field(default=None, min_length=1)
    """Flower does not start without it."""
    flower_host: str = "127.0.0.1"
    flower_port: int = 5555
    flower_prefix: str = Field(default="", pattern="^[A-Za-z0-9._~/-]*$")
    """The path below which a reverse proxy shows it (`flower`: `https://example.org/flower/`); none unless given."""
    flower_metrics_port: int = 9104
    """Where its metrics and its health are, without a login: on the inside."""
    flower_file: Path | None = None
    """Where it keeps what it remembers over a restart; nowhere unless given."""
    flower_read_only: bool = True
    """Whether Flower only shows. If not, whoever is logged in may also revoke tasks and shut workers down."""

    # ---- the exporter
    exporter_host: str = "127.0.0.1"
    exporter_port: int = 9808

    # ---- the canary
    canary_key: SecretStr | None = Field(default=None, min_length=32)
    """What the canary's tokens are made from. `planner migrate` makes its accounts where this is set, and an exporter
    where it is set is the canary as well."""
    canary_seconds: float = Field(default=15, ge=0)
    """How often the canary sends a notification the whole way; 0: it rests."""
    canary_port: int = 9809
    """Where the canary serves its metrics, on the exporter's `EXPORTER_HOST`."""
    api_url: str = Field(default="http://127.0.0.1:8000", pattern="^http://[^/]+$")
    """Where the canary reaches the API: on the inside, without TLS."""

    # ---- every service
    watchdog_seconds: float = Field(default=60, ge=0)
    """A process whose loop, or pool of children, makes no progress for so long ends, to be started anew. 0: never."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: coloured on a terminal, JSON elsewhere."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    # ---- traces: the names are OpenTelemetry's, whose SDK reads them and its others itself
    otel_exporter_otlp_endpoint: str | None = None
    """The collector that spans go to, by OTLP over HTTP: `http://collector:4318`. Without it nothing is traced."""
    otel_exporter_otlp_headers: SecretStr | None = None
    """What the collector wants to be told with each request: `name=value`, several separated by commas."""
    otel_traces_sampler: Literal[
        "always_on", "always_off", "traceidratio",
        "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
    ] = "parentbased_always_on"  # fmt: skip
    """Which requests are traced. `parentbased_`: if the caller traces, as the caller does."""
    otel_traces_sampler_arg: float = Field(default=1.0, ge=0, le=1)
    """The share of them, with a sampler that ends in `ratio`."""

    # ---- what this is
    planner_revision: str = ""
    """The revision it was built from, for `planner_build_info`. The images have it from their build."""

    @field_validator("smtp_url", "otel_exporter_otlp_endpoint", mode="before")
    @classmethod
    def _nothing_is_no_server(cls, value: str | SecretStr | None) -> str | SecretStr | None:
        """Compose mounts an empty file where no mail server is set up."""
        return value or None

    @field_validator("outbound_ports")
    @classmethod
    def _ports(cls, value: str) -> str:
        ports_of(value)
        return value

    @field_validator("outbound_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        networks_of(value)
        return value

    def __init__(self, **own: Any) -> None:
        """`own`: settings that the environment is not asked for."""
        super().__init__(**dict(given(self.__class__.model_fields.keys() - own.keys())), **own)

    def broker(self) -> str:
        return self._redis(self.celery_broker_url, 0)

    def results(self) -> str:
        return self._redis(self.celery_result_backend or self.celery_broker_url, 0)

    def cache(self) -> str:
        return self._redis(self.redis_cache_url, 1)

    def limits(self) -> str:
        return self._redis(self.rate_limit_url, 2)

    def _redis(self, own: SecretStr | None, database: int) -> str:
        if own is not None:
            return own.get_secret_value()
        address, _, query = self.redis_url.get_secret_value().partition("?")
        scheme, _, rest = address.partition("://")
        host = rest.partition("/")[0]
        return f"{scheme}://{host}/{database}{'?' + query if query else ''}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once. Raises pydantic's ValidationError, or ValueError for a secret's file."""
    return Settings()


def settings_or_exit() -> Settings:
    """The settings, for a process's first line.

    What is wrong is printed by name, without values, and the exit status is 78 (EX_CONFIG of sysexits.h).
    """
    try:
        return get_settings()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            sys.stderr.write(f"setting {'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}\n")
    except ValueError as error:
        sys.stderr.write(f"setting: {error}\n")
    sys.exit(78)
