"""The model card of a version: made when it is registered, kept in the registry, the store and the MLflow run."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from include.steps.protocol import StepCall

if TYPE_CHECKING:
    from include.registry.versions import ModelVersion
    from include.reports.model_card import ModelCard

log = logging.getLogger("noria.steps.register")

FOLDER: Final = "model_card"
"""Folder of the run's artifacts that holds the card as JSON, HTML and Markdown, as of registration."""


def make_model_card(call: StepCall, registered: ModelVersion, training: Mapping[str, Any]) -> None:
    """Make the card of a version that has none yet.

    It is kept in the registry last: until then a step that is run again makes it again.

    :param training: output of the step train.
    :raises TrackingAway: MLflow cannot be reached.
    :raises DatabaseAway: the database cannot be reached.
    """
    from include.registry.mlflow_client import TrackingAway, connect, summary
    from include.reports.model_card_life import find_card, keep_card
    from include.reports.model_card_making import make_card

    if find_card(call.settings, registered.model, registered.version) is not None:
        return
    client = connect(call.settings)
    from mlflow.exceptions import MlflowException

    evaluation = call.inputs.get("evaluation") or {}
    try:
        run = client.get_run(registered.run_id)
        card = make_card(
            call.definition,
            registered,
            training=training,
            report=_report(call, evaluation),
            page=evaluation.get("page"),
            run={"params": run.data.params, "tags": run.data.tags},
        )
        files = _files(card)
        for name, text in files.items():
            client.log_text(registered.run_id, text, f"{FOLDER}/{name}")
    except MlflowException as error:
        doing = f"logging the model card of {registered.model} version {registered.version}"
        raise TrackingAway(doing, summary(error)) from error
    keep_card(call.settings, card, page=_deliver(call, card, files))
    log.info("wrote the model card of version %d", registered.version)


def _report(call: StepCall, evaluation: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The whole report, of which the step's output has the most important parts only."""
    if not evaluation.get("report"):
        return None
    from include.lake.store import store_of

    path = call.settings.store / evaluation["report"]
    store_of(call.settings).fetch(path)
    report: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def _files(card: ModelCard) -> dict[str, str]:
    from include.reports.model_card_page import markdown_card, render_card

    return {
        "model_card.json": card.model_dump_json(indent=1),
        "model_card.html": render_card(card, None),
        "model_card.md": markdown_card(card, None),
    }


def _deliver(call: StepCall, card: ModelCard, files: Mapping[str, str]) -> str:
    """Write the card's files to the store; returns the page's path relative to it."""
    from include.lake.store import store_of
    from include.reports.layout import write_atomically

    root = call.settings.store
    folder = root / "reports" / card.model / "model_cards"
    written = [write_atomically(folder / f"version-{card.version}{name[10:]}", text) for name, text in files.items()]
    store_of(call.settings).deliver(*written)
    return next(path.relative_to(root).as_posix() for path in written if path.suffix == ".html")
