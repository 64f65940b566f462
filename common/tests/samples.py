"""What this process has counted so far."""

from prometheus_client import REGISTRY


def sample(name: str, **labels: str) -> float:
    """A sample's value; 0 where there is none yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
