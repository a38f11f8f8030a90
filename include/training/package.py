"""Makes the packaged model: writes its files, logs them to MLflow, and names their content by one digest.

Everything that goes into the digest is deterministic: no times, paths, thread counts or machine names in it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from include.errors import NoriaError, Refused
from include.spec.cleaned import cleaned
from include.spec.columns import added_inputs
from include.spec.definition import ColumnType, Definition, FeatureType

if TYPE_CHECKING:
    import pandas as pd

    from include.training.trainers.protocol import Estimator

CODE = Path(__file__).with_name("packaged_model.py")
SHORT_WAY = tuple(Path(__file__).with_name(name) for name in ("row_batch.py", "row_path.py", "row_reader.py"))
FORMAT = 1

_MODEL = "model.ubj"
_FEATURES = "features.json"
_PROFILE = "profile.json"
_MODULE = "feature_module.py"
_COMPILED = "compiled_features.py"
ESTIMATORS = Path(__file__).with_name("estimators.py")
#: The model itself: XGBoost's own format, plain numbers, or the folder of a trainer module.
_MODELS = (_MODEL, "model.json", "model")
_REQUIRED = (_FEATURES, _PROFILE)
_OPTIONAL = (_MODULE, _COMPILED, ESTIMATORS.name, "trainer_module.py", *(path.name for path in SHORT_WAY))

_ONE_AT_A_TIME = threading.Lock()


class PackageIncomplete(NoriaError):
    """A model's folder lacks one of its files, so that it cannot be named or used."""

    def __init__(self, directory: Path, missing: Sequence[str]) -> None:
        super().__init__(
            f"The model in {directory} lacks {', '.join(missing)}: its download or upload was cut short. "
            f"Remove that folder and load the model again; if MLflow itself lacks the files, train again."
        )
        self.directory = directory
        self.missing = tuple(missing)


@dataclass(frozen=True, kw_only=True)
class LoggedPackage:
    """Where the logged model is.

    :param model_uri: MLflow's address of it (``models:/m-…``).
    :param model_id: MLflow's id of the logged model.
    :param artifact_digest: sha256 over its deterministic files.
    """

    model_uri: str
    model_id: str
    artifact_digest: str


def canonical_json(document: object) -> str:
    """JSON text that is the same for the same content; keys keep their order, NaN is refused."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def describe_model(
    definition: Definition,
    *,
    columns: Mapping[str, ColumnType],
    feature_types: Mapping[str, FeatureType],
    select: str,
    categories: Mapping[str, Sequence[str]],
    cleaning: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """What ``features.json`` says: the input columns and their types, the feature SQL, the categories learned.

    :param columns: source columns that the features need, with their types, in order.
    :param feature_types: the features in the definition's order.
    :param select: the SQL select items that make the feature columns (empty with a feature module).
    :param categories: for each category feature its values in the training part, sorted.
    :param cleaning: for each cleaned feature what was learned of it; see :mod:`include.training.cleaning`.
    """
    module = definition.feature_module
    return {
        "format": FORMAT,
        "model": definition.model,
        "task": definition.task,
        **({"classes": list(definition.label.class_names)} if definition.label.classes else {}),
        "time_zone": definition.source.time_zone,
        "columns": dict(columns),
        "features": [
            *(
                _describe_feature(definition, name, kind, categories.get(name, ()), (cleaning or {}).get(name))
                for name, kind in feature_types.items()
            ),
            *_describe_added(definition),
        ],
        "select": select,
        "feature_module": {"inputs": list(module.inputs)} if module is not None else None,
        "serving": _describe_serving(definition),
    }


def _describe_feature(
    definition: Definition, name: str, kind: FeatureType, categories: Sequence[str], cleaning: Mapping[str, Any] | None
) -> dict[str, Any]:
    """One feature: where it comes from and how its values become numbers."""
    sql = definition.features[name].expression if definition.feature_module is None else None
    return {
        "name": name,
        "type": kind,
        "expression": sql,
        "categories": list(categories) if kind == "category" else None,
        "reads": None if sql is None else sorted(cleaned(definition, sql).columns),
        **({} if cleaning is None else {"clean": dict(cleaning)}),
    }


def _describe_added(definition: Definition) -> list[dict[str, Any]]:
    """The inputs that cleaning adds: of which feature (``of``), and what of it they say (``flag``)."""
    return [
        {
            "name": name,
            "type": "boolean",
            "expression": None,
            "categories": None,
            "reads": None,
            "of": added.of,
            "flag": added.flag,
        }
        for name, added in added_inputs(definition).items()
    ]


def _describe_serving(definition: Definition) -> dict[str, Any]:
    """What the server holds a request against, and which columns name and hide an entity."""
    serving, source = definition.serving, definition.source
    return {
        "entity": {name: source.columns[name] for name in source.entity},
        "limits": {name: limit.model_dump(mode="json", exclude_none=True) for name, limit in serving.limits.items()},
        "unseen_categories": serving.unseen_categories,
        "personal": list(serving.personal),
    }


def write_package(
    directory: Path,
    *,
    estimator: Estimator,
    description: Mapping[str, Any],
    profile: Mapping[str, Any],
    feature_module: Path | None = None,
) -> None:
    """Write estimator, description, profile, the code of the short way and the feature module's source to a folder.

    :param description: content of ``features.json``; its ``estimator`` is left out for XGBoost's booster.
    """
    directory.mkdir(parents=True, exist_ok=True)
    estimator.save(directory)
    if "estimator" in description:
        (directory / ESTIMATORS.name).write_bytes(ESTIMATORS.read_bytes())
    (directory / _FEATURES).write_text(canonical_json(description), encoding="utf-8")
    (directory / _PROFILE).write_text(canonical_json(profile), encoding="utf-8")
    for path in SHORT_WAY:
        (directory / path.name).write_bytes(path.read_bytes())
    if feature_module is not None:
        (directory / _MODULE).write_bytes(feature_module.read_bytes())


def add_compiled(
    directory: Path, description: Mapping[str, Any], source: str | None, compiled: Mapping[str, Any]
) -> None:
    """Write the compiled features beside a written package, and into ``features.json`` what is known of them.

    :param source: of the compiled features; None if they are not admitted, then none are left there.
    :param compiled: ``admitted``, ``reason`` and ``rows``.
    """
    (directory / _FEATURES).write_text(canonical_json({**description, "compiled": dict(compiled)}), encoding="utf-8")
    (directory / _COMPILED).unlink(missing_ok=True)
    if source is not None:
        (directory / _COMPILED).write_text(source, encoding="utf-8")


def artifact_digest(model_directory: Path) -> str:
    """Sha256 (hex) over name and content of the model's deterministic files.

    :param model_directory: a downloaded MLflow model (files below ``artifacts/``, code beside ``MLmodel``), or a
        folder that :func:`write_package` wrote (then this repository's ``packaged_model.py`` is the code).
    :raises PackageIncomplete: if a file is missing.
    """
    files = _package_files(model_directory)
    lines = [f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n" for name, path in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def open_package(model_directory: Path) -> Any:
    """The packaged model's object, from the files that :func:`artifact_digest` covers and from nothing else.

    MLflow would ask ``MLmodel`` which code to run with which files, and Python its ``__pycache__``; neither is covered.
    One at a time: models parse source, and Python 3.11 counts the depth of syntax trees for all threads together.

    :param model_directory: as for the digest, which the caller has verified.
    :raises PackageIncomplete: if a file is missing.
    """
    files = _package_files(model_directory)
    code = files.pop(CODE.name)
    module = ModuleType(code.stem)
    module.__file__ = str(code)
    folder = files[_FEATURES].parent
    names = {Path(name).parts[0] for name in files}
    with _ONE_AT_A_TIME:
        exec(compile(code.read_text(encoding="utf-8"), str(code), "exec"), module.__dict__)  # nosec B102 # see above
        model = module.TabularModel()
        model.load_context(SimpleNamespace(artifacts={Path(name).stem: str(folder / name) for name in names}))
    return model


def _package_files(directory: Path) -> dict[str, Path]:
    logged = (directory / "MLmodel").exists()
    folder = directory / "artifacts" if logged else directory
    files = {name: folder / name for name in (*_REQUIRED, *_OPTIONAL)}
    files[CODE.name] = directory / CODE.name if logged else CODE
    models = _model_files(folder)
    missing = [name for name, path in files.items() if name not in _OPTIONAL and not path.is_file()]
    if missing or not models:
        raise PackageIncomplete(directory, [*missing, *([] if models else [_MODEL])])
    return {**models, **{name: path for name, path in files.items() if path.is_file()}}


def _model_files(folder: Path) -> dict[str, Path]:
    """The files of the model itself, by their path in the package."""
    found = [folder / name for name in _MODELS if (folder / name).exists()]
    files = [file for path in found for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return {file.relative_to(folder).as_posix(): file for file in files if file.is_file()}


def requirements(more: Sequence[str] = ()) -> list[str]:
    """The packages that the model needs, pinned to the versions that it was made with.

    :param more: what its estimator needs besides, pinned already.
    """
    pinned = [f"{name}=={version}" for name, version in library_versions("mlflow", *BYTES_DEPEND_ON).items()]
    return [*pinned, *(one for one in more if one not in pinned)]


BYTES_DEPEND_ON = ("xgboost", "duckdb", "numpy", "pandas")


def library_versions(*names: str) -> dict[str, str]:
    """Installed versions; XGBoost under the name that it is installed by (``xgboost`` or ``xgboost-cpu``).

    :raises Refused: if one is not installed.
    """
    versions: dict[str, str] = {}
    for name in names:
        for distribution in (name, f"{name}-cpu"):
            try:
                versions[distribution] = metadata.version(distribution)
                break
            except metadata.PackageNotFoundError:
                continue
        else:
            raise Refused(f"The package {name} is not installed. Run `make setup`, then try again.")
    return versions


def log_package(
    directory: Path, *, example: pd.DataFrame, run_id: str, name: str = "model", needs: Sequence[str] = ()
) -> LoggedPackage:
    """Log a written package to the active MLflow run as a standard pyfunc (models from code, no pickle).

    The tracking address must be set and the run ``run_id`` be active in this process.

    :param example: a few raw rows with exactly the input columns.
    :param needs: packages that its estimator needs besides those of every model, pinned.
    """
    import mlflow.pyfunc

    files = {path.stem: str(path) for path in sorted(directory.iterdir())}
    info = mlflow.pyfunc.log_model(
        name=name,
        python_model=str(CODE),
        artifacts=files,
        signature=_signature(list(example.columns), _classes(directory)),
        input_example=example,
        pip_requirements=requirements(needs),
        metadata={"noria_run": run_id},
    )
    return LoggedPackage(
        model_uri=str(info.model_uri), model_id=str(info.model_id), artifact_digest=artifact_digest(directory)
    )


def _classes(directory: Path) -> list[str]:
    return list(json.loads((directory / _FEATURES).read_text(encoding="utf-8")).get("classes") or ())


def _signature(columns: Sequence[str], classes: Sequence[str]) -> Any:
    """Every input column required, of MLflow type Any; out come ``prediction`` and, of several classes, probabilities.

    MLflow's own types refuse what is valid here: ``long`` refuses integers with nulls, ``double`` refuses int64,
    ``boolean`` turns null into false. The packaged model itself checks each value against the declared type.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    anything = AnyType()  # type: ignore[no-untyped-call]
    inputs = Schema([ColSpec(type=anything, name=name, required=True) for name in columns])
    outputs: list[Any] = [ColSpec(type="string" if classes else "double", name="prediction")]
    outputs += [ColSpec(type="double", name=f"probability_{name}") for name in classes]
    return ModelSignature(inputs=inputs, outputs=Schema(outputs))
