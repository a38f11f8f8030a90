"""Checks of a definition's search for parameters."""

from __future__ import annotations

from collections.abc import Iterator

from include.spec.definition import Definition
from include.spec.lengths import Lengths, Shares
from include.spec.parameters import PARAMS, WHOLE, param_findings
from include.spec.problems import Finding
from include.spec.search import Search
from include.spec.share import Share


def search_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the search of a definition, if it has one."""
    search = definition.training.search
    if search is None:
        return
    yield from _space(definition, search)
    yield from _folds(definition, search)
    if search.patience is not None and search.patience >= search.trials:
        keys = ("training", "search", "patience")
        yield Finding(keys, f"the search ends after {search.trials} trials anyway", "Lower it, or remove it.")


def _space(definition: Definition, search: Search) -> Iterator[Finding]:
    for name, searched in search.space.items():
        keys = ("training", "search", "space", name)
        found = list(param_findings(keys, name, searched.all_values))
        if PARAMS.get(name, ()) is None and searched.values is None:
            found = [Finding(keys, f"{name} is text, which has no range", "List its values, such as [a, b].")]
        elif name in WHOLE and any(isinstance(end, float) for end in (searched.low, searched.high)):
            found = [Finding(keys, f"{name} is a whole number", "Write low and high without a decimal point.")]
        yield from found
        first = definition.training.params.get(name)
        if not found and first is not None and not searched.holds(first):
            what = f"training.params has {name}: {first}, the first trial's value, which is not among those here"
            yield Finding(keys, what, f"Let the values here hold {first}, or remove it from training.params.")


def _folds(definition: Definition, search: Search) -> Iterator[Finding]:
    if (fits := _fits(definition)) is None:
        return
    validation, shortest = fits
    if (search.folds - 1) * validation > shortest / 2:
        most = int(shortest / 2 / validation) + 1
        what = f"{search.folds} folds leave the oldest one less than half of the training window to train on"
        cure = f"At most {most} folds fit; take fewer, shorten training.validation or lengthen the window."
        yield Finding(("training", "search", "folds"), what, cure)


def _fits(definition: Definition) -> tuple[float, float] | None:
    """The validation part and the shortest training part, in one measure; None if other checks refuse them."""
    training = definition.training
    if (
        not definition.source.has_time
        and isinstance(training.validation, Share)
        and isinstance(training.holdout, Share)
    ):
        shares = Shares.of(definition)
        return training.validation.parts, max(shares.train.end - shares.train.start, 0)
    if isinstance(training.validation, Share) or isinstance(training.holdout, Share) or training.window is None:
        return None
    lengths = Lengths.of(definition)
    return lengths.validation.total_seconds(), lengths.shortest.total_seconds()
