"""What a run waits for: source files that arrive, partitions that get published.

``python -m include.steps.waiting --model M --as-of T`` prints ``{"missing": […]}``: the partitions of the features
table that a training as of T needs and that are not published. With ``--absent KEY…`` it prints ``{"absent": […]}``:
those of these partitions whose data is not in the source: no file, no rows. Airflow's processes run it as a process of
its own, so that the store's libraries never enter them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from include.errors import NoriaError
from include.lake.paths import source_path
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.spec.windows import needed_partitions
from include.steps.command import parse_as_of


def source_file(settings: Settings, definition: Definition, key: str) -> Path:
    """The file that holds (or will hold) a partition's raw rows.

    :raises UnsafeName: if the key is not of the form of a partition key.
    """
    return source_path(settings, definition.source.path, key if "{partition}" in definition.source.path else None)


def missing_partitions(settings: Settings, definition: Definition, as_of: datetime) -> list[str]:
    """Keys of the partitions that a training needs and that are not in the features table, in order."""
    from include.lake.table import LakeTable

    table = LakeTable(settings, definition.model, "features")
    published = set(table.partitions()) if table.exists() else set()
    return [partition.key for partition in needed_partitions(definition, as_of) if partition.key not in published]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is missing or absent as JSON; an error goes to stderr in one line."""
    parser = argparse.ArgumentParser(prog="python -m include.steps.waiting", description=__doc__)
    parser.add_argument("--model", required=True)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--as-of", help="instant of the training")
    asked.add_argument("--absent", nargs="+", metavar="KEY", help="partitions whose data is looked for in the source")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment()
        definition = find_definition(settings, options.model)
        if options.absent:
            from include.lake.sources import absent_partitions

            found = {"absent": absent_partitions(settings, definition, options.absent)}
        else:
            found = {"missing": missing_partitions(settings, definition, parse_as_of(options.as_of))}
    except NoriaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
