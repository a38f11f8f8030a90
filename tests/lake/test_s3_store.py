"""Files of a store in a bucket: what others have written is fetched, what is delivered is whole, faults have names."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from include.errors import Refused, TryAgain
from include.lake.bucket import BucketStore
from include.lake.paths import UnsafeName
from include.lake.patterns import path_pattern
from include.lake.store import FolderStore, Store, store_of
from include.lake.store_faults import StoreAway, StoreRefuses
from include.settings import COPY_PREFIX, PROJECT, BadStore, Settings
from tests.object_storage import KEY, SECRET, Line, ObjectStorage, free_port, guarded_storage, in_bucket, line_to

_MIB = 1 << 20
Process = Callable[[], Settings]


@pytest.fixture
def process(settings: Settings, s3: ObjectStorage, s3_bucket: str) -> Process:
    """Each call gives the settings of another process: the bucket is all that they share."""
    return lambda: in_bucket(settings, s3.environment(s3_bucket))


def write(settings: Settings, relative: str, content: bytes = b"one") -> Path:
    path = settings.store / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_what_one_process_delivers_another_fetches(process: Process) -> None:
    here, there = process(), process()
    store_of(here).deliver(write(here, "reports/m/page.html", b"page"))
    path = there.store / "reports/m/page.html"
    assert not path.exists()
    store_of(there).fetch(path)
    assert path.read_bytes() == b"page"
    assert here.store != there.store


def test_after_a_fetch_the_path_tells_the_truth(process: Process) -> None:
    here, there = process(), process()
    path = write(here, "landing/day.csv", b"first")
    other = there.store / "landing/day.csv"
    store_of(here).deliver(path)
    store_of(there).fetch(other)
    path.write_bytes(b"second, and longer")
    store_of(here).deliver(path)
    store_of(there).fetch(other)
    assert other.read_bytes() == b"second, and longer"
    store_of(here).remove(path)
    store_of(there).fetch(other)
    assert not other.exists()
    assert store_of(there).size(other) is None


def test_what_nobody_writes_to_any_more_is_fetched_once(process: Process) -> None:
    here, there = process(), process()
    path, other = write(here, "lake/m/raw/a.parquet", b"old"), there.store / "lake/m/raw/a.parquet"
    store_of(here).deliver(path)
    store_of(there).fetch(other, fixed=True)
    path.write_bytes(b"new")
    store_of(here).deliver(path)
    store_of(there).fetch(other, fixed=True)
    assert other.read_bytes() == b"old"


def test_a_folder_is_fetched_as_it_is_and_nothing_more(process: Process) -> None:
    here, there = process(), process()
    store_of(here).deliver(*(write(here, f"training/m/d/{name}") for name in ("a", "b", "deep/c")))
    write(there, "training/m/d/gone", b"of an older look")
    store_of(there).fetch_folder(there.store / "training/m/d")
    found = {path.relative_to(there.store).as_posix() for path in there.store.rglob("*") if path.is_file()}
    assert found - {".lock"} == {"training/m/d/a", "training/m/d/b", "training/m/d/deep/c"}


def test_a_folder_is_replaced_whole_and_its_marker_comes_last(process: Process, s3: ObjectStorage) -> None:
    here, there = process(), process()
    folder = "quarantine/m/2024-01-01"
    store_of(here).deliver(*(write(here, f"{folder}/{name}") for name in ("gate.json", "rows.parquet", "page.html")))
    write(there, f"{folder}/gate.json", b"two")
    write(there, f"{folder}/source.csv", b"two")
    store_of(there).deliver_folder(there.store / folder, "gate.json")
    bucket = there.bucket.name if there.bucket else ""
    assert s3.keys(bucket, f"noria/{folder}") == [f"noria/{folder}/{name}" for name in ("gate.json", "source.csv")]
    assert s3.client().get_object(Bucket=bucket, Key=f"noria/{folder}/gate.json")["Body"].read() == b"two"
    said = [line for line in s3.log.read_text().splitlines() if f"/{bucket}" in line]
    changes = [line.split(f"/{bucket}")[1].split(" ")[0] for line in said if '"PUT' in line or '"POST' in line][4:]
    assert changes == ["?delete", "?delete", "?delete", f"/noria/{folder}/source.csv", f"/noria/{folder}/gate.json"]


@pytest.mark.parametrize(
    "pattern",
    [
        "landing/new/*.parquet",
        "landing/**/*.parquet",
        "landing/new/[ab]?.csv",
        "landing/*/a*",
        "*/*/*.csv",
        "landing/**",
    ],
)
def test_files_are_found_by_the_patterns_that_a_folder_knows(
    pattern: str, process: Process, settings: Settings
) -> None:
    here = process()
    names = ["new/a.parquet", "new/a1.csv", "new/c1.csv", "new/deep/er/a.parquet", "a.parquet", "new/.hidden.parquet"]
    for one in (here, settings):
        files = [write(one, f"landing/{name}") for name in names]
        store_of(one).deliver(*files)
    import glob

    expected = sorted(name for name in glob.glob(pattern, root_dir=settings.store, recursive=True)
                      if (settings.store / name).is_file())  # fmt: skip
    assert expected
    assert [path.relative_to(here.store).as_posix() for path in store_of(here).find(here.store, pattern)] == expected
    assert all(path_pattern(pattern).matches(name) for name in expected)


def test_folders_and_their_age(process: Process) -> None:
    here = process()
    store = store_of(here)
    store.deliver(write(here, "staging/m/raw/one/manifest.json"), write(here, "staging/m/raw/two/deep/manifest.json"))
    folders = store.folders(here.store / "staging/m/raw")
    assert [folder.name for folder in folders] == ["one", "two"]
    assert all(abs(store.touched(folder) - time.time()) < 60 for folder in folders)
    store.remove_folder(folders[0])
    assert [folder.name for folder in store.folders(here.store / "staging/m/raw")] == ["two"]
    assert store.folders(here.store / "nothing") == []


@pytest.mark.parametrize("name", ["2013-11-03T01+1.parquet", "mit Leerzeichen & Ümläut.csv", "100%.csv", "a#b?.csv"])
def test_names_of_files_stay_what_they_are(name: str, process: Process) -> None:
    here, there = process(), process()
    store_of(here).deliver(write(here, f"landing/{name}", name.encode()))
    [found] = store_of(there).find(there.store / "landing", "*")
    store_of(there).fetch(found)
    assert found.read_bytes() == name.encode()
    assert found.name == name


def test_paths_are_shown_as_addresses_and_taken_back(process: Process, s3_bucket: str, tmp_path: Path) -> None:
    here, there = process(), process()
    shown = store_of(here).shown(here.store / "landing/a.csv")
    assert shown == f"s3://{s3_bucket}/noria/landing/a.csv"
    assert store_of(there).place(shown) == there.store / "landing/a.csv"
    assert store_of(there).place(str(tmp_path / "a.csv")) == tmp_path / "a.csv"


def test_files_outside_of_the_store_are_left_alone(process: Process, tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("x")
    store = store_of(process())
    store.fetch(mine)
    store.deliver(mine)
    store.remove(mine)
    assert mine.read_text() == "x"
    assert store.size(mine) == 1


def test_both_kinds_of_store_have_the_same_operations() -> None:
    wanted = {name for name in vars(Store) if not name.startswith("_")}
    for kind in (FolderStore, BucketStore):
        assert wanted <= set(dir(kind))


# ---- faults ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def line(s3: ObjectStorage) -> Iterator[Line]:
    with line_to(s3) as line:
        yield line


def test_a_connection_cut_in_mid_upload_leaves_the_old_object(
    settings: Settings, s3: ObjectStorage, s3_bucket: str, line: Line, impatient: None
) -> None:
    here = in_bucket(settings, s3.environment(s3_bucket, endpoint=line.endpoint))
    path = write(here, "reports/page.html", b"old")
    store_of(here).deliver(path, write(here, "staging/rows.parquet", b"x"))
    path.write_bytes(os.urandom(40 * _MIB))
    new = write(here, "staging/new.parquet", os.urandom(40 * _MIB))
    line.up = 3 * _MIB
    for target in (path, new):
        with pytest.raises(StoreAway, match="could not be reached while writing") as caught:
            store_of(here).deliver(target)
    assert SECRET not in str(caught.value)
    assert line.cuts > 1
    body = s3.client().get_object(Bucket=s3_bucket, Key="noria/reports/page.html")["Body"].read()
    assert body == b"old"
    assert "noria/staging/new.parquet" not in s3.keys(s3_bucket)
    line.up = None
    store_of(here).deliver(path)
    assert store_of(here).size(path) == 40 * _MIB


def test_a_connection_cut_in_mid_read_leaves_no_half_file(
    settings: Settings, s3: ObjectStorage, s3_bucket: str, line: Line, impatient: None
) -> None:
    writer = in_bucket(settings, s3.environment(s3_bucket))
    content = os.urandom(20 * _MIB)
    store_of(writer).deliver(write(writer, "landing/large.parquet", content))
    here = in_bucket(settings, s3.environment(s3_bucket, endpoint=line.endpoint))
    path = here.store / "landing/large.parquet"
    store = store_of(here)
    line.down = 2 * _MIB
    with pytest.raises(StoreAway, match=r"while reading landing/large\.parquet"):
        store.fetch(path)
    assert line.cuts > 1
    assert list(path.parent.iterdir()) == []
    line.down = None
    store.fetch(path)
    assert path.read_bytes() == content


def test_an_endpoint_that_is_away_is_tried_again_and_says_where(settings: Settings, impatient: None) -> None:
    variables = {
        "NORIA_STORE": "s3://somewhere/noria", "NORIA_STORE_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "NORIA_STORE_ALLOW_HTTP": "1", "NORIA_STORE_KEY": KEY, "NORIA_STORE_SECRET": SECRET,
    }  # fmt: skip
    began = time.monotonic()
    with pytest.raises(TryAgain, match=r"could not be reached.*NORIA_STORE_ENDPOINT") as caught:
        store_of(in_bucket(settings, variables))
    assert time.monotonic() - began < 30
    assert variables["NORIA_STORE_ENDPOINT"] in str(caught.value)
    assert not {KEY, SECRET} & set(str(caught.value).split())


def test_a_bucket_that_is_not_there_is_no_missing_file(settings: Settings, s3: ObjectStorage) -> None:
    with pytest.raises(StoreRefuses, match=r"there is no bucket nowhere-at-all\. Create the bucket"):
        store_of(in_bucket(settings, s3.environment("nowhere-at-all")))


def test_denied_access_is_never_tried_again_and_says_what_is_needed(settings: Settings, tmp_path: Path) -> None:
    with guarded_storage(tmp_path, "closed", allowed="s3:ListBucket") as (storage, key, secret):
        known = storage.environment("closed") | {"NORIA_STORE_KEY": key, "NORIA_STORE_SECRET": secret}
        here = in_bucket(settings, known)
        store = store_of(here)
        with pytest.raises(StoreRefuses, match="is denied: it needs GetObject, PutObject") as caught:
            store.deliver(write(here, "landing/a.csv"))
        assert secret not in str(caught.value)
        with pytest.raises(StoreRefuses, match="noria_store"):
            store.fetch(here.store / "landing/a.csv")
        stranger = in_bucket(settings, known | {"NORIA_STORE_SECRET": "wrong"})
        with pytest.raises(StoreRefuses, match="is denied") as caught:
            store_of(stranger)
        assert "wrong" not in str(caught.value).split()


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"NORIA_STORE": "gs://bucket/x"}, "a folder or s3://bucket/prefix"),
        ({"NORIA_STORE": "s3:///x"}, "Write it like s3://bucket/prefix"),
        ({"NORIA_STORE": "s3://b/../x"}, "Write it like s3://bucket/prefix"),
        ({"NORIA_STORE_KEY": "k"}, "NORIA_STORE_SECRET is not"),
        ({"NORIA_STORE_SECRET": "hush"}, "NORIA_STORE_KEY is not"),
        ({"NORIA_STORE_TOKEN": "hush"}, "Set all three, or none"),
        ({"NORIA_STORE_ENDPOINT": "http://s3.local"}, "NORIA_STORE_ALLOW_HTTP=true"),
        ({"NORIA_STORE_ENDPOINT": "s3.local"}, "no address of an S3 API"),
        ({"NORIA_STORE_ENDPOINT": "https://me:hush@s3.local"}, "no address of an S3 API"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(variables: dict[str, str], message: str) -> None:
    with pytest.raises(BadStore, match=message) as caught:
        Settings.from_environment({"NORIA_STORE": "s3://bucket/x"} | variables)
    assert isinstance(caught.value, Refused)
    assert "hush" not in str(caught.value)


def test_an_address_survives_the_way_through_the_environment_and_secrets_are_never_shown() -> None:
    variables = {
        "NORIA_STORE": "s3://bucket/some/where", "NORIA_STORE_ENDPOINT": "https://s3.local:9000",
        "NORIA_STORE_REGION": "eu-central-1", "NORIA_STORE_KEY": "my-key", "NORIA_STORE_SECRET": "my-secret",
        "NORIA_STORE_TOKEN": "my-token",
    }  # fmt: skip
    settings = Settings.from_environment(variables)
    assert settings.store_environment == variables
    assert settings.store_address == "s3://bucket/some/where"
    shown = repr(settings) + repr(store_of(replace(settings, bucket=None)).table(Path("/x")))
    assert not any(word in shown for word in ("my-key", "my-secret", "my-token"))
    assert settings.store.name.startswith(COPY_PREFIX)
    assert settings.store != Settings.from_environment(variables).store


def test_a_folder_is_a_folder(tmp_path: Path) -> None:
    settings = Settings.from_environment({"NORIA_STORE": str(tmp_path / "store")})
    assert settings.bucket is None
    assert settings.store_environment == {"NORIA_STORE": str(tmp_path / "store")}
    assert store_of(settings) == FolderStore(tmp_path / "store")


def test_the_copies_go_with_their_process_and_those_of_the_dead_with_the_next_one(
    s3: ObjectStorage, s3_bucket: str, tmp_path: Path
) -> None:
    code = (
        "import os, sys\n"
        "from include.settings import Settings\n"
        "from include.lake.store import store_of\n"
        "settings = Settings.from_environment()\n"
        "store_of(settings)\n"
        "print(settings.store, oct(settings.store.stat().st_mode & 0o777), flush=True)\n"
        "if sys.argv[1] == 'die': os.kill(os.getpid(), 9)\n"
    )
    environment = {**os.environ, **s3.environment(s3_bucket), "TMPDIR": str(tmp_path)}

    def run(how: str) -> tuple[Path, str]:
        done = subprocess.run([sys.executable, "-c", code, how], cwd=PROJECT, env=environment, check=False,
                              capture_output=True, text=True, timeout=60)  # fmt: skip
        path, mode = done.stdout.split()
        return Path(path), mode

    killed, mode = run("die")
    assert mode == "0o700"
    assert killed.is_dir()
    ended, _ = run("end")
    assert not ended.exists()
    assert not killed.exists()


def test_an_unsafe_path_is_still_none_of_the_store(process: Process) -> None:
    from include.lake.paths import from_store

    with pytest.raises(UnsafeName):
        from_store(process(), "../elsewhere")
