"""The command that builds the images, with builders that only write down how they were called."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import pytest

from include.errors import Refused
from include.settings import PROJECT
from include.stack.__main__ import main
from include.stack.images import (
    BUILDERS,
    CLUSTER,
    IMAGES,
    Build,
    Builder,
    BuildFailed,
    build_images,
    find_builder,
    git_revision,
)
from include.supply_chain.locks import project_version


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH but for the system's own tools, none of which builds images."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("git", "sh"):
        found = next(path for path in map(Path, os.environ["PATH"].split(":")) if (path / tool).exists())
        (folder / tool).symlink_to(found / tool)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write_builder(programs: Path, name: str, *, code: int = 0, info: int = 0) -> Path:
    """A builder that notes its words, one a line, and ends with a code; ``docker info`` ends with another."""
    calls = programs / f"{name}.calls"
    program = programs / name
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = info ]; then exit {info}; fi\nfor word in "$@"; do echo "$word"; done >> {calls}\n'
        f"exit {code}\n"
    )
    program.chmod(0o755)
    return calls


def test_first_builder_that_works_is_taken(programs: Path) -> None:
    with pytest.raises(Refused, match=r"neither docker nor podman nor buildah works here.*apt-get install buildah"):
        find_builder()
    write_builder(programs, "buildah")
    assert find_builder().name == "buildah"
    write_builder(programs, "docker", info=1)
    assert find_builder().name == "buildah", "docker's client is there, its daemon is not"
    write_builder(programs, "docker", info=0)
    assert find_builder().name == "docker"
    assert find_builder("buildah").name == "buildah"
    with pytest.raises(Refused, match="podman works here"):
        find_builder("podman")


@pytest.mark.parametrize("builder", BUILDERS, ids=[builder.name for builder in BUILDERS])
def test_every_builder_gets_file_tag_labels_and_context(builder: Builder, programs: Path, tmp_path: Path) -> None:
    calls = write_builder(programs, builder.name)
    (name,) = build_images(
        ["steps-gpu"],
        tag="t",
        prefix="registry.example/noria-",
        builder=builder,
        more=["--no-cache"],
        bills=tmp_path / "sbom",
        say=print,
    )
    assert '"nvidia-nccl-cu12"' in (tmp_path / "sbom" / "steps-gpu.cdx.json").read_text()
    assert name == "registry.example/noria-steps-gpu:t"
    words = calls.read_text().splitlines()
    assert words[0] == "build"
    for option, value in (
        ("--tag", name),
        ("--file", str(PROJECT / "docker" / "steps.Dockerfile")),
        ("--build-arg", "VARIANT=steps-gpu"),
        ("--build-arg", f"VERSION={project_version()}"),
        ("--build-arg", f"REVISION={git_revision()}"),
        ("--no-cache", str(PROJECT)),
    ):
        assert (option, value) in itertools.pairwise(words)
    assert words[-1] == str(PROJECT)


def test_images_are_those_of_the_folder() -> None:
    assert {image.dockerfile for image in IMAGES.values()} == {
        path.name for path in PROJECT.glob("docker/*.Dockerfile")
    }
    for name, image in IMAGES.items():
        lock = image.variant or name
        assert (PROJECT / "docker" / f"{lock}.lock").is_file()
    assert set(CLUSTER) < IMAGES.keys()
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", git_revision())
    build = Build(image="steps", tag="1", version="1", revision="r")
    assert "VARIANT=" not in " ".join(build.words(BUILDERS[0]))


def test_failed_build_ends_the_command_and_names_the_image(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NORIA_HOME", str(tmp_path))
    calls = write_builder(programs, "buildah", code=3)
    with pytest.raises(BuildFailed, match=r"localhost/noria-steps:t was not built: buildah ended with code 3"):
        build_images(
            ["steps", "serving"],
            tag="t",
            prefix="localhost/noria-",
            builder=find_builder(),
            more=(),
            bills=tmp_path / "sbom",
            say=print,
        )
    assert calls.read_text().splitlines().count("build") == 1
    assert main(["images", "--tag", "t"]) == BuildFailed.exit_code
    assert "was not built" in capsys.readouterr().err


def test_command_builds_what_a_cluster_needs_and_prints_the_names(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NORIA_HOME", str(tmp_path))
    write_builder(programs, "buildah")
    assert main(["images", "--tag", "t"]) == 0
    assert {path.name for path in (tmp_path / "sbom").iterdir()} == {f"{name}.cdx.json" for name in CLUSTER}
    printed = capsys.readouterr().out.splitlines()
    assert printed[-3:] == [f"localhost/noria-{name}:t" for name in CLUSTER]
    assert main(["images", "nonsense"]) == Refused.exit_code
