"""Which models a branch changes, by Git: their definitions, suites and modules, and what borrows from them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from include.errors import Refused
from include.settings import Settings
from include.spec.formats import read_definition
from include.spec.loader import list_definitions


class GitRefuses(Refused):
    """Git cannot tell what has changed; carries its own words."""

    def __init__(self, since: str, words: str) -> None:
        self.since = since
        super().__init__(
            f"What has changed since {since!r} is not known: {words.strip()}. Fetch that branch with its whole history "
            "(on GitHub `fetch-depth: 0`, on GitLab `GIT_DEPTH: 0`), and name it as `git branch --all` does."
        )


def changed_models(settings: Settings, since: str) -> list[str]:
    """Names of the models that HEAD changes beside the point at which it left another branch, sorted.

    A model is changed by its definition, by a suite, by a Python file that its definition names, and by a change of a
    model whose values of the past it reads. One that was removed is none.

    :param since: that branch, such as ``origin/main``.
    :raises GitRefuses: if Git does not know it.
    """
    files = [path.resolve() for path in _changed_files(settings.models, since)]
    models = list_definitions(settings)
    named = {model: _named_in(settings, model) for model in models}
    changed = {model for model in models if _touched(settings, model, named[model], files)}
    lent = {model for model in models if named[model] & {f"model: {lender}" for lender in changed}}
    return sorted(changed | lent)


def _touched(settings: Settings, model: str, named: set[str], files: Iterable[Path]) -> bool:
    definitions, suites = settings.models.resolve(), settings.expectations.resolve() / model
    return any(
        path == definitions / f"{model}.yaml"
        or path.is_relative_to(suites)
        or (path.is_relative_to(definitions) and path.relative_to(definitions).as_posix() in named)
        for path in files
    )


def _named_in(settings: Settings, model: str) -> set[str]:
    """All texts of a definition, in which a module's file is named; and ``model: x`` for each model that is."""
    found: set[str] = set()

    def walk(value: object, key: object = None) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, name)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)
        elif isinstance(value, str):
            found.add(f"model: {value}" if key == "model" else value)

    walk(read_definition(settings.models / f"{model}.yaml").values)
    return found


def _changed_files(folder: Path, since: str) -> list[Path]:
    """Files that differ, as whole paths.

    :raises GitRefuses: if Git does not know the branch, or the folder is in no repository.
    """
    if since.startswith("-"):
        raise GitRefuses(since, "that is no branch")
    root = Path(_git(since, folder, "rev-parse", "--show-toplevel").strip())
    names = _git(since, folder, "diff", "-z", "--name-only", "--no-renames", f"{since}...HEAD").split("\0")
    return [root / name for name in names if name]


def _git(since: str, folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise GitRefuses(since, done.stderr.strip().split("\n")[0])
    return done.stdout
