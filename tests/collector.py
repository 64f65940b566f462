"""A collector of traces for tests: what OpenTelemetry's exporters tell it by OTLP over HTTP.

with Collector() as collector:
    … OTEL_EXPORTER_OTLP_ENDPOINT=collector.url …
    collector.trace("0af7651916cd43dd8448eb211c80319c")
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


@dataclass(frozen=True, slots=True)
class Told:
    """A span. Ids are in hexadecimal; `parent` is empty for the first of a trace."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    kind: int
    failed: bool
    attributes: Mapping[str, Any]
    links: list[tuple[str, str]]
    """(trace, span) of each."""
    started: int
    ended: int


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, str(kind))


def _values(pairs: Any) -> dict[str, Any]:
    found: list[KeyValue] = list(pairs)
    return {pair.key: _value(pair.value) for pair in found}


class Collector:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        told: list[Told] = []
        headers: list[Mapping[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = ExportTraceServiceRequest()
                request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
                headers.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
                for resource in request.resource_spans:
                    service = _values(resource.resource.attributes)["service.name"]
                    for scope in resource.scope_spans:
                        for s in scope.spans:
                            links = [(link.trace_id.hex(), link.span_id.hex()) for link in s.links]
                            told.append(
                                Told(
                                    service, s.trace_id.hex(), s.span_id.hex(), s.parent_span_id.hex(), s.name, s.kind,
                                    s.status.code == s.status.STATUS_CODE_ERROR, _values(s.attributes), links,
                                    s.start_time_unix_nano, s.end_time_unix_nano,
                                )
                            )  # fmt: skip
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.told, self.headers = told, headers
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def trace(self, trace: str) -> list[Told]:
        """Its spans, in the order in which they began."""
        return sorted((span for span in list(self.told) if span.trace == trace), key=lambda span: span.started)
