"""``python -m include.datasets <model>``: land a model's packaged data set."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from include.datasets import land, packaged_models
from include.errors import NoriaError, NothingToDo
from include.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Land the data and say what lies there; exit code 20 if no package ships data for the model."""
    parser = argparse.ArgumentParser(prog="python -m include.datasets", description="Land a packaged data set.")
    parser.add_argument("model", help=f"one of: {', '.join(packaged_models())}")
    parser.add_argument("--force", action="store_true", help="write every file anew, also those that are there")
    options = parser.parse_args(arguments)
    settings = Settings.from_environment()
    try:
        landed = land(settings, options.model, force=options.force)
    except NoriaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if landed is None:
        known = ", ".join(packaged_models())
        print(f"No package ships data for the model {options.model!r}; for these one does: {known}.", file=sys.stderr)
        return NothingToDo.exit_code
    place = f"{settings.store_address}/landing" if landed.kind == "files" else "the database that the model reads"
    print(f"{options.model}: {landed} in {place}", end="")
    print(f", {landed.written} of them written now." if landed.written else ", already there.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
