"""``python -m include.drafting --name late_parcels --from parcels.csv``: a definition and suites to start from.

The address of a database is read from the environment, since it may hold a password: everybody on a machine can read
the arguments of its commands.
"""

from __future__ import annotations

import argparse
import getpass
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from include.drafting.choices import choose_entity, choose_features, choose_label, choose_time, find_leaks
from include.drafting.definition_text import Draft, definition_text
from include.drafting.origin import Database, TableOrigin, find_origin
from include.drafting.sample import SampleUnusable, open_file
from include.drafting.suites import draft_suites
from include.drafting.windows import check_size, cut_time
from include.errors import NoriaError, Refused
from include.settings import DRAFT_FROM, Settings, draft_from

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class ModelExists(Refused):
    """A draft would overwrite a file; carries the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is there already. Choose another NAME, or remove it first; nothing was written.")


class NameRefused(Refused):
    """A model cannot have this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} cannot be a model's name: use lower-case letters, digits and underscores, starting with a "
            "letter, such as NAME=late_parcels."
        )


class NoSource(Refused):
    """Nothing says what a sample is to be drawn from."""

    def __init__(self) -> None:
        super().__init__(f"Say with --from or in {DRAFT_FROM} where a sample of the data is: a file, or a database.")


class ZoneRefused(Refused):
    """There is no such time zone."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        super().__init__(f"There is no time zone {zone!r}; write a name such as ZONE=Europe/Berlin or ZONE=UTC.")


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 if a draft was written, else the error's exit code."""
    options = _parser().parse_args(arguments)
    settings = Settings.from_environment()
    try:
        draft = make_draft(
            settings,
            options.name,
            _origin(settings, options),
            label=options.label,
            time=options.time,
            zone=options.time_zone,
        )
        files = write_draft(settings, draft)
    except NoriaError as error:
        print(f"✗ {error}", file=sys.stderr)
        return error.exit_code
    print(summary(draft, files))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.drafting", description=__doc__)
    parser.add_argument("--name", required=True, help="the model's name")
    from_help = f"a Parquet or CSV file, or the id of a connection; a database's SQLAlchemy URL goes into {DRAFT_FROM}"
    parser.add_argument("--from", dest="source", help=from_help)
    parser.add_argument("--table", help="a database's table or view, such as sales.orders")
    parser.add_argument("--label", help="the column that is to be predicted (default: the likeliest)")
    parser.add_argument("--time", help="the column with the event's time (default: the likeliest)")
    parser.add_argument("--time-zone", default="UTC", help="the clock of the times in the file (default: UTC)")
    return parser


def _origin(settings: Settings, options: argparse.Namespace) -> Path | Database:
    """What the command line or, since it may hold a password, the environment says.

    :raises NoSource: if neither does.
    """
    given = options.source or draft_from()
    if not given:
        raise NoSource
    return find_origin(settings, given, options.table, on_command_line=options.source is not None)


def make_draft(
    settings: Settings,
    name: str,
    source: Path | Database,
    *,
    label: str | None = None,
    time: str | None = None,
    zone: str = "UTC",
) -> Draft:
    """Look at a sample and choose.

    :param source: a Parquet or CSV file, or a table of a database.
    :param label: the column that is to be predicted, if it is not to be guessed; ``time`` likewise.
    :raises NameRefused: if the name cannot be a model's.
    :raises ZoneRefused: if there is no such time zone.
    :raises SampleUnusable: if nothing can be drafted from it.
    :raises TableUnknown: if the table is not named, or not there.
    """
    if not _NAME.fullmatch(name):
        raise NameRefused(name)
    if zone not in available_timezones():
        raise ZoneRefused(zone)
    if isinstance(source, Database):
        from include.drafting.table_sample import open_table

        sample = open_table(settings, source, zone)
    else:
        sample = open_file(settings, source, zone)
    event_time = choose_time(sample, time)
    if event_time is None and isinstance(source, Database):
        problem = "it has no column with times, and a database is read in windows of a time"
        raise SampleUnusable(sample.shown, problem, "Make a view that has one, or export the rows to a file for FROM.")
    if event_time is None:
        check_size(sample)
    name_of_time = event_time.name if event_time else None
    target = choose_label(sample, label, name_of_time)
    leaks = list(find_leaks(sample, name_of_time, target))
    features, without = choose_features(sample, event_time, target, {leak.column for leak in leaks})
    return Draft(
        model=name,
        owner=_user(),
        sample=sample,
        time=event_time,
        time_zone=zone,
        entity=choose_entity(sample, name_of_time, target.column),
        label=target,
        cut=cut_time(sample, event_time) if event_time else None,
        features=features,
        leaks=leaks,
        without=without,
    )


def write_draft(settings: Settings, draft: Draft) -> list[Path]:
    """Write definition and suites; all of them, or nothing.

    :raises ModelExists: if one of the files is there.
    """
    texts: dict[Path, str] = {settings.models / f"{draft.model}.yaml": definition_text(draft)}
    for stage, suite in draft_suites(draft).items():
        texts[settings.expectations / draft.model / f"{stage}.json"] = _json(suite)
    for path in texts:
        if path.exists():
            raise ModelExists(path)
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def summary(draft: Draft, files: list[Path]) -> str:
    """What was drafted, in words, and what to do next."""
    sample = draft.sample
    part = f" (drawn from about {sample.rows_there:,})" if sample.rows_there > sample.rows else ""
    lines = [f"Drafted from {sample.rows:,} rows of {sample.shown}{part}:"]
    lines += [f"  {path}" for path in files]
    lines += [
        f"It predicts {draft.label.expression} ({draft.label.task}) from {len(draft.features)} features.",
        f"{_time(draft)}; a row is known by {', '.join(draft.entity)}.",
    ]
    if draft.leaks:
        lines.append("These would give the answer away, and are left out:")
        lines += [f"  {leak.column}: {leak.reason}" for leak in draft.leaks]
    if isinstance(sample.origin, TableOrigin):
        lines += _connection(sample.origin.database)
    lines += [
        "Next: answer the question marks in the definition, read the suites, then",
        "  .venv/bin/python -m include.spec check",
        f"  make run MODEL={draft.model}",
    ]
    return "\n".join(lines)


def _connection(database: Database) -> list[str]:
    """How the model will reach its database."""
    name = database.connection
    if database.is_known:
        return [f"The model reads through the connection {name}: Airflow needs one with this id as well."]
    airflow, variable = database.to_add()
    return [
        f"The model reads through the connection {name}, which keeps address and password. Add it in Airflow's pages",
        "(Admin, Connections), or by command, with the real password:",
        f"  {airflow}",
        "For steps outside of Airflow:",
        f"  {variable}",
    ]


def _time(draft: Draft) -> str:
    if draft.time is None or draft.cut is None:
        return "Time: none, so a hash of the entity splits the rows"
    return f"Time: {draft.time.name}, by {draft.cut.size}"


def _json(suite: Mapping[str, Any]) -> str:
    """As the other suites are written: an expectation's arguments on one line."""
    text = ['{\n  "name": ' + json.dumps(suite["name"]) + ',\n  "expectations": [']
    items = []
    for expectation in suite["expectations"]:
        rows = [
            f"      {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in expectation.items()
        ]
        items.append("    {\n" + ",\n".join(rows) + "\n    }")
    return "\n".join([*text, ",\n".join(items), "  ]\n}\n"])


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "?"


if __name__ == "__main__":
    sys.exit(main())
