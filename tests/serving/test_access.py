"""Tokens and the rate limit: who is let in, and what the others are told."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import httpx
import pytest

from include.serving.access import Access, AccessRefused, Rate, Tokens, TokensUnusable
from include.serving.app import build
from include.settings import Settings
from tests.serving.live import FAST, GOOD_ROW

PREDICT, ADMIN = "predict-0123456789", "admin-0123456789ab"
BODY = {"rows": [GOOD_ROW]}


def tokens_file(folder: Path, document: object) -> Path:
    path = folder / "tokens.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.fixture
def guarded(settings: Settings, tmp_path: Path) -> httpx.AsyncClient:
    """A server with tokens that knows no models; its answers show how far a request came."""
    tokens = Tokens.read(tokens_file(tmp_path, {"predict": [PREDICT], "admin": [ADMIN]}))
    return asking(settings, Access(tokens))


def asking(settings: Settings, access: Access) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(build(settings, FAST, access))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://server")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


PREDICTING = [
    ("POST", "/models/m/predict"),
    ("POST", "/models/m/invocations"),
    ("POST", "/models/m/explain"),
    ("POST", "/models/m/feedback"),
    ("POST", "/v2/models/m/infer"),
    ("GET", "/v2/models/m"),
    ("GET", "/v2/models/m/ready"),
]
ADMINISTERING = [
    ("POST", "/models/m/versions/1/predict"),
    ("POST", "/v2/models/m/versions/1/infer"),
    ("GET", "/models"),
    ("GET", "/models/m"),
    ("GET", "/models/m/feedback"),
    ("GET", "/metrics"),
]
OPEN = [("GET", "/health/live"), ("GET", "/v2/health/live"), ("GET", "/v2"), ("GET", "/docs"), ("GET", "/openapi.json")]


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path"), [*PREDICTING, *ADMINISTERING])
async def test_without_a_known_token_nothing_is_told(guarded: httpx.AsyncClient, method: str, path: str) -> None:
    wrong = [{}, bearer("unknown-0123456789"), {"Authorization": "Basic " + PREDICT}, {"Authorization": "Bearer"}]
    for headers in [*wrong, bearer(PREDICT + "x"), bearer(PREDICT[:-1])]:
        answer = await guarded.request(method, path, headers=headers, json=BODY if method == "POST" else None)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["X-Request-Id"]
        assert PREDICT not in answer.text


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path"), PREDICTING)
async def test_both_kinds_of_token_may_predict(guarded: httpx.AsyncClient, method: str, path: str) -> None:
    for token in (PREDICT, ADMIN):
        answer = await guarded.request(method, path, headers=bearer(token), json=BODY if method == "POST" else None)
        assert answer.status_code == 503  # the state is not known


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path"), ADMINISTERING)
async def test_only_an_admin_token_may_look_inside(guarded: httpx.AsyncClient, method: str, path: str) -> None:
    body = BODY if method == "POST" else None
    assert (await guarded.request(method, path, headers=bearer(PREDICT), json=body)).status_code == 403
    assert (await guarded.request(method, path, headers=bearer(ADMIN), json=body)).status_code in {200, 503}


ABOUT_ALL = {"/models", "/metrics"}
MINE, MINE_ADMIN = "predict-for-m-0123", "admin-for-m-012345"


@pytest.fixture
def of_a_team(settings: Settings, tmp_path: Path) -> httpx.AsyncClient:
    """A server with a team's two tokens, which are for the models m and n."""
    of_team = {
        name: [{"token": token, "models": ["m", "n"]}] for name, token in [("predict", MINE), ("admin", MINE_ADMIN)]
    }
    return asking(settings, Access(Tokens.read(tokens_file(tmp_path, of_team))))


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path"), [*PREDICTING, *ADMINISTERING])
async def test_a_teams_token_reaches_its_own_models_only(of_a_team: httpx.AsyncClient, method: str, path: str) -> None:
    body = BODY if method == "POST" else None
    token = MINE if (method, path) in PREDICTING else MINE_ADMIN
    mine = await of_a_team.request(method, path, headers=bearer(token), json=body)
    if path in ABOUT_ALL:
        assert mine.status_code == 403
        assert "this address is about all models" in mine.text
        return
    assert mine.status_code == 503  # the state is not known
    theirs = await of_a_team.request(method, re.sub("/m(?=/|$)", "/theirs", path), headers=bearer(token), json=body)
    assert theirs.status_code == 403
    assert "This token is for m, n only, not for theirs." in theirs.text


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path", ["/models//predict", "/models/n%2F..%2Ftheirs/predict", "/models/%00/predict", "/models/m%20/predict"]
)
async def test_a_teams_token_is_not_stretched_by_strange_names(of_a_team: httpx.AsyncClient, path: str) -> None:
    for ways in (path, path.replace("/predict", ""), "/v2" + path.replace("predict", "infer")):
        answer = await of_a_team.post(ways, headers=bearer(MINE_ADMIN), json=BODY)
        assert answer.status_code in {403, 404, 405}


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path"), OPEN)
async def test_health_and_documentation_are_open(guarded: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await guarded.request(method, path)).status_code == 200


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        {},
        {"predict": "x" * 20},
        {"predict": ["short"]},
        {"root": ["x" * 20]},
        {"admin": ["with a space in it"]},
        {"predict": [{"token": "x" * 20, "models": []}]},
        {"predict": [{"token": "x" * 20, "models": "m"}]},
        {"predict": [{"token": "x" * 20, "model": ["m"]}]},
        {"predict": [{"models": ["m"]}]},
    ],
)
def test_unusable_tokens_are_said_without_being_told(tmp_path: Path, document: object) -> None:
    with pytest.raises(TokensUnusable, match="NORIA_SERVER_TOKENS") as caught:
        Tokens.read(tokens_file(tmp_path, document))
    assert "xxx" not in str(caught.value)
    assert "with a space" not in str(caught.value)


def test_missing_file_of_tokens_is_said(tmp_path: Path) -> None:
    with pytest.raises(TokensUnusable, match="FileNotFoundError"):
        Tokens.read(tmp_path / "none.json")


def test_tokens_do_not_show_in_a_text(tmp_path: Path) -> None:
    assert PREDICT not in repr(Tokens.read(tokens_file(tmp_path, {"predict": [PREDICT]})))


def test_rate_lets_a_burst_of_one_second_through_and_then_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    rate = Rate(10)
    for _ in range(10):
        rate.check()
    with pytest.raises(AccessRefused) as caught:
        rate.check()
    assert (caught.value.status, dict(caught.value.headers)[b"retry-after"]) == (429, b"1")
    now += 0.5
    assert [passes(rate) for _ in range(7)] == [True] * 5 + [False] * 2
    now += 3600
    assert [passes(rate) for _ in range(11)] == [True] * 10 + [False]


def passes(rate: Rate) -> bool:
    try:
        rate.check()
    except AccessRefused:
        return False
    return True


@pytest.mark.anyio
async def test_too_many_requests_get_a_429_that_says_when_to_come_again(settings: Settings) -> None:
    client = asking(settings, Access(rate=Rate(5)))
    answers = [await client.post("/models/m/predict", json=BODY) for _ in range(8)]
    assert [answer.status_code for answer in answers[:5]] == [503] * 5
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert answers[-1].json()["request_id"] == answers[-1].headers["X-Request-Id"]
    assert (await client.get("/health/live")).status_code == 200


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
