"""The gate's page: verdict first, self-contained, everything escaped, readable for an unreadable file too."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.gates.result import Check, GateResult
from include.reports.gate_page import GatePage, write_gate_page

AS_OF = datetime(2013, 3, 6, 5, tzinfo=UTC)


def check(**changes: Any) -> Check:
    base = Check(
        type="expect_column_values_to_be_between",
        column="delay",
        kwargs={"column": "delay", "max_value": 2000},
        severity="critical",
        notes="Nobody is that late.",
        success=True,
        unexpected=0,
        judged=900,
    )
    return replace(base, **changes)


def result(subject: str = "2013-03-01", *checks: Check, **changes: Any) -> GateResult:
    base = GateResult(suite="m.raw", suite_digest="d" * 32, stage="raw", subject=subject, rows=900, checks=checks)
    return replace(base, **changes)


def failed(**changes: Any) -> Check:
    return check(success=False, unexpected=2, samples=({"flight": 1545, "delay": 9999.0},), **changes)


def page(tmp_path: Path, *results: GateResult, **about: Any) -> str:
    facts = {"model": "m", "stage": "raw", "subject": "2013-03-01", "as_of": AS_OF, "cure": "Correct the source."}
    return write_gate_page(tmp_path / "page.html", results, GatePage(**(facts | about))).read_text()


def test_the_verdict_comes_first_with_what_happened_and_what_to_do(tmp_path: Path) -> None:
    html = page(tmp_path, result("2013-03-01", check(), failed()))
    main = html[html.index("<main>") :]
    assert main.index("Refused: nothing of 2013-03-01 goes on.") < main.index("<table>")
    assert "found: 2 of 900 rows do not (0.22 %)" in html
    assert "What to do next:</strong> Correct the source." in html
    assert "Nobody is that late." in html


def test_rows_that_failed_are_shown_as_the_data_has_them(tmp_path: Path) -> None:
    html = page(tmp_path, result("2013-03-01", failed()))
    assert "<td>1545</td>" in html
    assert "<td>9999</td>" in html


def test_nothing_of_the_data_becomes_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    bad = check(success=False, unexpected=1, samples=({evil: evil},))
    html = page(tmp_path, result("2013-03-01", bad), remarks={"2013-03-01": [evil]}, missing={"2013-03-02": evil})
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 4


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    html = page(tmp_path, result("2013-03-01", check()))
    assert not re.search(r"https?://|<script|<link|@import|url\(", html)
    assert "prefers-color-scheme: dark" in html
    assert "width=device-width" in html


def test_an_unreadable_file_has_a_page_with_the_problem(tmp_path: Path) -> None:
    unread = result("2013-03-01", rows=None, problem="x.parquet is not a complete Parquet file.")
    html = page(tmp_path, unread, files={"2013-03-01": "quarantine/m/2013-03-01/source.parquet"})
    assert "Refused: nothing of 2013-03-01 goes on." in html
    assert "<pre>x.parquet is not a complete Parquet file.</pre>" in html
    assert "quarantine/m/2013-03-01/source.parquet" in html


def test_a_range_has_one_table_and_details_only_where_a_look_is_needed(tmp_path: Path) -> None:
    results = [result(f"2013-03-{day:02}", check()) for day in range(1, 32)]
    results[4] = result("2013-03-05", failed())
    results[8] = result("2013-03-09", failed(severity="warning"))
    html = page(
        tmp_path, *results, subject="2013-03-01 to 2013-03-31", unchanged=3, missing={"2013-04-01": "not there"}
    )
    assert "Partly refused: 1 partition stopped here, 33 went on." in html
    assert re.findall(r'<h2 id="([^"]+)"', html) == ["2013-03-05", "2013-03-09"]
    assert "29 passed without a warning" in html
    assert "29 of 30" in html
    assert "not there" in html


def test_warnings_let_it_pass_and_are_named(tmp_path: Path) -> None:
    html = page(tmp_path, result("2013-03-01", failed(severity="warning")))
    assert "Passed: 2013-03-01 goes on." in html
    assert "1 warning, shown below" in html


def test_nothing_to_judge_is_said_plainly(tmp_path: Path) -> None:
    assert "is unchanged" in page(tmp_path, unchanged=4)
    assert "Nothing to judge: 2013-03-01 is missing." in page(tmp_path, missing={"2013-03-01": "not there"})


def test_many_refusals_stay_readable(tmp_path: Path) -> None:
    html = page(tmp_path, *(result(f"2013-{n:03}", failed()) for n in range(120)))
    assert html.count("<h2 id=") == 30
    assert "90 more partitions" in html
