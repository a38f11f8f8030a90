"""The trainings of a definition: one, or its candidates, each as a definition of its own."""

from __future__ import annotations

from typing import Any

from include.spec.definition import Definition
from include.spec.trainers import Candidate


def trainings(definition: Definition) -> dict[str, Definition]:
    """Name → the definition with this candidate's settings in ``training``; without candidates one, named ``""``."""
    candidates = definition.training.candidates
    if not candidates:
        return {"": definition}
    return {name: _resolved(definition, candidate) for name, candidate in candidates.items()}


def fold_count(definition: Definition) -> int:
    """On how many windows candidates are compared: as many as the most thorough search among them takes."""
    return max(one.training.search.folds if one.training.search else 1 for one in trainings(definition).values())


def _resolved(definition: Definition, candidate: Candidate) -> Definition:
    training = definition.training
    trainer = candidate.trainer or training.trainer
    same = trainer == training.trainer
    changes: dict[str, Any] = {
        "trainer": trainer,
        "params": candidate.params if candidate.params is not None else training.params if same else {},
        "search": candidate.search or (training.search if same else None),
        "rounds": candidate.rounds or training.rounds,
        "early_stopping_rounds": candidate.early_stopping_rounds or training.early_stopping_rounds,
        "candidates": {},
    }
    return definition.model_copy(update={"training": training.model_copy(update=changes)})
