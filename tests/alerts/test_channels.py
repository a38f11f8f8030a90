"""Each way to tell people: what arrives, and what is said when it does not."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest

from include.alerts.file import File
from include.alerts.mail import Mail
from include.alerts.sending import SendFailed, send_within
from include.alerts.webhook import Webhook
from tests.alerts.conftest import an_alert
from tests.alerts.receivers import Hook, Postbox

DOCUMENT = an_alert().to_document()


def post(box: Postbox, **values: Any) -> Mail:
    given = {"host": "127.0.0.1", "port": box.port, "sender": "noria@example.com", "security": "none"}
    return Mail(recipients=("ops@example.com", "ana@example.com"), **given | values)


def test_a_webhook_gets_the_documented_body_and_its_id_as_idempotency_key(hook: Hook) -> None:
    Webhook(url=hook.url, headers={"X-Team": "ops"}, login=("noria", "pass")).send(DOCUMENT)

    (body,), (headers,) = hook.bodies, hook.headers
    assert body == {
        "noria_alert": 1,
        "id": an_alert().id,
        "event": "gate_refused",
        "model": "late",
        "title": "The raw gate of late refused 2013-03-01",
        "reason": "distance must be at least 0 & below <5000>; found: -1",
        "subject": "2013-03-01",
        "at": "2026-01-02T03:04:05+00:00",
        "as_of": "2013-03-03T05:00:00+00:00",
        "link": "https://airflow.example/dags/late.data/runs/manual__1",
        "links": {
            "run": "https://airflow.example/dags/late.data/runs/manual__1",
            "page": "/store/reports/late/gate.html",
        },
        "details": {"rows": 3},
    }
    assert headers["Idempotency-Key"] == an_alert().id
    assert headers["X-Team"] == "ops"
    assert headers["Authorization"].startswith("Basic ")


def test_a_slack_webhook_gets_text_and_blocks_with_a_link_and_nothing_that_slack_reads_as_markup(hook: Hook) -> None:
    Webhook(url=hook.url, style="slack").send(DOCUMENT)

    (body,) = hook.bodies
    first, second = body["blocks"]
    assert body["text"] == first["text"]["text"]
    assert body["text"].startswith("*<https://airflow.example/dags/late.data/runs/manual__1|The raw gate of late")
    assert "at least 0 &amp; below &lt;5000&gt;" in body["text"]
    assert "event: gate_refused" in second["elements"][0]["text"]


@pytest.mark.parametrize("mood", [500, 404, 302])
def test_any_answer_but_2xx_is_a_failure_that_names_the_status_and_not_the_address(hook: Hook, mood: int) -> None:
    hook.mood = mood
    with pytest.raises(SendFailed, match=str(mood)) as failure:
        Webhook(url=f"{hook.url}/SECRET").send(DOCUMENT)
    assert "SECRET" not in str(failure.value)


def test_a_webhook_that_is_not_there_is_a_failure_without_its_address(hook: Hook) -> None:
    with pytest.raises(SendFailed, match="ConnectionError") as failure:
        Webhook(url="http://127.0.0.1:9/SECRET").send(DOCUMENT)
    assert "SECRET" not in str(failure.value)


@pytest.mark.parametrize("mood", ["hang", "drip"])
def test_a_receiver_that_hangs_or_drips_holds_nobody_up(hook: Hook, mood: str) -> None:
    hook.mood = mood
    with pytest.raises(SendFailed, match=r"no end after 0\.3 s"):
        send_within(Webhook(url=hook.url), DOCUMENT, seconds=0.3)


def test_what_a_channel_breaks_with_is_named_without_its_words() -> None:
    class Broken:
        def send(self, document: Any) -> None:  # noqa: ARG002
            raise RuntimeError("https://hooks.example/SECRET")

    with pytest.raises(SendFailed) as failure:
        send_within(Broken(), DOCUMENT)
    assert str(failure.value) == "RuntimeError while sending"


def test_a_mail_has_subject_text_links_and_the_same_message_id_for_the_same_alert(postbox: Postbox) -> None:
    post(postbox).send(DOCUMENT)

    (text,) = postbox.messages
    message = message_from_string(text)
    assert message["Subject"].replace("\n", "") == "[late] The raw gate of late refused 2013-03-01"
    assert (message["From"], message["To"]) == ("noria@example.com", "ops@example.com, ana@example.com")
    assert message["Message-ID"] == f"<{an_alert().id}@noria>"
    assert postbox.recipients == ["ops@example.com", "ana@example.com"]
    assert "page: /store/reports/late/gate.html" in message.get_payload()


def test_a_title_with_line_breaks_cannot_add_headers(postbox: Postbox) -> None:
    post(postbox).send(an_alert(title="refused\r\nBcc: eve@example.com").to_document())

    assert message_from_string(postbox.messages[0])["Bcc"] is None


@pytest.mark.parametrize(
    ("answer", "changes", "words"),
    [
        ("552 too much, says SECRET", {}, "answered 552"),
        ("250 taken", {"login": ("noria", "SECRET")}, "SMTPNotSupportedError"),
        ("250 taken", {"security": "starttls"}, "SMTPNotSupportedError"),
        ("250 taken", {"port": 9}, "ConnectionRefusedError"),
    ],
)
def test_a_mail_that_is_not_taken_is_a_failure_without_secrets(
    postbox: Postbox, answer: str, changes: dict[str, Any], words: str
) -> None:
    postbox.answer = answer
    with pytest.raises(SendFailed, match=words) as failure:
        post(postbox, **changes).send(DOCUMENT)
    assert "SECRET" not in str(failure.value)
    assert postbox.messages == []


def test_a_file_takes_whole_lines_from_many_writers_and_ends_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "alerts.jsonl"
    path.parent.mkdir()
    path.write_text('{"torn": ')
    documents = [an_alert(number, reason="x" * 1500).to_document() for number in range(1, 29)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(File(path=path).send, documents))

    torn, *lines = path.read_text().splitlines()
    assert torn == '{"torn": '
    assert sorted(json.loads(line)["subject"] for line in lines) == sorted(one["subject"] for one in documents)


def test_a_file_that_cannot_be_written_is_a_failure_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("")
    with pytest.raises(SendFailed, match="occupied/alerts"):
        File(path=tmp_path / "occupied" / "alerts.jsonl").send(DOCUMENT)


def test_long_texts_are_cut_and_a_title_is_one_line() -> None:
    document = an_alert(title="a\nb" * 200, reason="r" * 5000).to_document()

    assert len(document["title"]) == 200
    assert "\n" not in document["title"]
    assert len(document["reason"]) == 2000
