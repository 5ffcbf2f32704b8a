"""What Prometheus is told; every server has a registry of its own."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters, gauges and histograms of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
            return Histogram(f"cairn_{name}", text, buckets=buckets, registry=self.registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"cairn_{name}", text, registry=self.registry)

        self.requests = Counter(
            "cairn_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "cairn_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.decode_seconds = histogram("decode_seconds", "Decoding one photograph.")
        self.forward_seconds = histogram("forward_seconds", "The network, for one batch.")
        self.search_seconds = histogram("search_seconds", "Search and verdict, for one batch.")
        self.batch_images = histogram("batch_images", "Photographs of one batch.", _IMAGES)
        self.waiting = gauge("waiting_images", "Photographs behind the latest batch.")
        self.unreadable = Counter(
            "cairn_unreadable_images", "Photographs that gave no picture.", registry=self.registry
        )
        self.version = gauge("gallery_version", "Version of the gallery that is served.")
        self.images = gauge("gallery_images", "Images of that version.")
        self.landmarks = gauge("gallery_landmarks", "Landmarks of that version.")
        self.load_seconds = gauge("gallery_load_seconds", "What loading it took.")
        self.calibrated = gauge("calibration_fresh", "1 where answers have chances, else 0.")
        self.renewals = Counter(
            "cairn_calibration_renewals",
            "Calibrations made anew, by outcome.",
            ("outcome",),
            registry=self.registry,
        )
        self.renewal_seconds = gauge("calibration_renewal_seconds", "What the latest one took.")
        self.changes = Counter(
            "cairn_gallery_changes", "Changes by kind.", ("operation",), registry=self.registry
        )

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)
