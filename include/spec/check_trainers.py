"""Checks of a definition's trainer and candidates: what each takes, and that nothing is silently ignored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from include.spec.candidates import trainings
from include.spec.check_search import search_findings
from include.spec.definition import Definition
from include.spec.parameters import SAME, param_findings
from include.spec.problems import Finding, KeyPath
from include.spec.trainers import UNFIT, parameters_of

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")
_BY_CANDIDATE: Final = ("rounds", "early_stopping_rounds")
"""Keys that may be for some of the candidates only."""
_NOTHING: Final[tuple[object, ...]] = (None, "none", {})


def trainer_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with trainer, parameters, search and candidates of a definition."""
    yield from _candidates(definition)
    for name, one in trainings(definition).items():
        for finding in (*_params(one), *_search(one), *_unfit(definition, name, one)):
            yield in_file(definition, name, finding)


def module_findings(definition: Definition, folder: Path) -> Iterator[Finding]:
    """What is wrong with the names of trainer modules.

    :param folder: the definition's folder, in which they must be.
    """
    for name, one in trainings(definition).items():
        module = one.training.trainer.module
        if module is not None:
            for finding in file_findings(("training", "trainer", "module"), module, folder):
                yield in_file(definition, name, finding)


def file_findings(keys: KeyPath, name: str, folder: Path) -> Iterator[Finding]:
    """What is wrong with the name of a Python file that must be beside the definition."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or path.suffix != ".py":
        yield Finding(keys, f"{name!r} is no Python file beside the definition", "Write a name such as mine.py.")
    elif not (folder / path).is_file():
        yield Finding(keys, f"there is no file {folder / path}", "Create it, or correct the name.")
    elif not (folder / path).resolve().is_relative_to(folder.resolve()):
        yield Finding(keys, f"{name!r} leads out of the definition's folder", "Put the file into that folder.")


def _candidates(definition: Definition) -> Iterator[Finding]:
    training = definition.training
    if len(training.candidates) == 1:
        what = "there is one candidate, and nothing to compare it with"
        yield Finding(("training", "candidates"), what, "Add another one, or write its keys in training itself.")
    for name in training.candidates:
        if not _NAME.fullmatch(name):
            cure = "Use lower-case letters, digits and underscores, starting with a letter."
            yield Finding(("training", "candidates", name), f"{name!r} cannot be a candidate's name", cure)
    for key in ("params", "search"):
        given = key in training.model_fields_set and getattr(training, key)
        if given and training.candidates and not any(_takes(definition, name, key) for name in training.candidates):
            what = f"no candidate uses training.{key}"
            yield Finding(("training", key), what, f"Remove it, or leave `{key}` out of a candidate.")


def _takes(definition: Definition, name: str, key: str) -> bool:
    candidate = definition.training.candidates[name]
    return getattr(candidate, key) is None and (candidate.trainer or definition.training.trainer) == (
        definition.training.trainer
    )


def _params(one: Definition) -> Iterator[Finding]:
    training = one.training
    taken = parameters_of(training.trainer.kind, one.task)
    if taken is None:
        return
    searched = training.search.space if training.search else {}
    for name, value in training.params.items():
        yield from param_findings(("training", "params", name), name, [value], taken)
    for name, alias in SAME if training.trainer.kind == "xgboost" else ():
        places = {
            one: "space" if one in searched else "params"
            for one in (name, alias)
            if one in searched or one in training.params
        }
        if len(places) == 2:
            keys = ("training", "search", "space", alias) if alias in searched else ("training", "params", alias)
            yield Finding(keys, f"{alias} and {name} are two names of one parameter", "Keep one of the two.")


def _search(one: Definition) -> Iterator[Finding]:
    if one.training.trainer.kind == "xgboost":
        yield from search_findings(one)


def _unfit(definition: Definition, name: str, one: Definition) -> Iterator[Finding]:
    """Keys that this training's trainer cannot follow."""
    training, kind = one.training, one.training.trainer.kind
    candidate = definition.training.candidates.get(name)
    for key, (why, cure) in UNFIT[kind].items():
        if key in _BY_CANDIDATE:
            of_all = key in definition.training.model_fields_set and not _any_takes(definition, key)
            given = of_all or (candidate is not None and getattr(candidate, key) is not None)
        else:
            given = getattr(training, key) not in _NOTHING
        if given:
            who = f"the trainer {training.trainer.name}" if training.trainer.name else "a trainer module"
            yield Finding(("training", key), f"{who} does not follow {key}: {why}", cure)


def _any_takes(definition: Definition, key: str) -> bool:
    return any(key not in UNFIT[one.training.trainer.kind] for one in trainings(definition).values())


def in_file(definition: Definition, name: str, finding: Finding) -> Finding:
    """A finding where its key is written: in the candidate, or in ``training`` for all of them."""
    candidate = definition.training.candidates.get(name)
    if candidate is None:
        return finding
    key = str(finding.keys[1])
    if key in candidate.model_fields_set:
        return Finding(("training", "candidates", name, *finding.keys[1:]), finding.what, finding.cure)
    return Finding(finding.keys, f"candidate {name}: {finding.what}", finding.cure)
