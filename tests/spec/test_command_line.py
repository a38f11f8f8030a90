"""``python -m include.spec``: definitions are checked, the reference page is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.spec import reference
from include.spec.__main__ import main
from include.spec.definition import Definition
from include.spec.loader import load_definition
from tests.spec.conftest import Write


def test_the_reference_page_is_current() -> None:
    assert main(["reference", "--check"]) == 0, "Run: python -m include.spec reference"


def test_a_stale_reference_page_fails_the_check_and_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "REFERENCE", tmp_path / "README.md")
    assert main(["reference", "--check"]) == 10
    assert "Run: python -m include.spec reference" in capsys.readouterr().err
    assert main(["reference"]) == 0
    assert main(["reference", "--check"]) == 0


def test_the_reference_explains_every_key() -> None:
    page = reference.reference_page()

    def check(section: type[Definition]) -> None:
        for name, field in section.model_fields.items():
            assert f"| `{name}` |" in page
            assert field.description, name
            inner, _ = reference._inner(field.annotation)
            if inner:
                assert inner.__doc__
                check(inner)  # type: ignore[arg-type]

    check(Definition)


def test_the_example_of_the_reference_is_a_valid_definition(tmp_path: Path) -> None:
    text = reference.reference_page().split("```yaml\n")[1].split("```")[0]
    path = tmp_path / "late_parcels.yaml"
    path.write_text(text)
    assert load_definition(path).model == "late_parcels"


def test_good_definitions_pass_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert "the model flight_delay is well defined" in capsys.readouterr().out


def test_one_broken_definition_fails_the_check_and_the_others_are_still_checked(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write()
    bad = write(("owner: ops", "ownr: ops"), ("model: delays", "model: other"), name="other.yaml")
    assert main(["check", str(bad), str(good)]) == 10
    printed = capsys.readouterr()
    assert f"{bad}:3: ownr: there is no such key. Did you mean `owner`?" in printed.err
    assert "the model delays is well defined" in printed.out


def test_a_folder_without_definitions_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NORIA_MODELS", str(tmp_path))
    assert main(["check"]) == 10
    assert "There is no definition" in capsys.readouterr().err
