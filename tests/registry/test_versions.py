"""Versions with a real MLflow: registered once for each fingerprint, aliases brought along."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from include.registry import __main__ as command_line
from include.registry import database, outbox, retirement, stages, state, versions
from include.registry import tables as t
from include.registry.mlflow_client import TrackingAway, connect
from include.registry.signing import check
from include.registry.signing_keys import KeyUnusable, SigningKeyMissing, SigningKeyUntrusted
from include.registry.signing_versions import sign_versions
from include.settings import Settings
from include.training.package import artifact_digest
from tests.signing import checking, signing, tamper

pytestmark = pytest.mark.database
WHO = {"actor": "ana", "reason": "because"}
AS_OF = datetime(2013, 10, 1, tzinfo=UTC)


def aliases(settings: Settings, model: str) -> dict[str, int]:
    return {alias: int(number) for alias, number in connect(settings).get_registered_model(model).aliases.items()}


@pytest.fixture(scope="module")
def tracking_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def tracked(stored_settings: Settings, tracking_url: str) -> Settings:
    return replace(stored_settings, tracking_url=tracking_url)


@pytest.fixture
def run_id(tracked: Settings, tmp_path: Path) -> str:
    client = connect(tracked)
    experiment = client.get_experiment_by_name("e")
    experiment_id = experiment.experiment_id if experiment else client.create_experiment("e", tmp_path.as_uri())
    return str(client.create_run(experiment_id).info.run_id)


def register(settings: Settings, run_id: str, fingerprint: str, model: str) -> versions.Registered:
    values: dict[str, Any] = {"decision": {"verdict": "promote", "reason": "it wins"}, "windows": {"train": "…"}}
    return versions.register_version(
        settings,
        model,
        fingerprint=fingerprint,
        run_id=run_id,
        as_of=AS_OF,
        artifact_digest="d" * 64,
        model_uri=f"runs:/{run_id}/model",
        tags={"noria.training_set": "t1"},
        **values,
    )


def test_version_is_registered_once_for_each_fingerprint(tracked: Settings, run_id: str) -> None:
    first = register(tracked, run_id, "f1", "once")
    again = register(tracked, run_id, "f1", "once")
    second = register(tracked, run_id, "f2", "once")
    assert (first.reused, again.reused, second.reused) == (False, True, False)
    assert first.version == again.version
    assert (first.version.version, second.version.version, first.version.status) == (1, 2, "registered")
    assert versions.find_by_fingerprint(tracked, "once", "f2") == second.version
    assert versions.find_by_fingerprint(tracked, "once", "f3") is None
    tags = connect(tracked).get_model_version("once", "1").tags
    assert tags["noria.fingerprint"] == "f1"
    assert tags["noria.as_of"] == AS_OF.isoformat()
    assert tags["noria.decision"] == "promote"
    assert tags["noria.training_set"] == "t1"


def test_crash_between_mlflow_and_our_table_makes_no_second_version(
    tracked: Settings, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(versions, "_insert", killed)
        with pytest.raises(KeyboardInterrupt):
            register(tracked, run_id, "f1", "crashed")
    assert versions.list_versions(tracked, "crashed") == []
    assert register(tracked, run_id, "f1", "crashed").version.version == 1
    assert len(connect(tracked).search_model_versions("name = 'crashed'")) == 1


def test_reset_mlflow_beside_a_kept_database_is_said_clearly(tracked: Settings, run_id: str, tmp_path: Path) -> None:
    register(tracked, run_id, "f1", "reset")
    fresh = replace(tracked, tracking_url=f"sqlite:///{tmp_path}/fresh.db")
    client = connect(fresh)
    run = client.create_run(client.create_experiment("e")).info.run_id
    with pytest.raises(versions.RegistriesDisagree, match="not of the same age"):
        register(fresh, run, "f2", "reset")


def test_mlflow_away_is_try_again_and_registers_nothing(
    tracked: Settings, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingAway, match="NORIA_TRACKING_URL"):
        register(replace(tracked, tracking_url="http://127.0.0.1:9"), run_id, "f1", "away")
    assert versions.list_versions(tracked, "away") == []


def test_aliases_follow_the_state(tracked: Settings, run_id: str) -> None:
    for fingerprint in ("f1", "f2"):
        number = register(tracked, run_id, fingerprint, "followed").version.version
        state.switch_champion(tracked, "followed", number, **WHO)
    assert outbox.deliver(tracked, "followed") == []
    assert aliases(tracked, "followed") == {"champion": 2, "previous": 1}
    third = register(tracked, run_id, "f3", "followed").version.version
    stages.enter_stage(
        tracked, "followed", third, role="canary", share=0.1, plan={}, until=None, deployment="run", **WHO
    )  # fmt: skip
    outbox.deliver(tracked)
    assert aliases(tracked, "followed") == {"champion": 2, "previous": 1, "challenger": 3}
    assert outbox.deliver(tracked) == []
    state.roll_back(tracked, "followed", **WHO)
    outbox.deliver(tracked)
    assert aliases(tracked, "followed") == {"champion": 1}
    retirement.retire(tracked, "followed", **WHO)
    outbox.deliver(tracked)
    assert aliases(tracked, "followed") == {}


def test_delivery_waits_for_an_mlflow_that_is_away(
    tracked: Settings, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    number = register(tracked, run_id, "f1", "patient").version.version
    state.switch_champion(tracked, "patient", number, **WHO)
    assert outbox.deliver(replace(tracked, tracking_url="http://127.0.0.1:9")) == ["patient"]
    with database.transaction(tracked.database_url) as connection:
        row = connection.execute(select(t.outbox)).one()
    assert (row.delivered_at, row.attempts) == (None, 1)
    assert row.error
    assert outbox.deliver(tracked) == []
    assert aliases(tracked, "patient") == {"champion": 1}


# ---- signed ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def logged(tracked: Settings, tmp_path: Path) -> tuple[str, str]:
    """A packaged model in MLflow that nobody has registered: address of its files, and their digest."""
    files = tmp_path / "package"
    files.mkdir()
    (files / "MLmodel").write_text("flavors: {}\n")
    (files / "artifacts").mkdir()
    (files / "packaged_model.py").touch()
    for name in ("model.ubj", "features.json", "profile.json"):
        (files / "artifacts" / name).write_text("{}")
    return files.as_uri(), artifact_digest(files)


def enter(settings: Settings, run_id: str, fingerprint: str, model: str, logged: tuple[str, str]) -> int:
    uri, digest = logged
    return versions.register_version(
        settings, model, fingerprint=fingerprint, run_id=run_id, as_of=AS_OF, artifact_digest=digest, model_uri=uri,
        decision={"zero": -0.0, "large": 1e22, "threshold": 1.0}, windows={"é": [1.0]},
    ).version.version  # fmt: skip


def test_what_is_registered_with_a_key_is_signed_as_the_database_keeps_it(
    tracked: Settings, run_id: str, tmp_path: Path, logged: tuple[str, str]
) -> None:
    keyed = signing(tracked, tmp_path / "keys")
    number = enter(keyed, run_id, "f1", "signed", logged)
    check(checking(keyed), versions.get_version(tracked, "signed", number))
    check(checking(keyed), versions.list_versions(tracked, "signed")[0])
    assert enter(checking(keyed), run_id, "f1", "signed", logged) == number, "what is known needs no key"


def test_without_the_key_nothing_is_registered_where_signatures_are_asked_for(
    tracked: Settings, run_id: str, tmp_path: Path, logged: tuple[str, str]
) -> None:
    keyed = signing(tracked, tmp_path / "keys")
    theirs = signing(tracked, tmp_path / "theirs")
    for settings, error in (
        (checking(keyed), SigningKeyMissing),
        (replace(keyed, signing_key=theirs.signing_key), SigningKeyUntrusted),
        (replace(keyed, trusted_keys=str(tmp_path / "none.pem")), KeyUnusable),
    ):
        with pytest.raises(error):
            enter(settings, run_id, "f1", "keyless", logged)
    assert versions.list_versions(tracked, "keyless") == []
    assert list(connect(tracked).search_model_versions("name = 'keyless'")) == []


def test_earlier_versions_are_signed_if_their_files_are_what_was_registered(
    tracked: Settings,
    run_id: str,
    tmp_path: Path,
    logged: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = enter(tracked, run_id, "f1", "earlier", logged)
    bad = enter(tracked, run_id, "f2", "earlier", (logged[0], "0" * 64))
    changed = enter(signing(tracked, tmp_path / "keys"), run_id, "f3", "earlier", logged)
    tamper(tracked, "run_id = 'another'", "earlier", changed)
    for name, value in {
        "NORIA_HOME": str(tracked.home),
        "NORIA_DATABASE_URL": tracked.database_url,
        "NORIA_TRACKING_URL": tracked.tracking_url,
        "NORIA_SIGNING_KEY": str(tmp_path / "keys" / "signing.pem"),
        "NORIA_TRUSTED_KEYS": str(tmp_path / "keys" / "trusted.pem"),
    }.items():
        monkeypatch.setenv(name, value)
    for command, word in (("verify", "refused"), ("sign", "signed"), ("verify", "trusted"), ("sign", "trusted")):
        assert command_line.main([command]) == 10
        said = capsys.readouterr()
        lines = {int(line.split()[1]): line for line in said.out.splitlines()}
        assert word in lines[good]
        assert "0" * 64 in lines[bad] or "not signed" in lines[bad]
        assert "changed since" in lines[changed]
        assert f"earlier version {bad}, earlier version {changed}" in said.err
    assert versions.get_version(tracked, "earlier", bad).signature is None
    keyed = Settings.from_environment()
    check(keyed, versions.get_version(tracked, "earlier", good))


def test_before_a_key_is_taken_away_its_versions_are_signed_with_the_next(
    tracked: Settings, run_id: str, tmp_path: Path, logged: tuple[str, str]
) -> None:
    old, new = signing(tracked, tmp_path / "old"), signing(tracked, tmp_path / "new")
    number = enter(old, run_id, "f1", "rotated", logged)
    both = tmp_path / "both.pem"
    both.write_text("".join((tmp_path / name / "trusted.pem").read_text() for name in ("old", "new")))
    rotating = replace(new, trusted_keys=str(both))
    assert [one.state for one in sign_versions(rotating, "rotated")] == ["trusted"]
    check(checking(old), versions.get_version(tracked, "rotated", number))
    assert [one.state for one in sign_versions(new, "rotated", again=True)] == ["refused"], "an unknown key's stay so"
    assert [one.state for one in sign_versions(rotating, "rotated", again=True)] == ["signed"]
    check(checking(new), versions.get_version(tracked, "rotated", number))
