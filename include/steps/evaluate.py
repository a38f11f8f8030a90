"""The step evaluate: challenger, champion and baselines on the same holdout rows, with intervals and slices."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from include.steps.evaluate_models import ask_challenger, ask_champion, describe_importance, record_importance
from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from include.evaluation.explanation import Explained
    from include.evaluation.holdout import Holdout
    from include.evaluation.report import Rival
    from include.registry.state import DeployedVersion

log = logging.getLogger("noria.steps.evaluate")


def run(call: StepCall) -> Document:
    """Evaluate a trained model; writes the report's JSON and its page.

    :param call: ``inputs``: ``{"training": output of the step train}``.
    :returns: ``report``, ``page`` (relative to the store), ``challenger``, ``champion``, ``baselines``,
        ``improvements``, ``comparison``, ``champion_version``, ``rows``, ``fair``, ``unfair_reason``, ``resampling``,
        ``robustness``.
    :raises NothingHeldOut: if there is no holdout row.
    :raises ModelAway: if the files of a model that must answer cannot be had; there is no decision without them.
    """
    from include.evaluation import report as reports
    from include.evaluation.decision import apply_gates
    from include.evaluation.holdout import read_holdout, with_objective_columns
    from include.evaluation.threshold import find_threshold
    from include.lake.paths import temporary_folder
    from include.lake.store import store_of
    from include.registry.results import record_check
    from include.registry.state import champion
    from include.reports.evaluation_page import write_evaluation_page
    from include.reports.layout import write_atomically
    from include.training.part_on_disk import stays_on_disk

    training, store, root = call.inputs["training"], store_of(call.settings), call.settings.store
    store.fetch_folder(root / training["training_set"]["directory"])
    store.fetch(root / training["predictions"])
    on_disk = stays_on_disk(call.definition, training["training_set"]["rows"])
    read = read_holdout(root, training, temporary_folder(call.settings) if on_disk else None)
    holdout = with_objective_columns(call.settings, call.definition, read, training)
    rival, theirs = _meet(call, training, holdout, champion(call.settings, call.definition.model))
    started = time.monotonic()
    threshold = find_threshold(call.settings, call.definition, training)
    report = reports.evaluate(call.definition, holdout, rival, threshold) | _provenance(call, training)
    report["robustness"], mine = ask_challenger(call, training, holdout, threshold)
    report["importance"] = describe_importance(call, mine, theirs, rival.version if theirs is not None else None)
    wanted = call.definition.evaluation
    gates = apply_gates(call.definition.task, wanted.gates, report, wanted.objective)
    report["gates"] = [gate.to_document() for gate in gates]
    log.info("judged %d rows in %.1f s", report["rows"], time.monotonic() - started)
    path = root / "reports" / call.definition.model / "evaluation" / f"{_name(call, training, rival)}.json"
    write_atomically(path, json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False))
    page = write_evaluation_page(path.with_suffix(".html"), report)
    store.deliver(path, page)
    output = reports.step_output(report, path=path.relative_to(root).as_posix(), page=page.relative_to(root).as_posix())
    record_check(
        call.settings,
        model=call.definition.model,
        kind="evaluation",
        stage="evaluate",
        as_of=call.as_of,
        subject=str(training["fingerprint"]),
        verdict=report["comparison"]["status"],
        details=output,
        page=output["page"],
    )
    record_importance(call, training, report["importance"], output["page"])
    return output


def _meet(
    call: StepCall, training: Document, holdout: Holdout, champion: DeployedVersion | None
) -> tuple[Rival, Explained | str | None]:
    """The champion's predictions on the holdout rows and what they rest on, unless it is not there or has seen them."""
    from include.evaluation.report import Rival
    from include.evaluation.unseen import judge_unseen

    rows = len(holdout.frame)
    if champion is None:
        return Rival.nobody(rows), None
    if training["fingerprint"] == champion.fingerprint or training["artifact_digest"] == champion.artifact_digest:
        return Rival.itself(champion.version, rows), None
    fairness = judge_unseen(call.definition, holdout, champion.version, champion.windows)
    if fairness.status == "unfair":
        log.warning("no comparison: %s", fairness.reason)
        return Rival(champion.version, fairness, None), None
    predictions, explained = ask_champion(call, champion, holdout)
    return Rival(champion.version, fairness, predictions, champion.threshold), explained


def _provenance(call: StepCall, training: Document) -> dict[str, Any]:
    """What the challenger is and was made from, for the page."""
    wanted = ("fingerprint", "version", "run_id", "model_uri", "artifact_digest", "best_round", "seed", "training_set")
    made = {key: training.get(key) for key in wanted}
    made |= {"candidate": training["candidate"]} if "candidate" in training else {}
    return {"as_of": call.as_of.isoformat(), "training": made}


def _name(call: StepCall, training: Document, rival: Rival) -> str:
    """Same challenger, same champion, same file: doing it again replaces it, another comparison does not."""
    against = f"v{rival.version}" if rival.version is not None else "none"
    return f"{call.as_of:%Y%m%dT%H%M%S}-{str(training['fingerprint'])[:12]}-against-{against}"
