"""The step decide: the definition's gates, applied; losing is an answer, not an error."""

from __future__ import annotations

import json
import logging

from include.steps.protocol import Document, StepCall

log = logging.getLogger("noria.steps.decide")


def run(call: StepCall) -> Document:
    """Decide whether the challenger may replace the champion.

    :param call: ``inputs``: ``{"training": output of train, "evaluation": output of evaluate}``, and ``started_by``:
        what started the training, if a check did.
    :returns: ``promote``, ``verdict`` (promote or keep), ``reason``, ``gates``, ``champion_version``, the version's own
        ``threshold`` if the definition has one found, and ``started_by`` if it was given.
    :raises UnknownMetric: if a gate names no metric of the task.
    """
    from include.evaluation.decision import Standing, decide
    from include.registry.results import record_check
    from include.registry.state import read_states
    from include.registry.versions import find_by_fingerprint

    model, training, evaluation = call.definition.model, call.inputs["training"], call.inputs["evaluation"]
    state = read_states(call.settings).get(model)
    champion = state.roles.get("champion") if state else None
    known = find_by_fingerprint(call.settings, model, training["fingerprint"])
    standing = Standing(
        champion_version=champion.version if champion else None,
        champion_as_of=champion.as_of if champion else None,
        challenger_version=known.version if known else None,
        barred=known is not None and known.status == "barred",
        retired=state is not None and (state.retired_at or state.retiring_until) is not None,
    )
    wanted = call.definition.evaluation
    decision = decide(
        call.definition.task, wanted.gates, evaluation, standing, as_of=call.as_of, objective=wanted.objective
    )
    log.info("%s: %s", decision.verdict, decision.reason)
    output = decision.to_document() | {"champion_version": standing.champion_version}
    if call.definition.evaluation.threshold_from == "validation":
        output["threshold"] = evaluation["threshold"]
    if call.inputs.get("started_by"):
        output["started_by"] = call.inputs["started_by"]
    _add_to_report(call, evaluation, output)
    record_check(
        call.settings,
        model=model,
        kind="decision",
        stage="decide",
        as_of=call.as_of,
        subject=str(training["fingerprint"]),
        verdict=decision.verdict,
        details=output,
        page=evaluation.get("page"),
    )
    return output


def _add_to_report(call: StepCall, evaluation: Document, decision: Document) -> None:
    """Write the decision into the evaluation's report and page, so that the page opens with the verdict."""
    from include.lake.store import store_of
    from include.reports.evaluation_page import write_evaluation_page
    from include.reports.layout import write_atomically

    store = store_of(call.settings)
    path = call.settings.store / evaluation["report"]
    store.fetch(path)
    report = json.loads(path.read_text(encoding="utf-8")) | {"decision": decision, "gates": decision["gates"]}
    write_atomically(path, json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False))
    store.deliver(path, write_evaluation_page(call.settings.store / evaluation["page"], report))
