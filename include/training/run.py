"""One training from its training set to a finished MLflow run, or the same outputs from an equal one that is there."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from include.errors import NoriaError
from include.lake.columns import PARTITION
from include.lake.paths import relative_to_store, temporary_folder
from include.lake.pieces import piece_paths
from include.lake.places import row_places, split_columns
from include.settings import Settings
from include.spec.candidates import trainings
from include.spec.columns import feature_types, personal_features
from include.spec.definition import Definition
from include.training.candidates import train_candidates
from include.training.cleaning import fold_cleaning, kept_rows, learn_cleaning
from include.training.compiling import compile_package
from include.training.describe import describe, feature_module_path, trainer_module_paths
from include.training.example_rows import example_rows
from include.training.fingerprint import make_fingerprint
from include.training.folds import Fold, crossed_folds, older_folds
from include.training.job import VALIDATION, Document, Job
from include.training.matrices import AnyEncoded, encode_part, learn_categories
from include.training.package import PackageIncomplete, artifact_digest, write_package
from include.training.packaged_model import TabularModel, encode
from include.training.parameters import parameters
from include.training.part_on_disk import PartOnDisk, in_batches, open_rows, some_rows, spread, stays_on_disk
from include.training.prediction_files import answered_before_refit, put_file, write_predictions
from include.training.profile import make_profile
from include.training.reference_sample import take_sample
from include.training.run_record import log_run, run_tags
from include.training.set_folder import INPUTS_FILE
from include.training.tracking import FinishedRun, RunLog, Tracker
from include.training.trainers.boosting import Machines
from include.training.trainers.protocol import Trained
from include.training.training_set import TrainingSetGone, open_directory

Predictions = npt.NDArray[np.float64]

_SOME: Final = 100_000
"""Rows of a large holdout that are looked at where some will do."""
_REASON: Final = "noria.candidate_reason"
_log = logging.getLogger(__name__)


class PackagedModelDiffers(NoriaError):
    """The packaged model answers otherwise for raw rows than the trained one for the published features: a defect."""

    def __init__(self, model: str, rows: int, different: int, first: Mapping[str, Any]) -> None:
        super().__init__(
            f"{model}: for {different} of {rows} holdout rows the packaged model's answer is not the trained model's "
            f"(first: {dict(first)}). Features of the same row differ between the features table and the package; if "
            f"raw data was replaced meanwhile, run the DAG {model}.data and train again, else this is a defect."
        )
        self.different = different


def prepare_job(
    settings: Settings,
    definition: Definition,
    as_of: datetime,
    reference: Mapping[str, Any],
    machines: Machines | None = None,
) -> Job:
    """Read the training part and name the training by its fingerprint.

    :param reference: the training set's reference, as the step assemble returns it.
    :param machines: who boosts; this process if left out.
    :raises TrainingSetGone: if the training set is not there.
    """
    directory = open_directory(settings, reference)
    large = machines is not None or stays_on_disk(definition, reference["rows"])
    scratch = temporary_folder(settings) if large else None
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    train = open_rows(piece_paths(directory, "train"), scratch)
    kept = kept_rows(definition, "train", train)
    cleaning = learn_cleaning(definition, kept)
    description = describe(definition, learn_categories(kept, feature_types(definition), cleaning), cleaning)
    module = feature_module_path(settings, definition)
    modules = trainer_module_paths(settings, definition)
    for one in trainings(definition).values():
        if one.training.trainer.kind == "xgboost":
            parameters(one)
    fingerprint = make_fingerprint(
        definition,
        training_set=reference,
        description=description,
        module=module,
        trainer_modules=modules,
        on_disk=scratch is not None,
        engine=None if machines is None else machines.document,
    )
    return Job(
        settings=settings,
        definition=definition,
        as_of=as_of,
        reference=dict(reference),
        directory=directory,
        scratch=scratch,
        train=train,
        description=description,
        fingerprint=fingerprint,
        machines=machines,
    )


def find_equal(job: Job, tracker: Tracker, registered_run: str | None) -> Document | None:
    """The outputs of a finished run with the same fingerprint, or None.

    :param registered_run: the run of the version that has this fingerprint, if one is registered; it comes first.
    """
    found = tracker.run_by_id(registered_run) if registered_run else None
    found = found or tracker.find_finished(job.definition.model, job.fingerprint.value)
    if found is None:
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="noria-model-") as folder:
            logged = artifact_digest(tracker.download_model(found.tags["noria.model_uri"], Path(folder)))
            if logged != found.tags["noria.artifact_digest"]:
                raise ValueError("its files have another digest than was logged")
            for name, file in job.files.items():
                if not file.is_file():
                    put_file(job.settings, file, tracker.download(found.run_id, name, Path(folder)))
    except (OSError, ValueError, KeyError, PackageIncomplete) as error:
        _log.warning("Run %s has the same fingerprint but cannot be reused (%s); training again.", found.run_id, error)
        return None
    return _outputs(job, tracker, found, reused=True)


def train_and_log(job: Job, tracker: Tracker) -> Document:
    """Train, prove that the packaged model answers like the trained one, log all of it, and return the outputs.

    :raises PackagedModelDiffers: if it does not.
    """
    features = job.description["features"]
    started = time.monotonic()
    validation, holdout = (
        open_rows(piece_paths(job.directory, part), job.scratch) for part in ("validation", "holdout")
    )
    kept = kept_rows(job.definition, "train", job.train)
    judged_on = kept_rows(job.definition, "validation", validation)
    train = encode_part(kept, features)
    chosen = train_candidates(
        job.definition,
        features,
        train,
        encode_part(judged_on, features),
        older_folds=_further_folds(job, kept, train),
        modules=trainer_module_paths(job.settings, job.definition),
        machines=job.machines,
    )
    trained = chosen.trained
    seconds = time.monotonic() - started
    _log.info("Trained %d rounds in %.1f s.", trained.best_round, seconds)
    inputs = open_rows([job.directory / INPUTS_FILE], job.scratch, whole_numbers=True)
    with tempfile.TemporaryDirectory(prefix="noria-package-") as folder:
        package = Path(folder) / "package"
        described = _described(job, trained)
        predictions = _package(job, trained, described, holdout, package)
        compiled = compile_package(package, described, some_rows(inputs, _SOME))["compiled"]
        answers = in_batches(inputs, TabularModel.open(package).predict_frame)
        _check_equal(job, holdout, predictions, answers)
        classes = job.definition.label.class_names
        write_predictions(job.settings, job.predictions, holdout, predictions, classes)
        if VALIDATION in job.files:
            before = answered_before_refit(trained.judged, trained.sigmoid)
            write_predictions(job.settings, job.files[VALIDATION], judged_on, before, classes)
        with tracker.run(job.definition, run_tags(job)) as run:
            log_run(job, run, chosen, seconds)
            model_uri = _log_model(job, run, tracker, package, inputs, holdout, predictions, trained.requirements)
            tags = {
                "noria.model_uri": model_uri,
                "noria.artifact_digest": artifact_digest(package),
                "noria.best_round": str(trained.best_round),
                **({"noria.candidate": chosen.name, _REASON: chosen.document["reason"]} if chosen.document else {}),
                "noria.compiled": compiled["reason"] or f"proven equal on {compiled['rows']} rows",
            }
            run.tags(tags)
            _refuse_erased(job, run)
    finished = FinishedRun(run_id=run.run_id, experiment_id=run.experiment_id, tags=tags)
    return _outputs(job, tracker, finished, reused=False)


def _further_folds(job: Job, kept: pd.DataFrame | PartOnDisk, train: AnyEncoded) -> list[Fold]:
    """The folds of the definition's search besides the one that the parts are.

    :param kept: the rows of the training part that are trained on; ``train`` are the same.
    """
    cut = fold_cleaning(job.definition, job.description["features"], kept)
    if not job.definition.source.has_time:
        return crossed_folds(
            job.definition, row_places(job.definition, kept[split_columns(job.definition)]), train, cut
        )
    times, end = kept[str(job.definition.source.event_time)], job.reference["windows"]["train"]["end"]
    return older_folds(job.definition, times, train, datetime.fromisoformat(end), cut)


def read_inputs(directory: Path) -> pd.DataFrame:
    """The raw input columns of the holdout rows; integers with nulls stay integers."""
    frame: pd.DataFrame = pq.read_table(directory / INPUTS_FILE).to_pandas(integer_object_nulls=True)
    return frame


def _described(job: Job, trained: Trained) -> Document:
    """The content of ``features.json``, which says what the estimator is if it is not XGBoost's booster."""
    return job.description if trained.kind == "xgboost" else {**job.description, "estimator": {"kind": trained.kind}}


def _package(
    job: Job, trained: Trained, description: Document, holdout: pd.DataFrame | PartOnDisk, package: Path
) -> Predictions:
    """Write the package; returns the predictions for the holdout's published features."""
    predictions = in_batches(holdout, lambda frame: trained.estimator.predict(encode(frame, description["features"])))
    profile = make_profile(
        job.train,
        feature_types(job.definition),
        predictions=predictions,
        labels=holdout["label"],
        task=job.definition.task,
        classes=job.definition.label.class_names,
        holdout_partitions=holdout[PARTITION],
    )
    classifier = job.definition.monitoring.drift.domain_classifier
    if classifier is not None:
        types, hidden = feature_types(job.definition), personal_features(job.definition)
        profile["sample"] = take_sample(job.train, types, rows=classifier.rows, without=hidden)
    write_package(
        package,
        estimator=trained.estimator,
        description=description,
        profile=profile,
        feature_module=feature_module_path(job.settings, job.definition),
    )
    return predictions


def _check_equal(job: Job, holdout: pd.DataFrame | PartOnDisk, expected: Predictions, answers: Predictions) -> None:
    """Hold the answers for these rows against what is expected."""
    different = np.flatnonzero((expected != answers).reshape(len(expected), -1).any(axis=1))
    if len(different):
        first = int(different[0])
        row = {name: str(holdout[name].iloc[first]) for name in ("partition", "_row")}
        row |= {"trained": _nine_digits(expected[first]), "packaged": _nine_digits(answers[first])}
        raise PackagedModelDiffers(job.definition.model, len(expected), len(different), row)


def _nine_digits(answer: Any) -> str:
    return " ".join(f"{value:.9g}" for value in np.atleast_1d(answer))


def _log_model(
    job: Job,
    run: RunLog,
    tracker: Tracker,
    package: Path,
    inputs: pd.DataFrame | PartOnDisk,
    holdout: pd.DataFrame | PartOnDisk,
    predictions: Predictions,
    needs: Sequence[str],
) -> str:
    """Log model, predictions and verification rows; load the model back from MLflow and compare some answers."""
    import mlflow.pyfunc

    logged = run.model(package, example_rows(job.definition, some_rows(inputs, _SOME)), needs)
    with tempfile.TemporaryDirectory(prefix="noria-logged-") as folder:
        back = tracker.download_model(logged.model_uri, Path(folder))
        if artifact_digest(back) != logged.artifact_digest:
            raise PackageIncomplete(back, ["the bytes that were logged"])
        loaded = mlflow.pyfunc.load_model(str(back))
        names = [f"probability_{name}" for name in job.definition.label.class_names]
        some = spread(len(inputs), _SOME)  # these bytes have answered all rows; MLflow's own way to them is slow
        answers = loaded.predict(inputs.iloc[some])[names or "prediction"].to_numpy()
        _check_equal(job, holdout.iloc[some], predictions[some], answers)
        rows = Path(folder) / "rows.parquet"
        pq.write_table(_verification_rows(job, predictions), rows, compression="zstd")
        run.file(rows, "verification")
        for name, file in job.files.items():
            copy = Path(folder) / Path(name).name
            copy.write_bytes(file.read_bytes())
            run.file(copy, str(Path(name).parent))
    return logged.model_uri


def _refuse_erased(job: Job, run: RunLog) -> None:
    """Look only now: whoever erases a key removes the training sets with it first, and then looks into the runs.

    :raises TrainingSetGone: if rows of the training set were erased meanwhile; the run keeps none of them.
    """
    try:
        open_directory(job.settings, job.reference)
    except TrainingSetGone:
        with tempfile.TemporaryDirectory(prefix="noria-logged-") as folder:
            rows = Path(folder) / "rows.parquet"
            pq.write_table(pa.table({"prediction": pa.array([], pa.float64())}), rows)
            run.file(rows, "verification")
        raise


def _verification_rows(job: Job, predictions: Predictions) -> pa.Table:
    """Raw input columns and prediction of holdout rows, spread evenly over the holdout."""
    places = spread(len(predictions), job.definition.deployment.verify_rows)
    table = PartOnDisk([job.directory / INPUTS_FILE], job.directory).rows_at(places)
    chosen = predictions[places]
    expected = pa.array(chosen.tolist(), pa.list_(pa.float64())) if chosen.ndim == 2 else pa.array(chosen)
    return table.append_column("prediction", expected)


def _outputs(job: Job, tracker: Tracker, run: FinishedRun, *, reused: bool) -> Document:
    chosen = {"candidate": run.tags[_REASON]} if _REASON in run.tags else {}
    return {
        "fingerprint": job.fingerprint.value,
        "reused": reused,
        "version": None,
        "run_id": run.run_id,
        "model_uri": run.tags["noria.model_uri"],
        "artifact_digest": run.tags["noria.artifact_digest"],
        "best_round": int(run.tags["noria.best_round"]),
        "seed": job.definition.training.seed,
        "predictions": relative_to_store(job.settings, job.predictions),
        **(
            {"validation_predictions": relative_to_store(job.settings, job.files[VALIDATION])}
            if VALIDATION in job.files
            else {}
        ),
        "training_set": dict(job.reference),
        "metrics_url": f"{tracker.url}/#/experiments/{run.experiment_id}/runs/{run.run_id}",
        **chosen,
    }
