"""The steps' command line: exit codes, result file, messages, inputs, lifeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from include.errors import Refused
from include.settings import PROJECT, Settings
from include.steps.command import definition_of, parse_as_of, read_inputs

PROBE = PROJECT / "tests" / "plugins" / "probe_steps.py"
AS_OF = "2013-10-01T00:00:00-04:00"


def command(step: str = "probe", model: str = "flight_delay") -> list[str]:
    return [sys.executable, str(PROBE), step, "--model", model, "--as-of", AS_OF]


def run_probe(
    tmp_path: Path,
    inputs: dict[str, Any],
    *,
    step: str = "probe",
    model: str = "flight_delay",
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    basics = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT),
        "NORIA_RESULT": str(tmp_path / "return.json"),
    }
    return subprocess.run(
        [*command(step, model), "--inputs", json.dumps(inputs)],
        env={**basics, **environment},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def result(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "return.json").read_text())


def test_a_step_writes_its_output_and_logs_start_and_end(tmp_path: Path) -> None:
    done = run_probe(tmp_path, {"x": 1})
    assert done.returncode == 0, done.stderr
    assert result(tmp_path)["as_of"] == AS_OF
    assert result(tmp_path)["inputs"] == {"x": 1}
    first, *_, last = done.stderr.splitlines()
    assert "INFO" in first
    assert "probe of flight_delay as of 2013-10-01T00:00:00-04:00 starts" in first
    assert "done in" in last
    assert [path.name for path in tmp_path.iterdir()] == ["return.json"], "no partial file is left"


def test_each_try_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        run_probe(tmp_path, {})
        names.add(result(tmp_path)["attempt"])
    assert len(names) == 2


@pytest.mark.parametrize(("kind", "code"), [("refused", 10), ("nothing", 20), ("again", 30)])
def test_expected_ends_are_one_message_and_their_exit_code(tmp_path: Path, kind: str, code: int) -> None:
    done = run_probe(tmp_path, {"raise": kind, "message": "column arr_delay is missing"})
    assert done.returncode == code
    assert "column arr_delay is missing" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "return.json").exists()


def test_a_defect_shows_its_traceback_and_ends_with_one(tmp_path: Path) -> None:
    done = run_probe(tmp_path, {"raise": "defect", "message": "index out of range"})
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "index out of range" in done.stderr


def test_a_full_disk_is_one_message_and_tried_again(tmp_path: Path) -> None:
    done = run_probe(tmp_path, {"write_to": "/dev/full"})
    assert done.returncode == 30
    assert "cannot go on now" in done.stderr.splitlines()[-1]
    assert "A disk is full" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_password_in_an_address_never_reaches_the_log(tmp_path: Path) -> None:
    url = "postgresql+psycopg2://noria:s3cr%2Fet@localhost/noria"
    for kind in ("refused", "defect"):
        done = run_probe(
            tmp_path, {"raise": kind, "message": f"cannot connect to {url} with s3cr/et"}, NORIA_DATABASE_URL=url
        )
        assert "s3cr" not in done.stderr + done.stdout
        assert "cannot connect" in done.stderr


def test_the_servers_token_never_reaches_the_log(tmp_path: Path) -> None:
    done = run_probe(tmp_path, {"raise": "defect", "message": "sent bearer-word"}, NORIA_SERVER_TOKEN="bearer-word")
    assert "bearer-word" not in done.stderr + done.stdout
    assert "sent ***" in done.stderr


TRICKS = ["../flight_delay", "flight_delay/../x", "/etc/passwd", "Flight", "", "a" * 64, "a\n"]


@pytest.mark.parametrize("model", TRICKS)
def test_model_names_with_path_tricks_are_refused(settings: Settings, model: str) -> None:
    with pytest.raises(Refused, match="no model name"):
        definition_of(settings, model)


def test_a_model_name_with_path_tricks_ends_with_the_exit_code_of_a_refusal(tmp_path: Path) -> None:
    done = run_probe(tmp_path, {}, model="../flight_delay")
    assert done.returncode == 10
    assert "no model name" in done.stderr


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "takes an object"),
        ("@/nowhere/x.json", "cannot be read"),
        ("[" * 100_000, "not JSON"),
        ('{"x": ' + "9" * 5000 + "}", "not JSON"),
    ],
    ids=["cut", "list", "no file", "deep", "many digits"],
)
def test_broken_inputs_are_refused_with_the_place(inputs: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        read_inputs(inputs)


def test_stdin_cannot_be_inputs_and_lifeline_at_once() -> None:
    with pytest.raises(Refused, match="@file"):
        read_inputs("-", lifeline=True)


def test_a_file_of_inputs_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_bytes(b'{"x": "\xe9"}')
    with pytest.raises(Refused, match="are not JSON"):
        read_inputs(f"@{tmp_path / 'in.json'}")


def test_inputs_come_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"x": "é"}')
    assert read_inputs(f"@{tmp_path / 'in.json'}") == {"x": "é"}


@pytest.mark.parametrize("as_of", ["2013-10-01", "2013-10-01T00:00:00", "yesterday"])
def test_an_instant_without_offset_is_refused_with_an_example(as_of: str) -> None:
    with pytest.raises(Refused, match="2013-10-01T00:00:00-04:00"):
        parse_as_of(as_of)


def test_an_unknown_step_is_refused_and_the_steps_are_named(tmp_path: Path) -> None:
    done = run_probe(tmp_path, {}, step="trian")
    assert done.returncode == 10
    assert "assemble" in done.stderr


def test_without_a_result_folder_the_output_goes_to_stdout_and_that_is_said(tmp_path: Path) -> None:
    done = run_probe(tmp_path, {"x": 2}, NORIA_RESULT=str(tmp_path / "none" / "return.json"))
    assert json.loads(done.stdout)["inputs"] == {"x": 2}
    assert "stdout only" in done.stderr


def test_list_names_every_step() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "include.steps", "--list"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert {"ingest", "gate", "train", "retire"} <= {line.split()[0] for line in done.stdout.splitlines()}


def test_the_command_line_loads_no_heavy_library() -> None:
    code = (
        "import sys, include.steps.command, include.steps.waiting\n"
        "heavy = {'pandas', 'numpy', 'duckdb', 'xgboost', 'mlflow', 'great_expectations', 'sklearn', 'deltalake', "
        "'pyarrow'}\nprint(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Any, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def test_when_the_lifeline_closes_the_step_and_its_children_end(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    inputs = json.dumps({"child": str(pids), "sleep": 300})
    process = subprocess.Popen(
        [*command(), "--inputs", inputs, "--lifeline"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "NORIA_RESULT": str(tmp_path / "r.json")},
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    step, child = map(int, pids.read_text().split())
    assert is_alive(child)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == -9
    assert wait_until(lambda: not is_alive(step) and not is_alive(child))
