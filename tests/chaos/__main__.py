"""``make chaos``: faults done to the running product, each followed by a check of everything that must always hold."""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import logging
import os
import pkgutil
import random
import sys
import tempfile
import time
from pathlib import Path

import tests.chaos
from include.settings import PROJECT
from tests.chaos.case import Case, MeansLacking
from tests.chaos.matrix.command import models, run_matrix
from tests.chaos.matrix.tally import Cell
from tests.chaos.world import World, opened


def cases() -> list[Case]:
    """``CASES`` of every module of this room, by name."""
    found: list[Case] = []
    for module in pkgutil.iter_modules(tests.chaos.__path__):
        if not module.name.startswith(("test_", "__")):
            found += getattr(importlib.import_module(f"tests.chaos.{module.name}"), "CASES", [])
    return sorted(found, key=lambda case: case.name)


def main(arguments: list[str] | None = None) -> int:
    """Run the cases; 0 if all holds."""
    options = _parser().parse_args(arguments)
    chosen = [case for case in cases() if not options.only or _is_named(case.name, options.only)]
    if not chosen:
        print(f"There is no case named {', '.join(options.only)}; --list tells them all.", file=sys.stderr)
        return 2
    if options.list:
        for case in chosen:
            print(f"{case.name:<32}{case.what}")
        return 0
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    if options.matrix:
        return _matrix(options, chosen)
    print(f"seed {options.seed}, {len(chosen)} cases, {options.instants} instants for each kill", flush=True)
    with opened(_scratch(), options.instants, _say) as world:
        held = {case.name: _holds(case, world, options.seed) for case in chosen}
    failed = [name for name, holds in held.items() if holds is False]
    skipped = list(held.values()).count(None)
    print(f"\nseed {options.seed}: {list(held.values()).count(True)} of {len(chosen)} cases hold, {skipped} skipped")
    for name in failed:
        print(f'  broken: make chaos ARGS="--seed {options.seed} --instants {options.instants} --only {name}"')
    return 1 if failed else 0


def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="noria-chaos-"))


def _matrix(options: argparse.Namespace, chosen: list[Case]) -> int:
    """The chosen cells, several at once."""
    cells: list[Cell] = [(words[1], words[2]) for case in chosen if (words := case.name.split("/"))[0] == "kill"]
    return run_matrix(
        World(options.stack or _scratch(), say=_say, is_kept=options.stack is not None, models=models()),
        seed=options.seed,
        cells=cells,
        instants=options.instants,
        minutes=options.minutes,
        progress=options.progress,
        after=options.after,
        say=_say,
    )


def _is_named(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="what all chance comes from (default 1)")
    parser.add_argument("--instants", type=int, default=20, help="instants of each kill (default 20)")
    parser.add_argument("--only", nargs="+", default=[], metavar="CASE", help="names, such as 'kill/train/*'")
    parser.add_argument("--matrix", action="store_true", help="the kills, several at once; goes on where it was cut")
    parser.add_argument("--minutes", type=float, default=0, help="time of the matrix (default: no limit)")
    parser.add_argument("--progress", type=Path, default=PROJECT / ".chaos", help="folder in which the matrix keeps it")
    parser.add_argument("--after", type=Path, metavar="FILE", help="rounds of another commit that count as well")
    parser.add_argument("--stack", type=Path, metavar="FOLDER", help="of the matrix's stack, which is kept there")
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    return parser


def _holds(case: Case, world: World, seed: int) -> bool | None:
    """Run one case; None if this machine cannot do its fault.

    Its chance depends on seed and name alone, so that it is the same when it is run by itself.
    """
    begin = time.monotonic()
    try:
        told = case.run(world, random.Random(f"{seed} {case.name}"))  # noqa: S311 - to be repeatable
    except MeansLacking as error:
        _say(f"- {case.name:<30}{time.monotonic() - begin:6.0f} s  skipped: {error}")
        return None
    except Exception as error:  # noqa: BLE001 - the other cases are run all the same
        _say(f"✗ {case.name:<30}{time.monotonic() - begin:6.0f} s  {type(error).__name__}: {error}")
        return False
    _say(f"✓ {case.name:<30}{time.monotonic() - begin:6.0f} s  {told}")
    return True


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
