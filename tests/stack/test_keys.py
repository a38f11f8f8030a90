"""The stack's keys: made once, and with them what was registered before is signed, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from include.registry import database
from include.registry.signing_versions import verify_versions
from include.registry.tables import model_version
from include.settings import Settings
from include.stack.keys import ensure_keys, sign_earlier_versions, with_keys
from include.training.package import artifact_digest
from tests.serving.live import AS_OF


def test_keys_are_made_once_also_after_a_start_that_was_killed(settings: Settings) -> None:
    keyed = with_keys(settings)
    part = settings.home / ".signing-part"
    part.mkdir(parents=True)
    (part / "trusted.pem").write_text("half")
    ensure_keys(keyed)
    files = {path.name: path.read_bytes() for path in (settings.home / "signing").iterdir()}
    assert files.keys() == {"signing.pem", "trusted.pem"}
    assert (settings.home / "signing" / "signing.pem").stat().st_mode & 0o777 == 0o600
    ensure_keys(keyed)
    assert files == {path.name: path.read_bytes() for path in (settings.home / "signing").iterdir()}


@pytest.mark.database
def test_earlier_versions_are_signed_at_the_first_start_and_none_later(
    stored_settings: Settings, tmp_path: Path
) -> None:
    files = tmp_path / "model"
    (files / "artifacts").mkdir(parents=True)
    for name in (
        "MLmodel",
        "packaged_model.py",
        "artifacts/model.ubj",
        "artifacts/features.json",
        "artifacts/profile.json",
    ):
        (files / name).write_text("{}")
    right = artifact_digest(files)

    def have(version: int, digest: str) -> None:
        with database.transaction(stored_settings.database_url) as connection:
            connection.execute(
                model_version.insert().values(
                    model="m", version=version, fingerprint=f"f{version}", run_id="r", as_of=AS_OF,
                    artifact_digest=digest, model_uri=files.as_uri(), status="registered", windows={}, decision={},
                )
            )  # fmt: skip

    keyed = with_keys(replace(stored_settings, tracking_url=f"sqlite:///{tmp_path}/mlflow.db"))
    ensure_keys(keyed)
    have(1, right)
    have(2, "0" * 64)
    said: list[str] = []
    sign_earlier_versions(keyed, said.append)
    assert said[0] == "Signed the versions of m from before there was a key: 1"
    assert "m version 2 is not signed and will not be served" in said[1]
    have(3, right)
    sign_earlier_versions(keyed, said.append)
    assert len(said) == 2
    assert [one.state for one in verify_versions(keyed, "m")] == ["trusted", "refused", "refused"]
