"""A team's own trainer: a Python file beside the definition, with which any library and any MLflow flavour can train.

The file has three functions, and travels with the packaged model::

    def train(job): ...                # → a model with predict(matrix) → (rows,) or (rows, classes)
    def save(model, folder): ...       # writes files into an empty folder, or a flavour's save_model into it
    def load(folder): ...              # → such a model again; all that the package calls

``job`` has ``train`` and ``validation`` (each with ``matrix``: rows × features, float32, missing as NaN, categories as
codes; and ``labels``: rows), ``features`` (name, type, categories of each), ``task``, ``params``, ``seed`` and
``threads``. ``REQUIREMENTS``, a list of pinned packages, says what ``load`` needs besides numpy.
"""

from __future__ import annotations

import tempfile
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from include.errors import Refused
from include.training.estimators import ModuleModel
from include.training.matrices import AnyEncoded
from include.training.trainers.losses import loss, loss_name
from include.training.trainers.protocol import Floats, Request, Trained
from include.training.trainers.timeless import timeless

FUNCTIONS: Final = ("train", "save", "load")


class TrainerModuleRefused(Refused):
    """The trainer module cannot be used as it is."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path.name}: {problem}")
        self.path = path


@dataclass(frozen=True, kw_only=True)
class TrainerJob:
    """What a trainer module's ``train`` is given."""

    train: AnyEncoded
    validation: AnyEncoded
    features: Sequence[Mapping[str, Any]]
    task: str
    params: Mapping[str, Any]
    seed: int
    threads: int


@dataclass(frozen=True)
class Saved:
    """A model as its module saved it and loads it again.

    :param files: content by path.
    """

    files: Mapping[str, bytes]
    module: types.ModuleType
    source: bytes

    def predict(self, matrix: npt.NDArray[np.float32]) -> Floats:
        """The answers of the model that ``load`` makes of the saved files."""
        with tempfile.TemporaryDirectory(prefix="noria-trainer-") as folder:
            self._write(Path(folder))
            return ModuleModel(self.module, Path(folder)).predict(matrix)

    def save(self, directory: Path) -> None:
        """The folder ``model`` and the module's source."""
        self._write(directory / "model")
        (directory / "trainer_module.py").write_bytes(self.source)

    def _write(self, folder: Path) -> None:
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def train_module(request: Request) -> Trained:
    """Let the module train and save, and judge what it loads again.

    :raises TrainerModuleRefused: if it lacks a function, saves nothing, or its answers are no finite numbers.
    """
    path = request.module
    if path is None:
        raise ValueError("the definition names no trainer module")
    definition = request.definition
    training = definition.training
    module, source = open_module(path)
    job = TrainerJob(
        train=request.train,
        validation=request.validation,
        features=request.features,
        task=definition.task,
        params=dict(training.params),
        seed=training.seed,
        threads=request.threads or training.resources.cpu,
    )
    with _said(path, "`train` or `save`"):
        saved = save_with(path, module, source, module.train(job))
    with _said(path, "`load` or what it returned"):
        judged, seen = saved.predict(request.validation.matrix), saved.predict(request.train.matrix)
    if not np.isfinite(judged).all():
        raise TrainerModuleRefused(path, "its model's answers for the validation part are not all finite numbers.")
    name, task = loss_name(definition.task), definition.task
    return Trained(
        kind="module",
        estimator=saved,
        judged=judged,
        best_round=1,
        parameters={"trainer": path.name, **training.params},
        curves={
            "train": {name: [loss(task, request.train.labels, seen)]},
            "validation": {name: [loss(task, request.validation.labels, judged)]},
        },
        importance={},
        requirements=tuple(getattr(module, "REQUIREMENTS", ())),
    )


def open_module(path: Path) -> tuple[types.ModuleType, bytes]:
    """The module and its source.

    :raises TrainerModuleRefused: if it cannot be imported, or lacks a function.
    """
    module = types.ModuleType(f"noria_trainer_{path.stem}")
    source = path.read_bytes()
    try:
        exec(compile(source, path.name, "exec"), module.__dict__)  # nosec B102 # the team's own code, as it asks for
    except Exception as error:
        raise TrainerModuleRefused(path, f"it cannot be imported: {type(error).__name__}: {error}") from error
    missing = [name for name in FUNCTIONS if not callable(getattr(module, name, None))]
    if missing:
        raise TrainerModuleRefused(path, f"it has no function {' and no '.join(missing)}; see README, Other trainers.")
    return module, source


def save_with(path: Path, module: types.ModuleType, source: bytes, model: Any) -> Saved:
    """What the module's ``save`` makes of a model.

    :raises TrainerModuleRefused: if it writes no file.
    """
    return Saved(_files(path, module, model), module, source)


@contextmanager
def _said(path: Path, part: str) -> Iterator[None]:
    """Say which part of the module failed.

    :raises TrainerModuleRefused: then.
    """
    try:
        yield
    except TrainerModuleRefused:
        raise
    except Exception as error:
        raise TrainerModuleRefused(path, f"{part} failed: {type(error).__name__}: {error}") from error


def _files(path: Path, module: types.ModuleType, model: Any) -> dict[str, bytes]:
    """What the module saves, without what a flavour says of time and run."""
    with tempfile.TemporaryDirectory(prefix="noria-trainer-") as folder:
        target = Path(folder) / "model"
        target.mkdir()
        module.save(model, target)
        files = {str(file.relative_to(target)): file for file in sorted(target.rglob("*")) if file.is_file()}
        if not files:
            raise TrainerModuleRefused(path, "its `save` wrote no file into the folder that it was given.")
        return {name: timeless(name, file.read_bytes()) for name, file in files.items()}
