"""A short life of a model in a private home: every suite on a sample of its data, a small training, no deployment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from include.errors import NoriaError, Refused
from include.notebook import Model, private_home
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.spec.windows import first_trainable, needed_partitions

_ROUNDS: Final = 20
_RESAMPLES: Final = 100


class NoSample(Refused):
    """The folder with sample data is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            f"There is no folder {folder} with sample data. It holds what the store would: for a source "
            "`{store}/landing/orders.csv` the file landing/orders.csv."
        )


class SuiteRefuses(Refused):
    """A gate refused partitions of the sample."""

    def __init__(self, model: str, stage: str, refused: Sequence[str]) -> None:
        self.model, self.stage, self.refused = model, stage, tuple(refused)
        super().__init__(
            f"The {stage} suite of {model} refuses {', '.join(refused)} of the sample: correct "
            f"expectations/{model}/{stage}.json, the definition, or the sample."
        )


def try_models(
    settings: Settings,
    names: Sequence[str],
    say: Callable[[str], None],
    *,
    sample: Path | None = None,
    as_of: str | None = None,
    changes: Sequence[str] = (),
) -> dict[str, NoriaError]:
    """Take models from their sources to evaluated predictions, with few rounds, and say each stage's verdict.

    :param sample: folder with what the store would hold; left out, the settings' store, or packaged data sets.
    :param as_of: of the training; left out, the first instant at which there is enough past.
    :param changes: other values in their definitions.
    :returns: for each model that does not get through, what the first gate or check that refuses it says.
    :raises NoSample: if there is no such folder.
    """
    if sample is not None and not sample.is_dir():
        raise NoSample(sample)
    refused: dict[str, NoriaError] = {}
    with private_home(settings=settings, sample=sample) as home:
        for name in names:
            try:
                definition = find_definition(settings, name)
                _live(home.open_model(name, [*_short(definition), *changes]), as_of, say)
            except NoriaError as error:
                refused[name] = error
    return refused


def _short(definition: Definition) -> Iterator[str]:
    """Changes that make a training small."""
    yield f"evaluation.bootstrap_rounds={_RESAMPLES}"
    if definition.training.trainer.name == "xgboost" and not definition.training.candidates:
        yield f"training.rounds={min(_ROUNDS, definition.training.rounds)}"
    if definition.training.search is not None:
        yield "training.search.trials=2"


def _live(model: Model, as_of: str | None, say: Callable[[str], None]) -> None:
    definition = model.definition
    wanted = as_of or (first_trainable(definition).isoformat() if definition.source.has_time else None)
    moment = model.as_of(wanted)
    keys: dict[str, Any] = {"force": False}
    if definition.source.has_time:
        partitions = needed_partitions(definition, moment)
        keys |= {"first": partitions[0].key, "last": partitions[-1].key}

    def run(step: str, inputs: dict[str, Any]) -> dict[str, Any]:
        return model.run(step, inputs, as_of=moment)

    def gate(stage: str, inputs: dict[str, Any]) -> dict[str, Any]:
        output = run("gate", {"stage": stage, **inputs})
        say(f"  {stage:<12} {output['verdict']}, {output['warnings']} warnings")
        if output.get("refused"):
            raise SuiteRefuses(model.name, stage, output["refused"])
        return output

    say(f"{model.name} as of {moment.isoformat()}")
    raw = run("publish", {"gate": gate("raw", {"staged": run("ingest", keys)})})
    prepared = run("prepare", {"published": raw, "force": False})
    run("publish", {"gate": gate("features", {"staged": prepared})})
    training_set = run("assemble", {})
    gate("training", {"training_set": training_set})
    training = run("train", {"training_set": training_set})
    gate("predictions", {"training": training})
    evaluation = run("evaluate", {"training": training})
    measured = evaluation["challenger"]
    shown = ", ".join(f"{name} {measured[name]['value']:.4g}" for name in definition.evaluation.metrics)
    say(f"  evaluated    {shown} on {evaluation['rows']:,} rows (a small training: no verdict on its quality)")
