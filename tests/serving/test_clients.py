"""The examples for application developers, each run as a program against the real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.serving.clients.__main__ import main
from include.serving.clients.example_row import Signature
from include.serving.clients.languages import LANGUAGES, LanguageUnknown, client_example
from include.serving.clients.of_definition import signature_of
from include.settings import Settings
from include.spec.loader import find_definition, list_definitions
from include.training.describe import describe
from tests.serving.live import DESCRIPTION, Logged, as_process, deploy, predict, register, until

ODD = "a \"quoted\" 'name'\n\\u000a*/ ${HOME} `id` é \u2028 JSON"
PROGRAMS = {"curl": ["bash"], "python": [sys.executable], "javascript": ["node"], "java": ["java", "-Xshare:auto"]}
SECRET = "word-of-examples"


@pytest.fixture(scope="module")
def signature() -> Signature:
    return Signature.of(DESCRIPTION)


def run(folder: Path, language: str, text: str, *arguments: str, **environment: str) -> list[Any]:
    """What an example prints, line by line."""
    if shutil.which(PROGRAMS[language][0]) is None or shutil.which("curl") is None:
        pytest.skip(f"{PROGRAMS[language][0]} is not on this machine")
    file = folder / LANGUAGES[language].file
    file.write_text(text, encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NORIA_")}
    done = subprocess.run(
        [*PROGRAMS[language], str(file), *arguments],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line]


@pytest.fixture
def server(tracked: Settings, logged_models: list[Logged], tmp_path: Path) -> Iterator[tuple[str, float]]:
    """Address of a server that asks for a token, and its answer to the example's row."""
    version = register(tracked, logged_models[0])
    deploy(tracked, version)
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"predict": [SECRET], "admin": []}))
    tokens.chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORIA_SERVER_TOKENS", str(tokens))
        with as_process(tracked, tmp_path / "server.log", more=["--background", "off"]) as (live, _):
            bearer = {"Authorization": f"Bearer {SECRET}"}
            with httpx.Client(base_url=live.server_url, trust_env=False, headers=bearer) as client:

                def is_up() -> bool:
                    try:
                        return predict(client, Signature.of(DESCRIPTION).row).status_code == 200
                    except httpx.TransportError:
                        return False

                until(is_up, 90)
                answer = predict(client, Signature.of(DESCRIPTION).row).json()
            yield live.server_url, answer["predictions"][0]


@pytest.mark.database
def test_each_example_gets_the_server_s_prediction_and_sends_the_truth_back(
    server: tuple[str, float], signature: Signature, tmp_path: Path
) -> None:
    address, expected = server
    for language in LANGUAGES:
        text = client_example(signature, language, address)
        answer, accepted = run(tmp_path, language, text, "12.5", NORIA_SERVER_TOKEN=SECRET)

        assert (answer["model"], answer["predictions"]) == ("m", [expected]), language
        assert answer["request_id"].startswith("example-"), language
        assert accepted["accepted"] == 1, language
        assert SECRET not in text


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        line = json.dumps(json.loads(body)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(line)))
        self.end_headers()
        self.wfile.write(line)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """Address of a server that sends back what it is sent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_definition_s_signature_is_that_of_the_model_made_from_it() -> None:
    settings = Settings.from_environment({})
    for name in list_definitions(settings):
        definition = find_definition(settings, name)
        assert signature_of(definition) == Signature.of(describe(definition, categories={})), name


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_no_name_or_value_of_a_signature_can_become_code(language: str, echo: str, tmp_path: Path) -> None:
    row = {"plain": 1, ODD: ODD, "__proto__": "kept", "yes": True, "wide": 0.1, "far": -(2**53)}
    odd = Signature(model="m", row=row, label=ODD)

    sent, feedback = run(tmp_path, language, client_example(odd, language, echo), json.dumps(ODD))

    assert sent == {"rows": [row]}
    assert feedback["labels"][0]["label"] == ODD


def test_a_made_up_row_keeps_to_types_limits_and_categories_and_shows_no_personal_value() -> None:
    limits = {"n": {"minimum": 2.5, "maximum": 3.2}, "x": {"maximum": -4}, "seat": {"values": ["window", "aisle"]}}
    columns = {**DESCRIPTION["columns"], "seat": "string", "name": "string"}
    names = {"name": "name", "type": "category", "expression": "name", "categories": ["Ana", "Ben"]}
    description = {
        **DESCRIPTION,
        "columns": columns,
        "features": [*DESCRIPTION["features"], names],
        "serving": {"entity": {"id": "integer"}, "limits": limits, "personal": ["name"]},
    }

    row = Signature.of(description).row

    assert row == {
        "id": 1,
        "n": 3,
        "x": -4,
        "place": "A",
        "dry": True,
        "seen_at": "2024-01-15T12:00:00",
        "seat": "window",
        "name": "example",
    }


def test_every_model_of_the_project_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for model in list_definitions(Settings.from_environment({})):
        assert main([model]) == 0
        printed = capsys.readouterr().out
        assert all(f"===== {language.file}" in printed for language in LANGUAGES.values())


def test_a_row_brings_the_key_of_the_past_and_not_what_the_server_looks_up() -> None:
    definition = find_definition(Settings.from_environment({}), "airport_temperature")
    description = describe(definition, categories={})

    row = Signature.of(description).row

    for group in description["history"]:
        assert not row.keys() & group["columns"].keys()
        assert row.keys() >= {*group["keys"], group["event_time"]}


def test_files_are_written_once_and_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tumor_malignant", "--to", str(tmp_path / "examples")]) == 0
    assert (tmp_path / "examples" / "Predict.java").is_file()
    assert main(["tumor_malignant", "--to", str(tmp_path / "examples"), "--language", "java"]) == 10
    assert "there already" in capsys.readouterr().err


def test_a_language_without_an_example_is_refused_by_name(signature: Signature) -> None:
    with pytest.raises(LanguageUnknown, match=r"'cobol'.*curl, python, javascript, java"):
        client_example(signature, "cobol", "http://127.0.0.1:8090")
