"""Values to what prometheus-client exports, checked against the catalogue."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from holonstream.ops.observe.catalogue import METRICS

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
Values = Mapping[Any, float] | Mapping[Any, "Buckets"]
"""values by the tuple of those of the labels, in the catalogue's order"""


class Buckets:
    """A histogram with weights. Written by one thread at a time; a reader may be an observation behind."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, weight: int = 1) -> None:
        """Count `weight` observations of a value."""
        self.counts[bisect_left(self.bounds, value)] += weight
        self.sum += value * weight


def buckets(name: str) -> Buckets:
    """An empty histogram with the bounds that the catalogue gives the metric."""
    return Buckets(METRICS[name].buckets)


def family(name: str, values: Values | float | Buckets) -> Family:
    """A metric of the catalogue with its values; a bare value is that of a metric without labels."""
    metric = METRICS[name]
    by_labels = values if isinstance(values, Mapping) else {(): values}
    made: Family
    if metric.kind == "histogram":
        made = HistogramMetricFamily(name, metric.help, labels=metric.labels)
        for labels, histogram in by_labels.items():
            assert isinstance(histogram, Buckets)
            bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
            made.add_metric(labels, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.sum)
        return made
    made = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
        name, metric.help, labels=metric.labels
    )
    for labels, value in by_labels.items():
        assert not isinstance(value, Buckets)
        made.add_metric(labels, value)
    return made


class Shown(Collector):
    """A collector whose metrics are those that the catalogue gives its process."""

    process: str

    def describe(self) -> Iterable[Family]:
        """Names without values: a registry refuses the same ones twice."""
        return [family(m.name, {}) for m in METRICS.values() if self.process in m.processes and m.name != BUILD_INFO]


BUILD_INFO = "holonstream_build_info"
