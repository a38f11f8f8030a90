"""An archive holds what audits need, is made once, whole or not at all, and tells when it is not what it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.lake.table import LakeTable
from include.registry import retirement, state
from include.registry.refusals import NotRetiredNow
from include.registry.retirement_state import Retirement
from include.registry.versions import get_version
from include.retirement import __main__ as command_line
from include.retirement import archive as archives
from include.retirement.archive import NothingArchived, make_archive, verify_archive
from include.retirement.manifest import MANIFEST, SIGNATURE, ArchiveDamaged, check_archive, write_manifest
from include.settings import Settings
from include.training.package import artifact_digest
from tests.privacy.life import MODEL, Life
from tests.retirement.ends import WHO, another_version, now
from tests.signing import checking, signing

pytestmark = pytest.mark.database


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_holds_what_was_declared_known_read_and_served(life: Life) -> None:
    unused = another_version(life)
    before = {name: LakeTable(life.settings, MODEL, name).digest() for name in ("raw", "features", "predictions")}
    under_way = retirement.retire(life.settings, MODEL, **WHO).under_way
    made = make_archive(life.settings, under_way, actor="ana")
    folder = life.settings.store / made.place
    assert (folder / f"{MODEL}.yaml").read_bytes() == (life.settings.models / f"{MODEL}.yaml").read_bytes()
    assert {path.stem for path in (folder / "expectations").iterdir()} >= {"raw", "features", "training"}
    assert [entry["action"] for entry in read(folder / "registry/deployment_ledger.jsonl")] == ["promote", "retire"]
    versions = {row["version"]: row for row in read(folder / "registry/model_version.jsonl")}
    assert set(versions) == {1, unused}
    assert versions[1]["decision"] == get_version(life.settings, MODEL, 1).decision
    kinds = {(row["kind"], row["verdict"]) for row in read(folder / "registry/check_result.jsonl")}
    assert {("gate", "passed"), ("gate", "refused")} <= kinds
    assert {kind for kind, _ in kinds} >= {"gate", "evaluation", "decision"}
    for name, digest in before.items():
        told = json.loads((folder / f"data/{name}.json").read_text())
        assert told["digest"] == digest
        partitions = {one["key"]: one["digest"] for one in told["partitions"]}
        assert partitions == life.digests(name)
    pages = {path.relative_to(folder / "reports").parts[0] for path in (folder / "reports").rglob("*.html")}
    assert "model_cards" in pages
    assert "gates" not in pages, "those may show rows"
    assert [path.name for path in (folder / "models").iterdir()] == ["version-1"], "the other never answered"
    assert artifact_digest(folder / "models/version-1") == get_version(life.settings, MODEL, 1).artifact_digest
    assert life.marker not in "".join(path.read_text("utf-8", "replace") for path in folder.rglob("*.json*"))
    place, checked = verify_archive(life.settings, MODEL)
    assert (place, checked.digest, checked.signer) == (made.place, made.checked.digest, None)
    assert checked.document["problems"] == []


def test_made_again_it_is_the_same_and_the_ledger_tells_it_once(life: Life, out: Retirement) -> None:
    first = make_archive(life.settings, out, actor="ana")
    second = make_archive(life.settings, now(life), actor="ana")
    assert (first.is_new, second.is_new) == (True, False)
    assert (first.place, first.checked.digest) == (second.place, second.checked.digest)
    told = [entry for entry in state.history(life.settings, MODEL) if entry.action == "archive"]
    assert [entry.evidence["digest"] for entry in told] == [first.checked.digest]
    assert state.read_states(life.settings)[MODEL].retired_at is not None, "it stays retired"


@pytest.mark.parametrize("point", ["gather", "write_manifest", "check_archive", "mark_archived"])
def test_killed_at_any_point_the_next_run_makes_it_whole(
    life: Life, out: Retirement, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def killed(*arguments: Any, **named: Any) -> None:
        if point == "gather":
            (arguments[2] / "half").write_text("of a file")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archives, point, killed)
        with pytest.raises(KeyboardInterrupt):
            make_archive(life.settings, out, actor="ana")
    assert now(life).archive is None
    if point in {"gather", "write_manifest"}:
        with pytest.raises(NothingArchived):
            verify_archive(life.settings, MODEL)
    made = make_archive(life.settings, out, actor="ana")
    assert made.is_new == (point in {"gather", "write_manifest"})
    assert verify_archive(life.settings, MODEL)[1].digest == now(life).archive_digest
    assert [path.name for path in (life.settings.store / "archive" / MODEL).iterdir()] == [Path(made.place).name]


def spoil_definition(folder: Path) -> None:
    path = folder / f"{MODEL}.yaml"
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def remove_ledger(folder: Path) -> None:
    (folder / "registry/deployment_ledger.jsonl").unlink()


def add_file(folder: Path) -> None:
    (folder / "registry/more.jsonl").write_text("{}\n")


def cut_manifest(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_text(path.read_text()[:100])


def make_manifest_anew(folder: Path) -> None:
    spoil_definition(folder)
    (folder / MANIFEST).unlink()
    write_manifest(Settings.from_environment({}), folder, {"model": MODEL, "problems": []})


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (spoil_definition, "was changed"),
        (remove_ledger, "is missing"),
        (add_file, "is not in the manifest"),
        (cut_manifest, "cannot be read"),
        (make_manifest_anew, "not the one that the registry has noted"),
    ],
)
def test_whatever_is_changed_is_noticed_and_never_made_over(
    life: Life, out: Retirement, harm: Callable[[Path], None], words: str
) -> None:
    made = make_archive(life.settings, out, actor="ana")
    harm(life.settings.store / made.place)
    with pytest.raises(ArchiveDamaged, match=words):
        verify_archive(life.settings, MODEL)
    if harm is not make_manifest_anew:
        with pytest.raises(ArchiveDamaged):
            make_archive(life.settings, now(life), actor="ana")


def test_a_signature_is_asked_for_where_versions_are_signed(life: Life, out: Retirement, tmp_path: Path) -> None:
    keyed = signing(life.settings, tmp_path / "keys")
    made = make_archive(keyed, out, actor="ana")
    folder = keyed.store / made.place
    assert "version 1: " in made.checked.document["problems"][0], "it was registered before there was a key"
    checked = check_archive(checking(keyed), folder)
    assert (checked.signer, checked.trusted) == (made.checked.signer, True)
    assert check_archive(replace(checking(keyed), trusted_keys=None), folder).trusted is None
    others = signing(life.settings, tmp_path / "others")
    with pytest.raises(ArchiveDamaged, match="not believed here"):
        check_archive(checking(others), folder)
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace("\n}", "\n}\n"))
    with pytest.raises(ArchiveDamaged, match="not the one that the key"):
        check_archive(checking(keyed), folder)
    (folder / MANIFEST).write_text(text)
    (folder / SIGNATURE).unlink()
    with pytest.raises(ArchiveDamaged, match="not signed"):
        check_archive(checking(keyed), folder)


def test_a_model_that_was_brought_back_is_not_archived(life: Life, out: Retirement) -> None:
    retirement.restore(life.settings, MODEL, actor="bob", reason="needed after all")
    with pytest.raises(NotRetiredNow):
        make_archive(life.settings, out, actor="ana")
    assert [entry.action for entry in state.history(life.settings, MODEL)][-1] == "restore"


def test_the_command_says_what_it_found(
    life: Life, out: Retirement, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Settings, "from_environment", classmethod(lambda _: life.settings))
    assert command_line.main(["verify", MODEL]) == 10
    assert "has no archive" in capsys.readouterr().err
    made = make_archive(life.settings, out, actor="ana")
    assert command_line.main(["verify", MODEL]) == 0
    assert f"{len(made.checked.document['files'])} files as they were, not signed." in capsys.readouterr().out
    spoil_definition(life.settings.store / made.place)
    assert command_line.main(["verify", MODEL, "--archive", Path(made.place).name]) == 10
    assert "was changed" in capsys.readouterr().err
