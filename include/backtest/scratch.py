"""The place of a backtest: a store, a database and an MLflow of its own, which are gone when it has ended well."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from include.datasets import land, packaged_models
from include.errors import Refused
from include.lake.paths import checked_model, erased_file, table_folder
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.formats import read_definition
from include.spec.loader import find_definition
from include.stack.private import PrivatePlace

_STORE: Final = "{store}/"
_TABLES: Final = ("raw", "features")


class SourceInBucket(Refused):
    """The source's files lie in a bucket, and a backtest reads them from a folder."""

    def __init__(self, model: str, address: str) -> None:
        super().__init__(
            f"The source of {model} lies in {address}, and a backtest reads files from a folder. Copy what the source "
            "names to a folder of this machine and set NORIA_STORE to it for this command."
        )


class AlreadyRunning(Refused):
    """Another backtest of the model uses the same folder."""

    def __init__(self, model: str) -> None:
        super().__init__(f"A backtest of {model} runs already in this home. Wait for its end.")


class BadChange(Refused):
    """A change of the definition that cannot be read."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} changes no key: write it like training.shortest_window=45d.")


@contextmanager
def scratch(settings: Settings, model: str) -> Iterator[Settings]:
    """Settings of an empty world for one backtest of a model; the working directory is its folder meanwhile.

    After an error its files stay for a look, until the next backtest of the model; the database never does.

    :raises AlreadyRunning: if there is another one.
    """
    home = settings.home / "backtest" / checked_model(model)
    home.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(home, model):
        place = PrivatePlace.of(home, "backtest")
        place.remove()  # what a killed one has left
        try:
            started = place.start(settings)
            with chdir(home):  # MLflow puts files beside itself
                yield started
        except BaseException:
            place.drop_database()
            raise
        place.remove()


def with_changes(settings: Settings, model: str, changes: Iterable[str]) -> Settings:
    """Settings whose definition of the model has other values: a copy of the folder of definitions, in this home.

    :param changes: such as ``training.shortest_window=45d``.
    :raises BadChange: if one cannot be read. What a definition may not say is found when it is loaded.
    """
    pairs = [_pair(text) for text in changes]
    if not pairs:
        return settings
    find_definition(settings, model, expressions=False)  # what is wrong with the file itself is told of the file itself
    folder = settings.home / "models"
    shutil.copytree(settings.models, folder, dirs_exist_ok=True)
    file = folder / f"{model}.yaml"
    values = read_definition(file).values
    for keys, value in pairs:
        _set(values, keys, value)
    file.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return replace(settings, models=folder)


def bring_data(settings: Settings, place: Settings, definition: Definition) -> None:
    """Make the source's files visible in the scratch store, and copy what of it is in the lake already.

    Of a model whose data a package ships they are landed, if nobody has done so. What is there already is left alone.

    :param settings: where the data is; ``place`` those of the backtest.
    :raises SourceInBucket: if the source's files are in a bucket.
    """
    folders = {path.removeprefix(_STORE).split("/")[0] for path in _paths(definition) if path.startswith(_STORE)}
    if folders and settings.bucket is not None:
        raise SourceInBucket(definition.model, settings.bucket.url)
    place.store.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        if (settings.store / folder).is_dir():
            if not (place.store / folder).exists():
                (place.store / folder).symlink_to(settings.store / folder)
        elif definition.model in packaged_models():
            land(place, definition.model)
    if settings.bucket is None:
        models = {definition.model, *(group.model or definition.model for group in definition.history.values())}
        for model in models:
            if erased_file(settings, model).exists():
                erased_file(place, model).parent.mkdir(exist_ok=True)
                shutil.copyfile(erased_file(settings, model), erased_file(place, model))
            for table in _TABLES:
                _copy_table(table_folder(settings, model, table), table_folder(place, model, table))


def _copy_table(origin: Path, target: Path) -> None:
    """A Delta table as of now: its log first, so that all files that the copied log names are there."""
    log = origin / "_delta_log"
    if not log.is_dir() or target.exists():
        return
    shutil.copytree(log, target / "_delta_log")
    shutil.copytree(origin, target, ignore=shutil.ignore_patterns("_delta_log"), dirs_exist_ok=True)


def _paths(definition: Definition) -> list[str]:
    source = definition.source
    return [path for path in (source.path, *(table.path for table in source.tables.values())) if path]


def _pair(text: str) -> tuple[list[str], Any]:
    name, separator, value = text.partition("=")
    keys = name.strip().split(".")
    if not separator or not all(keys):
        raise BadChange(text)
    try:
        return keys, yaml.safe_load(value)
    except yaml.YAMLError:
        raise BadChange(text) from None


def _set(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.get(key)
        values[key] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[key]
    values[keys[-1]] = value


@contextmanager
def _only_one(home: Path, model: str) -> Iterator[None]:
    with (home.parent / f".{home.name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(model) from None
        yield
