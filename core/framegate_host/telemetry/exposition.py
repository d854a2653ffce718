"""Readings as a page that Prometheus scrapes: with prometheus-client, whose registry is never the
global one, so that a library's metrics do not come along.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from framegate_host.telemetry.families import Family, FamilyKind, Reading

MAX_SERIES: Final = 20_000
"""Of one family. What is registered stays far below; more than this is a fault of ours, and a
fault must not fill a monitoring system.
"""


class Timings:
    """How long things took: a histogram of a family, its series there from the start."""

    def __init__(self, family: Family, registry: CollectorRegistry) -> None:
        if not family.closed:
            raise ValueError(f"{family.name}: a histogram by machine is a flood")
        self._family = family
        names = [label.name for label in family.labels]
        self._histogram = Histogram(
            family.name, family.help, names, buckets=family.buckets, registry=registry
        )
        if len(family.labels) == 1:
            for value in sorted(family.labels[0].values or ()):
                self._histogram.labels(value)

    def took(self, seconds: float, *labels: str) -> None:
        """Count one that took so long."""
        told = [label.of(v) for label, v in zip(self._family.labels, labels, strict=True)]
        (self._histogram.labels(*told) if told else self._histogram).observe(max(0.0, seconds))


class Exposition:
    """The page of one program. `families` are all it can have; a reading of any other is refused
    with ValueError.
    """

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = tuple(families)
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        self._timings: dict[str, Timings] = {
            f.name: Timings(f, self._registry)
            for f in self._families
            if f.kind is FamilyKind.HISTOGRAM
        }
        self._readings = _Readings(self._families)
        self._registry.register(self._readings)

    def timings(self, family: Family) -> Timings:
        """The histogram of a declared family. KeyError where it is none of these."""
        return self._timings[family.name]

    def page(self, readings: Iterable[Reading], accept: str = "") -> Page:
        """The page with these readings, in the format that `accept` asks for. Blocks; one caller at
        a time.
        """
        self._readings.present = summed(self._families, readings)
        encode, kind = choose_encoder(accept)
        return Page(encode(self._registry), kind)


class Page:
    """Bytes of a page and their content type."""

    __slots__ = ("body", "kind")

    def __init__(self, body: bytes, kind: str) -> None:
        self.body, self.kind = body, kind


Series = Mapping[tuple[str, ...], float]


def summed(families: Sequence[Family], readings: Iterable[Reading]) -> Mapping[str, Series]:
    """Values by family and by what its labels allow. What became `other` is added up. Raises
    ValueError for a family that is not declared, or labels of another number.
    """
    told: dict[str, dict[tuple[str, ...], float]] = {f.name: {} for f in families}
    for reading in readings:
        family, series = reading.family, told.get(reading.family.name)
        if series is None:
            raise ValueError(f"{family.name} is not declared")
        pairs = zip(family.labels, reading.labels, strict=True)
        labels = tuple(label.of(value) for label, value in pairs)
        if labels in series:
            series[labels] += reading.value
        elif len(series) < MAX_SERIES:
            series[labels] = reading.value
    return MappingProxyType(told)


class _Readings(Collector):
    """Hands the present readings to the registry."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = [f for f in families if f.kind is not FamilyKind.HISTOGRAM]
        self.present: Mapping[str, Series] = {}

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        for family in self._families:
            names = [label.name for label in family.labels]
            metric: CounterMetricFamily | GaugeMetricFamily
            if family.kind is FamilyKind.COUNTER:
                metric = CounterMetricFamily(family.name, family.help, labels=names)
            else:
                metric = GaugeMetricFamily(family.name, family.help, labels=names)
            for labels, value in sorted(self.present.get(family.name, {}).items()):
                metric.add_metric(list(labels), value)
            yield metric
