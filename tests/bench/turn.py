"""The steps of data and training in the order in which the DAGs run them, for whoever measures them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Document = dict[str, Any]
Timed = Callable[[str, str, Document], Document]
"""Runs a step: the task's name in tables, the step's, its inputs; returns its output."""


def take_turn(run: Timed, first: str, last: str) -> Document:
    """Every partition from the first to the last anew, and a training; the outputs of train and register."""
    staged = run("ingest", "ingest", {"first": first, "last": last, "force": True})
    gated = run("gate raw", "gate", {"stage": "raw", "staged": staged})
    raw = run("publish raw", "publish", {"gate": gated})
    prepared = run("prepare", "prepare", {"published": raw, "force": True})
    gated = run("gate features", "gate", {"stage": "features", "staged": prepared})
    run("publish features", "publish", {"gate": gated})
    training_set = run("assemble", "assemble", {})
    run("gate training", "gate", {"stage": "training", "training_set": training_set})
    training = run("train", "train", {"training_set": training_set})
    gated = run("gate predictions", "gate", {"stage": "predictions", "training": training})
    run("publish predictions", "publish", {"gate": gated})
    evaluation = run("evaluate", "evaluate", {"training": training})
    decision = run("decide", "decide", {"training": training, "evaluation": evaluation})
    judged = {"training": training, "evaluation": evaluation, "decision": decision}
    return {"training": training, **run("register", "register", judged)}
