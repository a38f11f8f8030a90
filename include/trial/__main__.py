"""``python -m include.trial changed --since origin/main`` and ``python -m include.trial run <model>…``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from include.errors import NoriaError
from include.settings import Settings
from include.trial.changed import changed_models


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0, else the exit code of the first refusal, after all models were tried."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        settings = Settings.from_environment()
        models = options.models if options.command == "run" else changed_models(settings, options.since)
        if options.command == "changed" and not models:
            print(f"No model has changed since {options.since}.")
        elif options.command == "run" or options.run:
            return _try(settings, models, options)
        else:
            print(*models, sep="\n")
    except NoriaError as error:
        print(f"✗ {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _try(settings: Settings, models: Sequence[str], options: argparse.Namespace) -> int:
    from include.trial.short_life import try_models

    refused = try_models(settings, models, _say, sample=options.sample, as_of=options.as_of, changes=options.change)
    for model, error in refused.items():
        print(f"✗ {model}: {error}", file=sys.stderr)
    return next((error.exit_code for error in refused.values()), 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.trial", description="Try models before a merge.")
    commands = parser.add_subparsers(dest="command", required=True)
    changed = commands.add_parser("changed", help="the models that this branch changes, by Git")
    changed.add_argument("--since", required=True, help="the branch that it will be merged into, such as origin/main")
    changed.add_argument("--run", action="store_true", help="try each of them, as `run` does, instead of naming them")
    run = commands.add_parser("run", help="every suite on sample data and a small training, in a private home")
    run.add_argument("models", nargs="+", metavar="model", help="name of a definition")
    for command in (changed, run):
        command.add_argument(
            "--sample",
            type=Path,
            metavar="FOLDER",
            help="what the store would hold, such as landing/orders.csv (default: the store, or packaged data sets)",
        )
        command.add_argument("--as-of", help="of the training (default: the first at which there is enough past)")
        command.add_argument(
            "--set", dest="change", action="append", default=[], metavar="KEY=VALUE", help="another value, repeatable"
        )
    return parser


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
