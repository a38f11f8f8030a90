"""A whole backtest by its command: decay starts a retraining that wins, drift one that loses, calm nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.backtest.__main__ import main
from include.settings import Settings
from include.steps.environment import quiet_environment
from include.steps.protocol import Document
from tests.backtest.world import FIRST, write_world

pytestmark = [pytest.mark.database, pytest.mark.by_turns]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its ``store`` holds what the command has written."""
    home = tmp_path_factory.mktemp("backtest")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**quiet_environment(1), **write_world(home)}.items():
            patch.setenv(name, value)
        assert main(["--model", "late", "--since", FIRST, "--every", "14d", "--set", "training.seed=11"]) == 0
        yield home


@pytest.fixture(scope="module")
def report(folder: Path) -> Document:
    """The report's JSON."""
    [file] = (folder / "store" / "reports" / "late" / "backtest").glob("*.json")
    return dict(json.loads(file.read_text()))


def window(report: Document, number: int) -> Document:
    """One of the four."""
    return dict(report["windows"][number])


def test_in_a_calm_window_nothing_is_seen_and_nothing_is_started(report: Document) -> None:
    calm = window(report, 0)

    assert (calm["drift"]["verdict"], calm["decay"]["verdict"]) == ("no drift", "no decay")
    assert (calm["started"], calm["retraining"]) == (None, None)
    assert calm["rows"] > 2000


def test_drift_that_harms_nobody_starts_a_retraining_that_does_not_win(report: Document) -> None:
    other = window(report, 1)

    assert other["drift"]["verdict"] == "drift"
    assert [feature["name"] for feature in other["drift"]["features"]] == ["seats"]
    assert other["decay"]["verdict"] == "no decay"
    assert other["started"].startswith("drift-")
    assert other["retraining"]["verdict"] == "keep"
    assert window(report, 2)["champion"] == window(report, 0)["champion"]


def test_a_turned_relation_is_decay_and_its_retraining_wins(report: Document) -> None:
    turned, after = window(report, 2), window(report, 3)

    assert turned["drift"]["verdict"] == "no drift"
    assert turned["decay"]["verdict"] == "decay"
    assert turned["decay"]["change"]["now"]["value"] < 0.5 < turned["decay"]["change"]["before"]["value"]
    assert turned["started"].startswith("decay-")
    assert turned["retraining"]["verdict"] == "promote"
    assert turned["retraining"]["improvement"]["low"] > 0
    assert after["champion"] == turned["retraining"]["version"] != turned["champion"]
    assert after["decay"]["verdict"] == "no decay"


def test_the_same_rows_are_answered_by_a_model_never_and_one_always_trained_again(report: Document) -> None:
    turned, after = window(report, 2), window(report, 3)

    assert turned["quality"]["loop"] == turned["quality"]["never"]
    assert after["quality"]["loop"] == after["quality"]["always"]
    assert after["against"]["never"]["low"] > 0.2
    assert after["hindsight"] == after["against"]["never"]
    assert report["over_all"]["against"]["never"]["low"] > 0


def test_the_conclusions_say_what_the_figures_say(report: Document, folder: Path) -> None:
    said = " ".join(report["conclusions"])
    [page] = (folder / "store" / "reports" / "late" / "backtest").glob("*.html")

    assert f"Labels show decay in 1 of 4 windows that could be judged: {window(report, 2)['name']}." in said
    assert "Checks started 2 retrainings (1 by drift and 1 by decay): 1 won and replaced the champion, 1 lost." in said
    assert "Of 1 challenger that won, 1 would have been better than the champion of before" in said
    text = page.read_text()
    assert "<svg" in text
    assert "<script" not in text
    assert "training.seed=11" in text
    assert "on drift and decay, not again within 3d, at most 3 a week" in text


def test_nothing_of_it_is_left_but_the_report(folder: Path) -> None:
    assert [path.name for path in (folder / "home" / "backtest").iterdir()] == [".late.lock"]
    assert sorted(path.name for path in (folder / "store").iterdir()) == ["landing", "reports"]


def test_data_without_time_has_no_history(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NORIA_HOME", str(settings.home))
    monkeypatch.delenv("NORIA_MODELS", raising=False)

    assert main(["--model", "tumor_malignant"]) == 10
    assert "the data of tumor_malignant has none: its source has no event_time" in capsys.readouterr().err
    assert not settings.home.exists()
