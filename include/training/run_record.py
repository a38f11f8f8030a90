"""What MLflow keeps of a training besides the model: parameters, figures, tags, and what it follows from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from include.spec.columns import input_columns
from include.spec.trainers import UNFIT
from include.training.candidates import Chosen
from include.training.fingerprint import git_commit
from include.training.job import Job
from include.training.parameters import settings_besides
from include.training.tracking import FINGERPRINT, RunLog


def log_run(job: Job, run: RunLog, chosen: Chosen, seconds: float) -> None:
    """Log all of it but the model.

    :param seconds: that the training took.
    """
    trained, training = chosen.trained, chosen.definition.training
    unused = {"search", *UNFIT[training.trainer.kind]}
    others = {name: value for name, value in settings_besides(training).items() if name not in unused}
    run.parameters({**trained.parameters, **others})
    best = trained.best_round
    at_best = {f"best_{p}_{m}": curve[best - 1] for p, ms in trained.curves.items() for m, curve in ms.items()}
    rows = {f"rows_{part}": count for part, count in job.reference["rows"].items()}
    found = {"search_trials": len(trained.found.trials)} if trained.found else {}
    found |= (
        {f"calibration_{name}": value for name, value in asdict(trained.sigmoid).items()} if trained.sigmoid else {}
    )
    run.metrics(
        {**at_best, **rows, **found, **chosen.metrics, "best_round": best, "training_seconds": seconds}, trained.curves
    )
    reference = job.reference
    where = {key: reference[key] for key in ("directory", "features_version", "features_digest", "raw_version")}
    run.dataset(
        f"{job.definition.model} training set", reference["digest"], json.dumps(where), json.dumps(reference["rows"])
    )
    run.texts(
        {
            "definition.json": job.definition.model_dump_json(indent=1),
            **_definition_file(job),
            "fingerprint.json": json.dumps(job.fingerprint.document, indent=1),
            "training_set.json": json.dumps(reference, indent=1),
            "importance.json": json.dumps(_by_gain(trained.importance), indent=1),
            **({"search.json": json.dumps(trained.found.document, indent=1)} if trained.found else {}),
            **({"candidates.json": json.dumps(chosen.document, indent=1)} if chosen.document else {}),
        }
    )


def _definition_file(job: Job) -> dict[str, str]:
    path = job.settings.models / f"{job.definition.model}.yaml"
    return {"definition.yaml": path.read_text(encoding="utf-8")} if path.is_file() else {}


def _by_gain(importance: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(importance.items(), key=lambda item: (-item[1], item[0])))


def run_tags(job: Job) -> dict[str, str]:
    """The tags that are known before the model is."""
    tags = {
        "noria.model": job.definition.model,
        "noria.as_of": job.as_of.isoformat(),
        FINGERPRINT: job.fingerprint.value,
        "noria.training_set": str(job.reference["digest"]),
        "noria.features_version": str(job.reference["features_version"]),
        "noria.code": str(job.fingerprint.document["code"]),
        "noria.inputs": json.dumps(input_columns(job.definition)),
        "mlflow.source.name": "noria train",
    }
    for part, window in job.reference["windows"].items():
        tags[f"noria.window.{part}"] = f"{window['start']}/{window['end']}"
    tags |= {f"noria.library.{name}": version for name, version in job.fingerprint.document["libraries"].items()}
    commit = git_commit()
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})
