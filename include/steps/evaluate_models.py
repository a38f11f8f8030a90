"""The models themselves, as the step evaluate asks them: challenger and champion, each opened once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from include.steps.champion_files import champion_files, in_words
from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from include.evaluation.explanation import Explained
    from include.evaluation.grouping import Floats
    from include.evaluation.holdout import Holdout
    from include.registry.state import DeployedVersion

log = logging.getLogger("noria.steps.evaluate")

IMPORTANCE = "importance jump"
"""Kind of the check result that says whether importance has jumped; also its verdict if it has."""


def ask_champion(call: StepCall, champion: DeployedVersion, holdout: Holdout) -> tuple[Floats, Explained | str]:
    """The champion's predictions on the holdout rows, and what they rest on.

    :raises ModelAway: if its files cannot be had.
    """
    from include.evaluation.logged_models import load_model
    from include.training.part_on_disk import in_batches

    with champion_files(call.settings, champion) as directory:
        predict = load_model(directory, whose=in_words(champion), classes=call.definition.label.class_names)
        return in_batches(holdout.inputs, predict), _explain(call, directory, holdout)


def ask_challenger(
    call: StepCall, training: Document, holdout: Holdout, threshold: float | None
) -> tuple[list[Document], Explained | str]:
    """How the challenger takes worse inputs, if the definition asks for that, and what its answers rest on.

    :raises ModelAway: if its files cannot be had.
    """
    from include.evaluation.logged_models import load_model, model_files
    from include.evaluation.report import judging_of
    from include.evaluation.robustness import judge_robustness
    from include.registry.mlflow_client import connect

    connect(call.settings)
    with model_files(
        call.settings.tracking_url,
        whose="the challenger",
        model_uri=training["model_uri"],
        expected_digest=training["artifact_digest"],
    ) as directory:
        found: list[Document] = []
        if call.definition.evaluation.robustness:
            judging = judging_of(call.definition, holdout, threshold=threshold)
            predict = load_model(directory, whose="the challenger", classes=call.definition.label.class_names)
            found = judge_robustness(call.definition, judging, holdout, predict)
        return found, _explain(call, directory, holdout)


def _explain(call: StepCall, directory: Any, holdout: Holdout) -> Explained | str:
    from include.evaluation.explanation import explain
    from include.training.package import open_package

    wanted, seed = call.definition.evaluation.importance, call.definition.training.seed
    return explain(open_package(directory), holdout.inputs, most=wanted.rows, seed=seed)


def describe_importance(
    call: StepCall, mine: Explained | str, theirs: Explained | str | None, version: int | None
) -> Document:
    """What the answers rest on, with ``jump`` if there is a champion to compare with.

    :param version: the champion's.
    """
    from include.evaluation.explanation import describe, judge_jump
    from include.spec.columns import added_inputs, personal_features

    hidden = set(personal_features(call.definition))
    hidden |= {name for name, added in added_inputs(call.definition).items() if added.of in hidden}
    found = describe(mine, theirs, hidden=hidden)
    limit = call.definition.evaluation.importance.jump
    found["jump"] = None if version is None else judge_jump(found, version=version, limit=limit)
    return found


def record_importance(call: StepCall, training: Document, importance: Document, page: str) -> None:
    """Keep whether importance has jumped, which is told as an alert if it has."""
    from include.registry.results import record_check

    jump = importance["jump"]
    if jump is None:
        return
    verdict = IMPORTANCE if jump["jumped"] else "no jump"
    log.info("%s: %s", verdict, jump["reason"])
    record_check(
        call.settings,
        model=call.definition.model,
        kind=IMPORTANCE,
        stage="evaluate",
        as_of=call.as_of,
        subject=str(training["fingerprint"]),
        verdict=verdict,
        details={**jump, "champion_version": jump["version"]},
        page=page,
    )
