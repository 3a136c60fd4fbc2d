"""Metrics as prometheus_client exports them. Imported only where a registry is filled: the package is optional."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from holonstream.schemas.metrics import BUILD_INFO, METRICS, Histogram, MetricSource, Sample

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class SourceCollector(Collector):
    """Puts the samples of a source into a registry."""

    def __init__(self, source: MetricSource) -> None:
        self._source = source

    def collect(self) -> Iterator[Family]:
        """The present values."""
        return map(family, self._source.samples())

    def describe(self) -> Iterable[Family]:
        """Names without values: a registry refuses the same ones twice."""
        process = self._source.process
        return [family((m.name, {})) for m in METRICS.values() if process in m.processes and m.name != BUILD_INFO]


def family(sample: Sample) -> Family:
    """A sample in the form of prometheus_client. Raises KeyError when no such metric is declared."""
    name, values = sample
    metric = METRICS[name]
    by_labels = values if isinstance(values, Mapping) else {(): values}
    made: Family
    if metric.kind == "histogram":
        made = HistogramMetricFamily(name, metric.help, labels=metric.labels)
        for labels, value in by_labels.items():
            assert isinstance(value, Histogram)
            bounds = [*map(floatToGoString, value.bounds), "+Inf"]
            made.add_metric(labels, list(zip(bounds, accumulate(value.counts), strict=True)), value.sum)
        return made
    made = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
        name, metric.help, labels=metric.labels
    )
    for labels, value in by_labels.items():
        assert not isinstance(value, Histogram)
        made.add_metric(labels, value)
    return made
