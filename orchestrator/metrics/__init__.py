"""What Prometheus sees of the daemon. docs/metrics.md has every metric."""

from orchestrator.metrics.api import ApiMeter
from orchestrator.metrics.port import serve
from orchestrator.metrics.registry import Metrics

__all__ = ["ApiMeter", "Metrics", "serve"]
