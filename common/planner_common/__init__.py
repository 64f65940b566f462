"""What the services of Planner share."""

import os
import sys

if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
    # redis-py imports OpenTelemetry's SDK where it is installed, and takes this for its absence: 50 modules and 3 MB
    # in each process that is not traced (redis 8.1).
    sys.modules.setdefault("opentelemetry.sdk", None)  # type: ignore[arg-type]
