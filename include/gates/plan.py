"""The metrics that some of a suite's expectations need, planned once from Great Expectations' own parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_ROW_COUNT: Final = "table.row_count"
_QUICK: Final[dict[str, Any]] = {"result_format": {"result_format": "BOOLEAN_ONLY"}}


def validate(expectation: Any, metrics: Mapping[str, Any], engine: Any) -> dict[str, Any]:
    """What an expectation says of the metrics that it names."""
    outcome = expectation._validate(metrics=dict(metrics), runtime_configuration=_QUICK, execution_engine=engine)
    return dict(outcome)


class Plan:
    """The metrics of some expectations, in levels: each level needs only those before it."""

    def __init__(self, engine: Any, configurations: Mapping[int, Any]) -> None:
        from great_expectations.validator.metrics_calculator import MetricsCalculator

        self._engine = engine
        calculator = MetricsCalculator(execution_engine=engine, show_progress_bars=False)
        self._named: dict[int, tuple[dict[str, Any], frozenset[Any]]] = {}
        needed: dict[Any, tuple[Any, set[Any]]] = {}
        for number, configuration in configurations.items():
            expectation = configuration.to_domain_obj()
            dependencies = expectation.get_validation_dependencies(
                execution_engine=engine, runtime_configuration=_QUICK
            )
            graph = calculator.build_metric_dependency_graph(dependencies.get_metric_configurations(), _QUICK)
            own = _collect(graph.edges, needed)
            named = {name: metric.id for name, metric in dependencies.metric_configurations.items()}
            self._named[number] = (named, own)
        self._row_counts = [name for name, (metric, _) in needed.items() if metric.metric_name == _ROW_COUNT]
        self._levels = _levels(needed, self._row_counts)

    def measure(self, rows: int) -> dict[int, dict[str, Any]]:
        """The metrics of the loaded frame, by expectation and name.

        :param rows: number of the frame's rows, the one metric that needs no computing.
        """
        metrics: dict[Any, Any] = dict.fromkeys(self._row_counts, rows)
        for level in self._levels:
            metrics.update(self._engine.resolve_metrics(metrics_to_resolve=level, metrics=metrics))
        return {
            number: {name: metrics[metric] for name, metric in named.items()}
            for number, (named, _) in self._named.items()
        }

    def culprit(self, error: Exception) -> int:
        """The expectation whose metric has failed with this error."""
        failed = {metric.id for metric in getattr(error, "failed_metrics", ())}
        return next((number for number, (_, own) in self._named.items() if own & failed), 0)


def _collect(edges: Sequence[Any], needed: dict[Any, tuple[Any, set[Any]]]) -> frozenset[Any]:
    own = set()
    for edge in edges:
        _, after = needed.setdefault(edge.left.id, (edge.left, set()))
        own.add(edge.left.id)
        if edge.right is not None:
            needed.setdefault(edge.right.id, (edge.right, set()))
            after.add(edge.right.id)
            own.add(edge.right.id)
    return frozenset(own)


def _levels(needed: Mapping[Any, tuple[Any, set[Any]]], known: Sequence[Any]) -> list[list[Any]]:
    levels: list[list[Any]] = []
    done: set[Any] = set(known)
    while len(done) < len(needed):
        ready = {name: metric for name, (metric, after) in needed.items() if name not in done and after <= done}
        if not ready:
            raise RuntimeError("the metrics of the suite depend on each other in a circle")
        levels.append(list(ready.values()))
        done |= set(ready)
    return levels
