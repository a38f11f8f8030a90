"""Suites are read strictly: nothing in them can make a gate pass silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from include.errors import Refused
from include.gates import SuiteError, check_columns, load_suite, read_suite
from include.settings import PROJECT, Settings


def expectation(kind: str = "expect_column_values_to_be_between", **changes: Any) -> dict[str, Any]:
    kwargs = {"column": "a", "min_value": 0} if kind == "expect_column_values_to_be_between" else {"column": "a"}
    return {"type": kind, "kwargs": kwargs, "severity": "critical", "meta": {"notes": "It matters."}} | changes


def write(tmp_path: Path, *items: Any, **document: Any) -> Path:
    path = tmp_path / "raw.json"
    path.write_text(json.dumps({"name": "m.raw", "expectations": list(items), **document}))
    return path


def test_a_good_suite_is_read_with_its_severities_and_columns(tmp_path: Path) -> None:
    other = expectation("expect_compound_columns_to_be_unique", kwargs={"column_list": ["b", "a"]}, severity="warning")
    suite = read_suite(write(tmp_path, expectation(), other), "raw")
    assert [item.severity for item in suite.expectations] == ["critical", "warning"]
    assert suite.columns == ("a", "b")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (expectation("expect_column_values_to_be_betwen"), "Did you mean 'expect_column_values_to_be_between'"),
        (expectation("expect_column_quantile_values_to_be_between"), "no expectation of the type"),
        (expectation(kwargs={"column": "a", "min": 0}), "no argument 'min'"),
        (expectation(kwargs={"column": "a"}), "neither min_value nor max_value"),
        (expectation(kwargs={"column": "a", "min_value": 2, "max_value": 1}), "nothing could pass"),
        (expectation(kwargs={"column": "a", "min_value": 0, "mostly": 0}), "mostly is 0"),
        (expectation(kwargs={"min_value": 0}), "needs the argument 'column'"),
        (expectation(kwargs={"column": "a", "min_value": "1"}), "must be a number"),
        (expectation(kwargs=[]), "kwargs must be an object"),
        (expectation("expect_column_values_to_be_in_set", kwargs={"column": "a", "value_set": []}), "not empty"),
        (expectation("expect_column_values_to_match_regex", kwargs={"column": "a", "regex": "("}), "regular expres"),
        (expectation(severity="info"), "severity is 'info'"),
        ({key: value for key, value in expectation().items() if key != "severity"}, "'severity' is missing"),
        (expectation(meta={}), "meta.notes is missing"),
        (expectation(mostly=0.5), "no key 'mostly'"),
        ("expect_everything", "not an object"),
    ],
)
def test_an_expectation_that_says_nothing_sure_is_refused_with_file_and_place(
    tmp_path: Path, item: Any, words: str
) -> None:
    path = write(tmp_path, item)
    with pytest.raises(SuiteError) as caught:
        read_suite(path, "raw")
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "expectation 1" in str(caught.value)
    assert isinstance(caught.value, Refused)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1"),
        ("", "not JSON"),
        ("[]", "one JSON object"),
        ('{"name": "x", "expectations": []}', "expects nothing"),
        ('{"expectations": [1]}', "'name' is missing"),
        ('{"name": "x", "name": "y", "expectations": [1]}', "written twice"),
        ('{"name": "x", "expectations": [NaN]}', "not a JSON number"),
        ('{"name": "x", "expectation": []}', "Did you mean 'expectations'"),
        ('{"name": "x", "expectations": [1], "suite_parameters": {"a": 1}}', "not supported"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "raw.json"
    path.write_text(text)
    with pytest.raises(SuiteError, match=r"Suite .*raw\.json") as caught:
        read_suite(path, "raw")
    assert words in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "raw.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SuiteError, match="cannot be read"):
        read_suite(path, "raw")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"name": "\\ud800"}', "surrogate"),
        ("9" * 5000, "integer string conversion"),
    ],
    ids=["deep", "surrogate", "many digits"],
)
def test_json_that_python_cannot_hold_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "raw.json").write_text(text)
    with pytest.raises(SuiteError, match=words):
        read_suite(tmp_path / "raw.json", "raw")


def test_saying_the_same_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="same as expectation 1"):
        read_suite(write(tmp_path, expectation(), expectation()), "raw")


def test_a_missing_suite_is_an_error_and_not_a_pass(settings: Settings) -> None:
    with pytest.raises(SuiteError, match="does not exist"):
        load_suite(settings, "no_such_model", "raw")


@pytest.mark.parametrize(("model", "stage"), [("../x", "raw"), ("flight_delay", "../raw"), ("flight_delay", "None")])
def test_names_cannot_lead_to_other_files(settings: Settings, model: str, stage: str) -> None:
    with pytest.raises(SuiteError, match="there is no suite"):
        load_suite(settings, model, stage)


def test_a_column_that_the_stage_can_never_have_is_found_before_any_data(tmp_path: Path) -> None:
    suite = read_suite(write(tmp_path, expectation(kwargs={"column": "distanse", "min_value": 0})), "raw")
    with pytest.raises(SuiteError, match=r"expectation 1.*no column 'distanse'.*Did you mean 'distance'"):
        check_columns(suite, ["carrier", "distance"])


def test_the_digest_ignores_layout_and_follows_content(tmp_path: Path) -> None:
    path = write(tmp_path, expectation())
    first = read_suite(path, "raw").digest
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4, sort_keys=True))
    assert read_suite(path, "raw").digest == first
    assert len(first) == 32
    assert read_suite(write(tmp_path, expectation(severity="warning")), "raw").digest != first


def test_reading_a_suite_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from include.gates import load_suite; from include.settings import Settings; "
        "load_suite(Settings.from_environment({}), 'flight_delay', 'raw'); "
        "print([name for name in ('pandas', 'numpy', 'great_expectations') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout.strip() == "[]"
