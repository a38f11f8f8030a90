"""Each invariant, broken: the checker notices it, and nothing else; a sound world gives it nothing to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable, write_deltalake

from include.settings import Settings
from include.stack.postgres import Postgres
from tests.chaos import sound
from tests.chaos.invariants import Answer, Scene, check
from tests.chaos.sound import MODEL, Broken
from tests.conftest import copied_database
from tests.serving.live import Logged, log_model
from tests.serving.log_world import answer, open_log, shape

DATABASE = "chaos_world"


@pytest.fixture(scope="module")
def sound_world(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, schema_template: str) -> Scene:
    folder = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # MLflow keeps a SQLite store's artifacts there
        postgres.create_database(DATABASE)
        settings = replace(
            Settings.from_environment({"NORIA_HOME": str(folder / "home")}),
            tracking_url=f"sqlite:///{folder}/mlflow.db",
            database_url=postgres.url(DATABASE),
        )
        logged: list[Logged] = [log_model(settings, folder, seed) for seed in (1, 2)]
        scene = sound.build(settings, folder, logged)
    assert check(scene) == []
    return scene


@pytest.fixture
def world(sound_world: Scene, postgres: Postgres, tmp_path: Path) -> Iterator[Broken]:
    with copied_database(postgres, DATABASE) as url:
        yield sound.copy(sound_world, tmp_path / "home", url)


def noticed(world: Broken) -> set[str]:
    return {breach.invariant for breach in check(world.scene)}


def test_a_sound_world_gives_nothing_to_say_also_when_it_is_looked_at_again(world: Broken) -> None:
    assert check(world.scene) == check(world.scene) == []


class TestRows:
    def test_a_row_that_the_source_has_and_the_table_has_not(self, world: Broken) -> None:
        world.rewrite(world.settings.store / "landing" / "2013-01-02.parquet", "SELECT * FROM rows LIMIT 50")
        assert {(breach.invariant, breach.what.split(" has")[0]) for breach in check(world.scene)} == {
            ("rows/source", "raw 2013-01-02"),
            ("rows/source", "features 2013-01-02"),
        }

    def test_a_source_that_was_changed_after_an_earlier_look(self, world: Broken) -> None:
        assert noticed(world) == set()
        world.rewrite(world.settings.store / "landing" / "2013-01-02.parquet", "FROM rows UNION ALL FROM rows")
        assert noticed(world) == {"rows/source"}

    def test_a_value_that_was_changed_after_it_was_published(self, world: Broken) -> None:
        world.rewrite(world.file("raw"), "SELECT * REPLACE (delay + 1 AS delay) FROM rows")
        assert noticed(world) == {"rows/digest"}

    def test_a_partition_that_is_published_twice(self, world: Broken) -> None:
        def twice(action: dict[str, dict[str, object]]) -> None:
            if "add" in action:
                action["add"]["partitionValues"]["partition"] = "2013-01-01"  # type: ignore[index]

        world.edit_commit("raw", twice)
        assert "rows/once" in noticed(world)

    def test_a_recorded_number_of_rows_that_is_wrong(self, world: Broken) -> None:
        def more(action: dict[str, dict[str, object]]) -> None:
            if "add" in action:
                action["add"]["stats"] = json.dumps({"numRecords": 7})

        world.edit_commit("features", more)
        assert noticed(world) == {"rows/count"}

    def test_a_feature_whose_value_is_not_what_was_published(self, world: Broken) -> None:
        world.rewrite(world.file("features"), "SELECT * REPLACE (feature_far + 1 AS feature_far) FROM rows")
        assert noticed(world) == {"rows/digest"}

    def test_a_file_that_the_log_names_and_nobody_has(self, world: Broken) -> None:
        world.file("features").unlink()
        assert noticed(world) == {"rows/log"}

    def test_a_file_that_is_cut_off(self, world: Broken) -> None:
        file = world.file("raw")
        whole = file.read_bytes()
        file.unlink()
        file.write_bytes(whole[: len(whole) // 2])
        assert noticed(world) == {"rows/log"}

    def test_a_commit_that_is_half_written(self, world: Broken) -> None:
        file = world.commit("raw")
        file.write_text(file.read_text()[:-40])
        assert noticed(world) == {"rows/log"}

    def test_a_commit_that_is_gone(self, world: Broken) -> None:
        world.commit("raw", -2).unlink()
        assert noticed(world) == {"rows/log"}

    def test_a_commit_that_no_gate_had_accepted(self, world: Broken) -> None:
        def refused(action: dict[str, dict[str, object]]) -> None:
            if "commitInfo" in action:
                told = action["commitInfo"]["noria"]
                known = json.loads(told) if isinstance(told, str) else told
                changed = {**known, "verdict": "refused"}  # type: ignore[dict-item]
                action["commitInfo"]["noria"] = json.dumps(changed) if isinstance(told, str) else changed

        world.edit_commit("raw", refused)
        assert noticed(world) == {"rows/gate"}

    def test_rows_that_a_gate_has_refused_and_that_are_published_all_the_same(self, world: Broken) -> None:
        actions = DeltaTable(str(world.scene.table("raw"))).get_add_actions(flatten=True)
        digest = dict(
            zip(*(actions[f"partition.{name}"].to_pylist() for name in ("partition", "_digest")), strict=True)
        )
        entry = {"key": "2013-01-02", "digest": digest["2013-01-02"], "status": "refused"}
        folder = world.settings.store / "staging" / MODEL / "raw" / "another-try"
        folder.mkdir(parents=True)
        (folder / "gated.json").write_text(json.dumps({"partitions": [entry]}))
        assert noticed(world) == {"rows/gate"}


class TestVersions:
    def test_a_version_of_mlflow_that_no_row_knows(self, world: Broken) -> None:
        known = world.client.get_model_version(MODEL, "1")
        made = world.client.create_model_version(MODEL, source=known.source, run_id=known.run_id)
        try:
            assert noticed(world) == {"versions/row"}
        finally:
            world.client.delete_model_version(MODEL, made.version)

    def test_a_row_whose_version_mlflow_does_not_have(self, world: Broken) -> None:
        world.sql(
            "INSERT INTO model_version SELECT model, 9, 'f9', run_id, as_of, artifact_digest, model_uri, status, "
            "windows, decision, created_at FROM model_version WHERE version = 1"
        )
        assert noticed(world) == {"versions/mlflow"}

    def test_a_row_with_another_run_than_mlflow_has(self, world: Broken) -> None:
        world.sql(
            "UPDATE model_version SET run_id = (SELECT run_id FROM model_version WHERE version = 1) WHERE version = 2"
        )
        assert noticed(world) == {"versions/same"}

    def test_a_fingerprint_that_was_registered_twice(self, world: Broken) -> None:
        world.sql(
            "ALTER TABLE model_version DROP CONSTRAINT model_version_fingerprint",
            "UPDATE model_version SET fingerprint = 'f0'",
        )
        world.client.set_model_version_tag(MODEL, "2", "noria.fingerprint", "f0")
        try:
            assert noticed(world) == {"versions/fingerprint"}
        finally:
            world.client.set_model_version_tag(MODEL, "2", "noria.fingerprint", "f1")

    def test_a_run_that_never_finished(self, world: Broken) -> None:
        run = world.client.get_model_version(MODEL, "2").run_id
        world.client.update_run(run, status="RUNNING")
        try:
            assert noticed(world) == {"versions/run"}
        finally:
            world.client.set_terminated(run)

    @pytest.mark.parametrize("damage", ["changed", "gone"])
    def test_an_artifact_that_is_not_what_was_registered(self, world: Broken, damage: str) -> None:
        [artifacts] = {path.parent for path in _tracking_folder(world).rglob("model.ubj") if _is_of(world, path)}
        file = artifacts / "model.ubj"
        whole = file.read_bytes()
        file.unlink()
        if damage == "changed":
            file.write_bytes(whole[:-1])
        try:
            assert noticed(replace(world, scene=replace(world.scene, known={}))) == {"versions/artifact"}
        finally:
            file.write_bytes(whole)


def _tracking_folder(world: Broken) -> Path:
    return Path(world.settings.tracking_url.removeprefix("sqlite:///")).parent / "mlruns"


def _is_of(world: Broken, path: Path) -> bool:
    """Whether it is a file of the first version's logged model."""
    return world.scene.rows("SELECT model_uri FROM model_version WHERE version = 1")[0]["model_uri"].split("/")[
        -1
    ] in str(path)


class TestState:
    def test_a_revision_that_the_ledger_does_not_know(self, world: Broken) -> None:
        world.sql("UPDATE deployment SET revision = revision + 1")
        assert noticed(world) == {"state/revisions"}

    def test_a_ledger_with_a_gap(self, world: Broken) -> None:
        world.sql("DELETE FROM deployment_ledger WHERE revision = 1")
        assert noticed(world) == {"state/revisions"}

    def test_a_state_to_which_the_ledger_does_not_lead(self, world: Broken) -> None:
        world.sql("DELETE FROM deployment_state WHERE role = 'previous'")
        assert noticed(world) == {"state/ledger", "state/aliases"}

    def test_an_entry_that_does_not_follow_from_the_one_before(self, world: Broken) -> None:
        world.sql("UPDATE deployment_ledger SET from_version = NULL WHERE revision = 2")
        assert noticed(world) == {"state/ledger"}

    def test_a_champion_that_is_older_than_the_one_before(self, world: Broken) -> None:
        world.sql("UPDATE model_version SET as_of = '2001-01-01' WHERE version = 2")
        assert noticed(world) == {"state/older"}
        world.sql("UPDATE deployment_ledger SET evidence = '{\"forced\": true}'")
        assert noticed(world) == set()

    def test_a_champion_that_was_registered_only_later(self, world: Broken) -> None:
        world.sql("UPDATE model_version SET created_at = now() + interval '1 day' WHERE version = 2")
        assert noticed(world) == {"state/champion"}

    def test_a_barred_version_in_production(self, world: Broken) -> None:
        world.sql("UPDATE model_version SET status = 'barred' WHERE version = 1")
        assert noticed(world) == {"state/barred"}

    def test_a_version_that_a_training_run_deployed_although_it_lost(self, world: Broken) -> None:
        world.sql(
            'UPDATE deployment_ledger SET evidence = \'{"run": "late.train/nightly"}\' WHERE revision = 2',
        )
        assert noticed(world) == set()
        world.sql('UPDATE model_version SET decision = \'{"verdict": "keep"}\'')
        assert noticed(world) == {"state/decided"}

    def test_a_change_that_mlflow_was_never_told(self, world: Broken) -> None:
        world.sql("UPDATE outbox SET delivered_at = NULL WHERE revision = 2")
        assert noticed(world) == {"state/outbox"}

    def test_an_alias_that_is_not_the_state(self, world: Broken) -> None:
        world.client.set_registered_model_alias(MODEL, "champion", "1")
        try:
            assert noticed(world) == {"state/aliases"}
        finally:
            world.client.set_registered_model_alias(MODEL, "champion", "2")


class TestRequests:
    def told(self, world: Broken, *answers: Answer) -> set[str]:
        scene = replace(world.scene, answers=[*world.scene.answers, *answers])
        return noticed(replace(world, scene=scene))

    def test_an_answer_that_is_nowhere(self, world: Broken) -> None:
        assert self.told(world, Answer("unheard", 2, 0.25)) == {"log/lost"}

    def test_an_answer_that_only_a_segment_has_is_not_lost(self, world: Broken) -> None:
        log = open_log(world.settings)
        answer(log, "fresh", of=shape(version=2, model=MODEL))
        assert self.told(world, Answer("fresh", 2, 0.25)) == set()
        log.close()
        assert self.told(world, Answer("fresh", 2, 0.25)) == set()

    @pytest.mark.parametrize(("version", "prediction"), [(1, 0.25), (2, 0.26)])
    def test_an_answer_that_was_logged_otherwise(self, world: Broken, version: int, prediction: float) -> None:
        changed = [Answer("r3", version, prediction), *(a for a in world.scene.answers if a.request_id != "r3")]
        assert noticed(replace(world, scene=replace(world.scene, answers=changed))) == {"log/other"}

    def test_an_answer_that_was_logged_twice(self, world: Broken) -> None:
        table = DeltaTable(str(world.scene.table("inference")))
        write_deltalake(table, table.to_pyarrow_table().slice(0, 1), mode="append")
        assert noticed(world) == {"log/doubled"}


class TestLeftovers:
    def test_a_challenger_that_nobody_takes_further(self, world: Broken) -> None:
        world.sql(
            "INSERT INTO deployment_state (model, role, version, share, since, revision) "
            "VALUES (:m, 'canary', 1, 0.1, now(), 2)"
        )
        assert noticed(world) == {"left/challenger", "state/ledger", "state/aliases"}

    def test_a_step_that_nobody_waits_for(self, world: Broken) -> None:
        with _process_named("noria-train", world):
            assert noticed(world) == {"left/process"}
        assert noticed(world) == set()

    def test_staged_files_that_should_have_been_removed_days_ago(self, world: Broken) -> None:
        [folder, *_] = (world.settings.store / "staging" / MODEL / "raw").glob("*")
        long_ago = time.time() - 30 * 86_400
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (long_ago, long_ago))
        assert noticed(world) == {"left/staging"}

    @pytest.mark.parametrize("key", ["'a'", "n::text"])
    def test_news_that_was_told_twice(self, world: Broken, key: str) -> None:
        world.sql(
            "ALTER TABLE alert DROP CONSTRAINT alert_key_key",
            f"INSERT INTO alert (key, model, event, run, document, expires_at) SELECT {key}, :m, 'drift', 'run', "
            '\'{"title": "It has drifted"}\', now() FROM generate_series(1, 2) AS n',
        )
        assert noticed(world) == {"left/alerts"}


@contextmanager
def _process_named(name: str, world: Broken) -> Iterator[None]:
    script = f"import ctypes, time; ctypes.CDLL(None).prctl(15, b'{name}'); print('named', flush=True); time.sleep(60)"
    environment = {**os.environ, "NORIA_HOME": str(world.settings.home)}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "named\n"
        try:
            yield
        finally:
            process.kill()
