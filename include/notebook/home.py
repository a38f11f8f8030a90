"""Where a notebook's models are: the running stack's, those that the environment names, or a private home's."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final

from include.errors import Refused
from include.notebook.model import Model
from include.settings import Settings
from include.spec.loader import find_definition
from include.stack.environment import Stack
from include.stack.instance import load_instance
from include.stack.private import PrivatePlace
from include.steps.environment import quiet_environment

_DATABASE: Final = "NORIA_DATABASE_URL"
_ARTIFACTS: Final = "artifacts"


class NoStack(Refused):
    """There is neither a local stack nor an address of another one."""

    def __init__(self, home: Path) -> None:
        self.home = home
        super().__init__(
            f"No stack was ever started in {home}, and {_DATABASE} names no database. Start one (`make up`), set the "
            "NORIA_ variables of another one, or work in a private home: "
            "`from include.notebook import private_home; home = private_home(); home.open_model(…)`."
        )


def open_model(name: str, settings: Settings | None = None) -> Model:
    """A model by the name of its definition.

    :param settings: where everything is; left out, what ``NORIA_DATABASE_URL`` and its like say, or else the local
        stack that ``make up`` has started.
    :raises NoStack: if there is neither.
    :raises UnknownModel: if there is no such definition; names those that are like it.
    :raises DefinitionError: if it is wrong.
    """
    found = _settings_here() if settings is None else settings
    definition = find_definition(found, name)
    _quiet(definition.training.resources.cpu)
    return Model(found, definition)


def _settings_here() -> Settings:
    settings = Settings.from_environment()
    if _DATABASE in os.environ:
        return settings
    instance = load_instance(settings.home)
    if instance is None:
        raise NoStack(settings.home)
    return Stack.of(settings, instance).settings


def _quiet(threads: int) -> None:
    """Keep the libraries quiet that are not imported yet; what the environment says already stays."""
    for name, value in quiet_environment(threads).items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm's, for a bar that nobody asked for


def private_home(
    folder: Path | str | None = None, settings: Settings | None = None, *, sample: Path | None = None
) -> PrivateHome:
    """A home of one's own, with its store, PostgreSQL and MLflow, in which nothing can be broken. Takes some seconds.

    :param folder: where its state stays for the next time; left out, it is temporary and gone at the end.
    :param settings: where definitions, suites and data are; left out, as the environment says.
    :param sample: folder with what the store would hold, such as ``landing/orders.csv``; it is copied, and no other
        data is looked for.
    """
    return PrivateHome(folder, settings or Settings.from_environment(), sample)


class PrivateHome:
    """A private home that runs; ends with ``close()``, with its ``with`` block, or with the process.

    :param settings: those that lead there.
    """

    def __init__(self, folder: Path | str | None, origin: Settings, sample: Path | None = None) -> None:
        self._origin = None if sample else origin
        self._temporary = folder is None
        home = Path(tempfile.mkdtemp(prefix="noria-notebook-") if folder is None else folder).absolute()
        self._place = PrivatePlace.of(home, "notebook")
        atexit.register(self.close)
        self.settings = self._place.start(origin)
        if sample is not None:
            shutil.copytree(sample, self.settings.store, dirs_exist_ok=True)

    def open_model(self, name: str, changes: Iterable[str] = ()) -> Model:
        """A model whose versions are this home's own.

        Its source's files are read where they are; the data set of a model that a package ships is landed if needed.

        :param changes: other values in its definition, such as ``training.params.max_depth=4``.
        :raises UnknownModel: if there is no such definition.
        :raises DefinitionError: if it is wrong, or the changed one is.
        :raises SourceInBucket: if the source's files are in a bucket.
        """
        from include.backtest.scratch import bring_data, with_changes

        settings = with_changes(self.settings, name, changes)
        model = open_model(name, settings)
        if self._origin is not None:
            bring_data(self._origin, settings, model.definition)
        _ensure_experiment(settings, name)
        return model

    def close(self) -> None:
        """Stop it; a temporary one is deleted."""
        atexit.unregister(self.close)
        if self._temporary:
            self._place.remove()
        else:
            self._place.postgres.stop()

    def __enter__(self) -> PrivateHome:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _ensure_experiment(settings: Settings, model: str) -> None:
    """MLflow's experiment of the model, with its files in the home; by itself they would go where the notebook runs."""
    from include.registry.mlflow_client import connect

    client = connect(settings)
    if client.get_experiment_by_name(model) is None:
        client.create_experiment(model, artifact_location=(settings.home / _ARTIFACTS).as_uri())
