"""Every bad definition gives one error that names file, line, key and cure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from include.errors import Refused
from include.settings import PROJECT, Settings
from include.spec.loader import DefinitionError, UnknownModel, find_definition, list_definitions, load_definition
from include.spec.problems import Problem
from tests.spec.conftest import VALID, Write

# what is changed (old, new), the line and the key of the error, and words of the message
BAD: dict[str, tuple[tuple[str, str], int, str, str]] = {
    "unknown key": (("  partition: day", "  partitions: day"), 8, "source.partitions", "Did you mean `partition`?"),
    "unknown top key": (("owner: ops", "ownr: ops\nowner: ops"), 3, "ownr", "Did you mean `owner`?"),
    "unknown feature key": (("type: category", "kind: category"), 25, "features.carrier.kind", "keys here are: expres"),
    "unknown gate key": (("at_least: 0.6", "at_lest: 0.6"), 34, "evaluation.gates[0].at_lest", "mean `at_least`?"),
    "missing key": (("owner: ops\n", ""), 1, "owner", "Add `owner`: Who answers for it"),
    "missing inner key": (("  starts: 2013-01-01\n", ""), 5, "source.starts", "Add `starts`: First day with data."),
    "wrong choice": (("partition: day", "partition: dya"), 8, "source.partition", "Did you mean `day`?"),
    "wrong task": (("task: binary_classification", "task: binary"), 4, "task", "multiclass_classification, regression"),
    "text for a number": (("window: 90d", "window: 90d\n  rounds: many"), 28, "training.rounds", "a whole number"),
    "truth for a number": (("window: 90d", "window: 90d\n  seed: true"), 28, "training.seed", "Write a whole number."),
    "quoted number": (("window: 90d", 'window: 90d\n  seed: "7"'), 28, "training.seed", "the text '7'"),
    "number for text": (("owner: ops", "owner: 12"), 3, "owner", 'Write it in quotes to make it text: "12"'),
    "nothing for text": (("owner: ops", "owner:"), 3, "owner", "the value is missing. Write text."),
    "too small": (("window: 90d", "window: 90d\n  rounds: 0"), 28, "training.rounds", "It must be at least 1."),
    "no duration": (("window: 90d", "window: 90"), 27, "training.window", "such as 7d or 12h"),
    "endless duration": (("window: 90d", "window: 999999999999w"), 27, "training.window", "too long"),
    "no day": (("starts: 2013-01-01", "starts: 2013-02-30"), 10, "source.starts", "such as 2013-01-31"),
    "text for a section": (("label:\n  expression: delay > 15\n  known_after: 1d", "label: d"), 19, "label", "keys"),
    "text for a list": (("entity: [id, at]", "entity: id"), 12, "source.entity", "a list, such as [a, b]"),
    "empty list": (("entity: [id, at]", "entity: []"), 12, "source.entity", "Write at least one."),
    "bad parameter value": (("max_depth: 6", "max_depth: [6]"), 30, "training.params.max_depth", "a number, text"),
    "model's name": (("model: delays", "model: Delays"), 1, "model", "lower-case letters"),
    "model and file": (("model: delays", "model: delay"), 1, "model", "Rename the file to delay.yaml"),
    "event time unknown": (("event_time: at", "event_time: att"), 11, "source.event_time", "Did you mean `at`?"),
    "event time no time": (("event_time: at", "event_time: id"), 11, "source.event_time", "the type timestamp"),
    "entity unknown": (("entity: [id, at]", "entity: [idd, at]"), 12, "source.entity[0]", "Did you mean `id`?"),
    "entity twice": (("entity: [id, at]", "entity: [id, id]"), 12, "source.entity", "List it once."),
    "slice unknown": (("slices: [carrier]", "slices: [carier]"), 36, "evaluation.slices[0]", "Did you mean `carrier`?"),
    "limit unknown": (("owner: ops", "owner: o\nserving: {limits: {distanc: {minimum: 0}}}"), 4, "serv", "`distance`?"),
    "shortest window": (
        ("window: 90d", "window: 90d\n  shortest_window: 91d"),
        28,
        "training.shortest_window",
        "a shorter time",
    ),
    "limit of text": (("owner: ops", "owner: o\nserving: {limits: {carrier: {minimum: 0}}}"), 4, "serving.", "values"),
    "limit wrong way": (
        ("owner: ops", "owner: ops\nserving: {limits: {distance: {minimum: 2, maximum: 1}}}"),
        4,
        "serving.limits.distance",
        "Swap",
    ),
    "personal unknown": (("owner: ops", "owner: o\nserving: {personal: [name]}"), 4, "serving.personal[0]", "columns"),
    "stage metric": (
        ("owner: ops", "owner: ops\ndeployment: {rollback: {metric: rmse}}"),
        4,
        "deployment.rollback.metric",
        "roc_auc",
    ),
    "stage in no time": (("owner: ops", "owner: o\ndeployment: {evidence: {timeout: 0h}}"), 4, "deploy", "as 6h"),
    "time after the timeout": (
        ("owner: ops", "owner: ops\ndeployment: {evidence: {time: 12h, timeout: 6h}}"),
        4,
        "deployment.evidence.time",
        "shorter time than the timeout",
    ),
    "test of no length": (
        ("owner: ops", "owner: ops\ndeployment: {stages: [{ab: {length: 0d}}, champion]}"),
        4,
        "deployment.stages[0]",
        "no time",
    ),
    "column type": (("distance: number", "distance: float"), 17, "source.columns.distance", "string, integer, number"),
    "column name taken": (("carrier: string", "_row: string"), 16, "source.columns._row", "Noria's own"),
    "columns alike": (("carrier: string", "carrier: string\n    Delay: number"), 19, "source.", "case only"),
    "label unknown": (("delay > 15", "dely > 15"), 20, "label.expression", "Did you mean `delay`?"),
    "label constant": (("delay > 15", "1 > 15"), 20, "label.expression", "reads no column"),
    "feature unknown": (("distance: distance", "distance: distanse"), 23, "features.", "Did you mean `distance`?"),
    "feature leaks": (("distance: distance", "distance: delay / 2"), 23, "features.distance", "the answer leaks"),
    "feature's name": (("  hour: hour(at)", "  at-hour: hour(at)"), 24, "features.at-hour", "Use letters, digits"),
    "features alike": (("  hour: hour(at)", "  Distance: hour(at)"), 24, "features.Distance", "case only"),
    "feature draws": (("distance: distance", "distance: random()"), 23, "features.distance", "not deterministic"),
    "feature reads files": (("distance: distance", "distance: read_csv('/etc/passwd')"), 23, "", "not allowed"),
    "feature attaches": (("distance: distance", "distance: ATTACH 'x.db'"), 23, "features.distance", "statement"),
    "module missing": (
        ("training:\n", "feature_module: {path: mine.py, inputs: [id], columns: {a: numeric}}\ntraining:\n"),
        26, "feature_module.path", "there is no file",
    ),
    "module and features": (
        ("training:\n", "feature_module: {path: mine.py, inputs: [id], columns: {a: numeric}}\ntraining:\n"),
        26, "feature_module", "Keep one of the two",
    ),
    "module outside": (
        ("training:\n", "feature_module: {path: ../mine.py, inputs: [id], columns: {a: numeric}}\ntraining:\n"),
        26, "feature_module.path", "beside the definition",
    ),
    "zone": (("America/New_York", "America/NewYork"), 9, "source.time_zone", "Did you mean `America/New_York`?"),
    "zone with path tricks": (("America/New_York", "../../etc/passwd"), 9, "source.time_zone", "Europe/Berlin or UTC"),
    "placeholder": (("{partition}.parquet", "{date}.parquet"), 7, "source.path", "{store}, {partition}"),
    "open brace": (("{partition}.parquet", "{partition.parquet"), 7, "source.path", "Close each brace"),
    "relative path": (("{store}/landing", "landing"), 7, "source.path", "Start it with {store}/"),
    "path goes up": (("{store}/landing", "{store}/../landing"), 7, "source.path", "goes up"),
    "path without format": (("{partition}.parquet", "{partition}"), 7, "source.path", "format: csv"),
    "ends early": (("2013-01-01", "2013-01-01\n  ends: 2012-01-01"), 11, "source.ends", "before it starts"),
    "archive too short": (("2013-01-01", "2013-01-01\n  ends: 2013-02-01"), 28, "training.window", "holds 32d"),
    "window in hours": (("validation: 7d", "validation: 36h"), 28, "training.validation", "Write a multiple of 1d"),
    "empty window": (("holdout: 14d", "holdout: 0d"), 29, "training.holdout", "the window is empty"),
    "metric": (("metrics: [roc_auc]", "metrics: [rocauc]"), 32, "evaluation.metrics[0]", "Did you mean `roc_auc`?"),
    "metric of the other task": (("metric: log_loss", "metric: rmse"), 35, "evaluation.gates[1]", "accuracy, prec"),
    "gate without condition": (("metric: roc_auc, at_least: 0.6", "metric: roc_auc"), 34, "evaluation", "exactly"),
    "gate with two": (("at_least: 0.6", "at_least: 0.6, at_most: 1"), 34, "evaluation.gates", "at_least and at_most"),
    "margin alone": (("at_least: 0.6", "at_least: 0.6, margin: 0.1"), 34, "evaluation.gates[0].margin", "does nothing"),
    "parameter of Noria": (("max_depth: 6", "objective: x"), 30, "training.params.objective", "follows from `task`"),
    "threads": (("max_depth: 6", "nthread: 2"), 30, "training.params.nthread", "Use `training.resources.cpu`"),
    "unknown parameter": (("max_depth: 6", "max_dept: 6"), 30, "training.params.max_dept", "Did you mean `max_depth`?"),
    "parameter's range": (("max_depth: 6", "subsample: 1.5"), 30, "training.params.subsample", "at most 1"),
    "parameter's type": (("max_depth: 6", "max_depth: 6.5"), 30, "training.params.max_depth", "a whole number"),
    "parameter twice": (("max_depth: 6", "eta: 0.2"), 30, "training.params.eta", "two names of one parameter"),
    "cost of nothing": (
        ("metrics: [roc_auc]", "metrics: [cost]"), 32, "evaluation.metrics[0]", "Give evaluation.costs",
    ),
    "half a cost": (
        ("metrics: [roc_auc]", "metrics: [cost]\n  costs: {false_positive: 1}"), 33, "evaluation.costs",
        "Add `false_negative`",
    ),
    "error that earns": (
        ("metrics: [roc_auc]", "metrics: [cost]\n  costs: {false_positive: -1, false_negative: 5}"), 33,
        "evaluation.costs", "no more than the right one",
    ),
    "cron": (("slices: [carrier]", 'slices: []\nschedule: {data: "0 25 * * *"}'), 37, "schedule.data", "0 2 * * *"),
    "memory": (("window: 90d", "window: 90d\n  resources: {memory: 4GB}"), 28, "training.resources", "such as 4Gi"),
    "key twice": (("owner: ops", "owner: ops\nowner: ml"), 4, "owner", "first in line 3"),
    "anchor": (("owner: ops", "owner: &o ops"), 3, "owner", "YAML anchor"),
    "alias": (("owner: ops", "owner: *o"), 3, "owner", "YAML alias"),
    "tag": (("owner: ops", "owner: !!python/object:os.system ops"), 3, "owner", "YAML tag"),
    "merge": (("owner: ops", "owner: ops\n<<: {a: b}"), 4, "<<", "merge"),
    "tab": (("  type: files", "\ttype: files"), 6, "", "spaces, not tabs"),
    "unclosed": (("entity: [id, at]", "entity: [id, at"), 13, "", "not valid YAML"),
    "second document": (("slices: [carrier]", "slices: []\n---\na: b"), 37, "", "One file holds one definition"),
}  # fmt: skip


def refusal(path: Path) -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        load_definition(path)
    return caught.value


def test_a_valid_definition_loads(write: Write) -> None:
    definition = load_definition(write())
    assert definition.training.window == timedelta(days=90)
    assert definition.source.starts == date(2013, 1, 1)
    assert definition.training.params == {"max_depth": 6, "learning_rate": 0.1}
    assert definition.features["distance"].expression == "distance"


@pytest.mark.parametrize("case", BAD)
def test_a_bad_definition_names_line_key_and_cure(case: str, write: Write) -> None:
    change, line, key, words = BAD[case]
    path = write(change)
    error = refusal(path)
    text = str(error)
    print(text)
    matching = [p for p in error.problems if p.line == line and p.key.startswith(key)]
    assert matching, text
    assert any(words in problem.at(path) for problem in matching), text
    assert f"{path}:{line}:" in text
    assert error.exit_code == Refused.exit_code


def test_all_problems_are_reported_together_in_the_order_of_the_file(write: Write) -> None:
    error = refusal(write(("delay > 15", "dely > 15"), ("hour(at)", "random()"), ("window: 90d", "window: 1h")))
    assert [problem.line for problem in error.problems] == [20, 24, 27]
    assert str(error).startswith("The definition delays.yaml has 3 problems:")


def test_a_threshold_is_refused_for_a_regression(write: Write) -> None:
    changes = [("binary_classification", "regression"), ("[roc_auc]", "[rmse]\n  threshold: 0.3")]
    error = refusal(write(*changes, ("metric: roc_auc", "metric: r2"), ("metric: log_loss", "metric: mae")))
    assert [(p.line, p.key) for p in error.problems] == [(33, "evaluation.threshold")]


def test_costs_are_refused_for_a_regression(write: Write) -> None:
    changes = [("binary_classification", "regression"), ("metric: roc_auc", "metric: r2")]
    changes += [("metric: log_loss", "metric: mae")]
    costs = ("[roc_auc]", "[rmse]\n  costs: {false_positive: 1, false_negative: 5}")
    error = refusal(write(*changes, costs))
    assert [(p.line, p.key) for p in error.problems] == [(33, "evaluation.costs")]


def test_what_answers_cost_makes_a_metric_for_gates_and_deployments(write: Write) -> None:
    costs = ("metrics: [roc_auc]", "metrics: [cost]\n  costs: {false_positive: 1, false_negative: 5}")
    rollback = ("owner: ops\n", "owner: ops\ndeployment: {rollback: {metric: cost}}\n")
    definition = load_definition(write(costs, rollback, ("metric: log_loss", "metric: cost")))
    assert definition.evaluation.costs is not None
    assert definition.evaluation.costs.best_threshold == pytest.approx(1 / 6)


def test_a_feature_module_may_not_read_the_label(write: Write) -> None:
    block = VALID[VALID.index("features:") : VALID.index("training:")]
    path = write((block, "feature_module: {path: mine.py, inputs: [delay], columns: {a: numeric}}\n"))
    (path.parent / "mine.py").write_text("")
    assert "leaks" in str(refusal(path))
    path = write((block, "feature_module: {path: mine.py, inputs: [id], columns: {a: numeric}}\n"))
    assert load_definition(path).feature_module is not None


def test_a_feature_may_be_named_like_a_key_of_a_feature(write: Write) -> None:
    error = refusal(write(("  hour: hour(at)", "  type: {expresion: hour(at)}")))
    assert {p.key for p in error.problems} == {"features.type.expresion", "features.type.expression"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"---\n", "the file is empty"),
        (b"- a\n- b\n", "does not hold keys and values"),
        (b"just text", "does not hold keys and values"),
        (b"model: a\nowner: \xff\xfe\n", "is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not UTF-8"),
        (b"model: \x00", "not valid YAML"),
        (b"a: " + b"x" * 300_000, "larger than 256 KiB"),
        (b"a: " + b"[" * 5_000, "nested more than 16 deep"),
        (b"[a]: b", "a key here is not plain text"),
        (b"? {a: b}\n: c", "a key here is not plain text"),
    ],
)
def test_a_file_that_is_no_definition_gives_one_clear_error(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "delays.yaml"
    path.write_bytes(content)
    started = time.monotonic()
    error = refusal(path)
    assert len(error.problems) == 1
    assert words in str(error)
    assert time.monotonic() - started < 5


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "cannot be read" in str(refusal(tmp_path))
    assert "cannot be read" in str(refusal(tmp_path / "absent.yaml"))


PIECES = [
    *[
        "",
        ":",
        "- ",
        "\n",
        "  ",
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "#",
        "&a ",
        "*a",
        "!!int ",
        "|",
        ">",
        "? ",
        "<<: ",
        "---",
    ],
    *["0", "-1", "null", "true", ".inf", ".nan", "1e999", "2013-99-99", "\x85", "\ufeff", "é", "%", "@", "\t", "\x07"],
]
places = st.tuples(st.integers(0, len(VALID)), st.integers(0, 6), st.sampled_from(PIECES))


@given(damages=st.lists(places, min_size=1, max_size=3))
@settings_of_hypothesis(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_to_a_file_gives_a_definition_or_one_refusal(
    damages: list[tuple[int, int, str]], tmp_path: Path
) -> None:
    text = VALID
    for at, cut, piece in damages:
        text = text[:at] + piece + text[at + cut :]
    path = tmp_path / "delays.yaml"
    path.write_text(text)
    problems: tuple[Problem, ...] = ()
    try:
        load_definition(path)
    except DefinitionError as error:
        problems = error.problems
    assert all(1 <= one.line <= len(text.splitlines()) + 1 and one.what and one.cure for one in problems)


@pytest.mark.parametrize(
    "cron", ["0 2 * * *", "*/5 * * * 1-5", "0 2 * * MON", "0 0 L * *", "@daily", "0 2 * JAN-MAR 7"]
)
def test_a_schedule_is_a_cron_expression(cron: str, write: Write) -> None:
    path = write(("slices: [carrier]", f'slices: []\nschedule: {{train: "{cron}"}}'))
    assert load_definition(path).schedule.train == cron


@pytest.mark.parametrize(
    "cron", ["0 2 * *", "0 2 * * * *", "60 1 * * *", "R R * * *", "H H * * *", "0 2 31 2 *", "@reboot"]
)
def test_a_schedule_that_never_or_randomly_comes_is_refused(cron: str, write: Write) -> None:
    error = refusal(write(("slices: [carrier]", f'slices: []\nschedule: {{train: "{cron}"}}')))
    assert [(one.line, one.key) for one in error.problems] == [(37, "schedule.train")]


def test_values_follow_yaml_1_2(write: Write) -> None:
    definition = load_definition(write(("owner: ops", "owner: no"), ("known_after: 1d", 'known_after: "1d"')))
    assert definition.owner == "no"


@pytest.mark.parametrize("model", ["../x", "/etc/passwd", "a/b", "", ".", "A", "x" * 70, "a\n", "a.yaml", "é"])
def test_a_model_name_with_path_tricks_is_refused_before_any_file_is_opened(model: str, settings: Settings) -> None:
    nowhere = replace(settings, models=Path("/nonexistent"))
    with pytest.raises(UnknownModel, match="lower-case letters"):
        find_definition(nowhere, model)


def test_an_unknown_model_is_refused_with_the_likely_one(settings: Settings) -> None:
    with pytest.raises(UnknownModel, match="Did you mean `flight_delay`"):
        find_definition(settings, "flight_delays")


def test_the_projects_definitions_load(settings: Settings) -> None:
    assert {"bike_demand", "flight_delay"} <= set(list_definitions(settings))  # a team adds its own
    for model in list_definitions(settings):
        assert find_definition(settings, model).model == model


def test_loading_without_expressions_imports_no_parser_and_nothing_heavy() -> None:
    code = (
        "import sys, pathlib; from include.spec.loader import load_definition\n"
        "load_definition(pathlib.Path('include/models/flight_delay.yaml'), expressions=False)\n"
        "print([m for m in ('sqlglot','duckdb','numpy','pandas','pyarrow','airflow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
