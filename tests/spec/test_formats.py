"""Definitions of older formats load as ones of the newest; unknown formats are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.spec import formats
from include.spec.loader import DefinitionError, load_definition
from include.spec.reference import reference_page
from tests.spec.conftest import VALID

PSI = "monitoring:\n  drift: {window: 14d, psi: 0.25, share_of_features: 0.5}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "delays.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("first", ["", "format: 1\n"])
def test_the_first_landed_key_psi_is_read_as_least_change(first: str, tmp_path: Path) -> None:
    definition = load_definition(write(tmp_path, first + VALID + PSI))
    assert definition.monitoring.drift.least_change == 0.25
    assert definition.format == formats.NEWEST


def test_a_definition_without_a_format_may_use_the_newest_keys(tmp_path: Path) -> None:
    text = VALID + "monitoring:\n  drift: {least_change: 0.3}\n"
    assert load_definition(write(tmp_path, text)).monitoring.drift.least_change == 0.3


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (f"format: {formats.NEWEST}\n" + VALID + PSI, -1, "monitoring.drift.psi"),
        (VALID + "monitoring:\n  drift: {psi: 0.25, least_change: 0.2}\n", -1, "monitoring.drift.psi"),
        (VALID + "monitoring:\n  drift: {psi: much}\n", -1, "monitoring.drift.psi"),
        (VALID + "monitoring:\n  drift: {psi: .inf}\n", -1, "monitoring.drift.psi"),
        (VALID + "monitoring: [psi]\n", -1, "monitoring"),
    ],
)
def test_what_a_conversion_cannot_read_is_refused_by_its_own_name(
    text: str, line: int, key: str, tmp_path: Path
) -> None:
    with pytest.raises(DefinitionError) as caught:
        load_definition(write(tmp_path, text))
    problem = caught.value.problems[0]
    assert problem.key == key
    assert problem.line == len(text.splitlines()) + 1 + line


def test_a_newer_format_is_refused_with_file_line_and_cure(tmp_path: Path) -> None:
    path = write(tmp_path, VALID.replace("owner: ops\n", f"owner: ops\nformat: {formats.NEWEST + 1}\n"))
    with pytest.raises(DefinitionError) as caught:
        load_definition(path)
    newest = formats.NEWEST
    assert str(caught.value) == (
        f"{path}:4: format: the definition is of format {newest + 1}. "
        f"This Noria reads formats 1 to {newest}; update Noria."
    )


@pytest.mark.parametrize("value", ["0", "-1", "true", "two", "1.0", "[[]]", "null"])
def test_what_is_no_format_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=rf"delays.yaml:1: format: .*write `format: {formats.NEWEST}`"):
        load_definition(write(tmp_path, f"format: {value}\n" + VALID))


def test_each_format_has_a_conversion_and_the_page_names_the_newest() -> None:
    assert sorted(formats.CONVERSIONS) == list(range(1, formats.NEWEST))
    assert f"the newest is {formats.NEWEST}" in reference_page()


def test_conversions_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename_owner(values: dict[str, object]) -> None:
        values["owner"] = values.pop("team")

    monkeypatch.setitem(formats.CONVERSIONS, 2, rename_owner)
    monkeypatch.setattr(formats, "NEWEST", 3)
    text = VALID.replace("owner: ops", "team: ops")
    for first in ("", "format: 1\n", "format: 2\n"):
        psi = "" if "2" in first else PSI
        assert load_definition(write(tmp_path, first + text + psi)).owner == "ops"
    with pytest.raises(DefinitionError, match="team: there is no such key"):
        load_definition(write(tmp_path, "format: 3\n" + text))
