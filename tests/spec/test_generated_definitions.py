"""Definitions with anything in any key: one that is the same after a round trip, or one error, in short time."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.features.select import feature_select
from include.lake.connections import quote_name
from include.settings import PROJECT
from include.spec.column_types import DUCKDB_TYPES
from include.spec.definition import Definition
from include.spec.histories import row_columns
from include.spec.loader import DefinitionError, load_definition
from include.spec.yaml_reader import LARGEST_FILE
from tests.spec.conftest import VALID
from tests.spec.test_every_key import DOCUMENTS, load

SOUND: Final = {
    **DOCUMENTS,
    **{
        path.stem: {**yaml.safe_load(path.read_text()), "model": "delays"}
        for path in sorted((PROJECT / "include" / "models").glob("*.yaml"))
    },
}
VALUES: Final[list[Any]] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        7,
        10**30,
        -(10**30),
        0.0,
        -0.5,
        1e308,
        float("inf"),
        float("nan"),
        "",
        " ",
        "x",
        "all",
    ),
    *(
        "90d",
        "0d",
        "15%",
        "100%",
        "36500d",
        "99999999999w",
        "1h",
        "delay > 15",
        "distance",
        "carrier",
        "at",
        "hour(at)",
    ),
    *(
        "{store}/{partition}.csv",
        "{partition}",
        "../../etc/passwd",
        "roc_auc",
        "champion",
        "xgboost",
        "linear",
        "2013-02-30",
    ),
    *(
        "😀",
        "é" * 70,
        "a\nb",
        "x" * 5000,
        "null",
        "*",
        "SELECT 1",
        "(" * 300,
        "1e-3",
        "0 2 * * *",
        "Europe/Berlin",
        "at > at",
    ),
    *([], [[]], {}, {"a": {}}, [1, "a", None], {"": 1}, ["carrier"], ["distance", "distance"], {"low": 1, "high": 0}),
    *(
        "a::INT[]",
        "x -> x",
        "'" * 9,
        "\x07",
        "\u2028",
        "1 AS b",
        "count(*)",
        "delay AND",
        "sum(delay)",
        "NULL",
        "$1",
        "/*",
    ),
]
"""What any key may be given, whatever it is."""


def paths(document: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where everything inside a document is."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [found for key, value in inner for found in ((*above, key), *paths(value, (*above, key)))]


def part(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


PARTS: Final = [(name, path) for name, document in SOUND.items() for path in paths(document)]
KEYS: Final = sorted({str(key) for _, path in PARTS for key in path if isinstance(key, str)})


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A sound definition with one to three of its parts replaced, removed, renamed, doubled or moved."""
    document: dict[str, Any] = copy.deepcopy(SOUND[draw(st.sampled_from(sorted(SOUND)))])
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(paths(document)))
        holder = part(document, tuple(above))
        match draw(st.integers(0, 5)):
            case 0 if len(document) > 1:
                del holder[last]
            case 1 if isinstance(holder, dict):
                holder[draw(st.sampled_from(KEYS))] = holder.pop(last)
            case 2 if isinstance(holder, list):
                holder.insert(0, copy.deepcopy(holder[last]))
            case 3:
                name, path = draw(st.sampled_from(PARTS))
                holder[last] = copy.deepcopy(part(SOUND[name], path))
            case _:
                holder[last] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    return document


@given(document=documents())
@hypothesis_settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_a_generated_definition_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "generated"
    folder.mkdir(exist_ok=True)
    check_outcome(lambda: load(folder, document))


def check_outcome(read: Callable[[], Definition]) -> None:
    """A definition, or an error with problems that say what to do; in seconds, whatever the file is."""
    began = time.process_time()
    error = None
    try:
        definition = read()
    except DefinitionError as refused:
        error = refused
    if error is None:
        check_sound(definition)
    else:
        assert error.problems
        assert all(problem.line >= 1 and problem.what and problem.cure for problem in error.problems)
        assert str(error).encode()
    assert time.process_time() - began < 5


def check_sound(definition: Definition) -> None:
    """What holds of every definition that loads: it is the same after a round trip, and DuckDB reads its SQL."""
    said = definition.model_dump(by_alias=True, mode="json")  # without what another model lends
    assert Definition.model_validate(said).model_dump(by_alias=True, mode="json") == said
    if definition.feature_module is not None:
        return
    types = {name: DUCKDB_TYPES[kind] for name, kind in row_columns(definition).items()}
    columns = ", ".join(f"NULL::{kind} AS {quote_name(name)}" for name, kind in types.items())
    # A BinderException is of `hour(carrier)`: types are the data's, and prepare's to refuse.
    with duckdb.connect() as connection, suppress(duckdb.BinderException):
        connection.execute(f"DESCRIBE SELECT {feature_select(definition)} FROM (SELECT {columns})")


TEXTS: Final = {
    "billion laughs": "a: &a [x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\nmodel: *c\n",
    "deep flow": "model: " + "[" * 50_000,
    "deep closed flow": "model: " + "[" * 20_000 + "]" * 20_000,
    "deep mapping": "".join(" " * depth + "a:\n" for depth in range(300)),
    "deep keys": "? " * 20_000 + "a",
    "long key": "a" * 200_000 + ": 1",
    "open quote": "model: '" + "x" * 200_000,
    "comments": "#\n" * 100_000,
    "many keys": "".join(f"k{number}: 1\n" for number in range(2_000)),
    "many unknown features": VALID.replace(
        "features:\n", "features:\n" + "".join(f"  f{n}: nope{n}\n" for n in range(500))
    ),
    "huge whole number": VALID.replace("window: 90d", "window: 90d\n  seed: " + "9" * 5000),
    "octal": VALID.replace("window: 90d", "window: 90d\n  seed: 0o17"),
    "sexagesimal": VALID.replace("window: 90d", "window: 90:00:00"),
    "control character": VALID.replace("late?", "late\x07?"),
    "null character": VALID.replace("late?", "late\0?"),
    "escaped null": VALID.replace("Will it be late?", '"late\\0"'),
    "escaped surrogate": VALID.replace("Will it be late?", '"\\ud800"'),
    "carriage returns": VALID.replace("\n", "\r"),
    "next lines": VALID.replace("\n", "\x85", 3),
    "byte order mark within": "\ufeff\ufeff" + VALID,
    "directive": "%YAML 9.9\n---\n" + VALID,
    "tag of a directive": "%TAG ! tag:x,2000:\n---\nmodel: !a b\n",
    "end mark": VALID + "...\nmore: 1\n",
    "date and time": VALID.replace("starts: 2013-01-01", "starts: 2013-01-01T00:00:00Z"),
    "year zero": VALID.replace("starts: 2013-01-01", "starts: 0000-01-01"),
    "last year": VALID.replace("starts: 2013-01-01", "starts: 9999-12-31"),
    "first year": VALID.replace("starts: 2013-01-01", "starts: 0001-01-01"),
    "underscored": VALID.replace("window: 90d", "window: 90d\n  seed: 1_000"),
    "key null": VALID + "null: 1\n",
    "key number": VALID + "1: 1\n",
    "key list": VALID + "? [a]\n: 1\n",
}
BYTES: Final = {
    "UTF-16": VALID.encode("utf-16"),
    "UTF-16 without mark": VALID.encode("utf-16-le"),
    "UTF-32": VALID.encode("utf-32"),
    "Latin-1": VALID.replace("late", "sp\xe4t").encode("latin-1"),
    "byte order mark": b"\xef\xbb\xbf" + VALID.encode(),
    "ten megabytes": VALID.encode() + b"# " + b"x" * 10_000_000,
    "as large as may be": (VALID.encode() + b"#" * LARGEST_FILE)[:LARGEST_FILE],
    "nothing": b"",
    "null characters": b"\0" * 1000,
    "gzip": b"\x1f\x8b\x08" + b"\0" * 100,
}


@pytest.mark.parametrize("case", [*TEXTS, *BYTES])
def test_a_special_of_yaml_is_read_or_refused_in_short_time(case: str, tmp_path: Path) -> None:
    path = tmp_path / "delays.yaml"
    path.write_bytes(BYTES[case] if case in BYTES else TEXTS[case].encode())
    check_outcome(lambda: load_definition(path))
