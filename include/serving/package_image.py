"""A model version as an image of its own, for places without registry or network: edge devices, behind an air gap.

``python -m include.serving.package_image <model> [<version>] --to <folder>`` writes what an image is built from: the
version's files, held against their registered digest, the deployment state that makes it the champion, and a
Dockerfile on top of the serving image. The server that runs in it asks neither database nor MLflow.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from include.errors import NoriaError, Refused
from include.registry.deployed import DeployedVersion, ModelState, champion
from include.registry.refusals import VersionBarred
from include.registry.versions import ModelVersion, get_version
from include.serving.artifacts import download, folder_of
from include.serving.memory import write_states
from include.serving.source import MODELS, STATE
from include.settings import Settings

FOLDER: Final = "deployment"
DEFAULT_BASE: Final = "localhost/noria-serving:0.1.0"
_BASE: Final = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]*")
_DOCKERFILE: Final = """\
# {model} version {version} and the server, in one image. Made by include.serving.package_image; needs no network.
FROM {base}
COPY {folder} /{folder}
CMD ["python", "-m", "include.serving", "--host", "0.0.0.0", "--port", "8090", "--deployment", "/{folder}"]
LABEL org.opencontainers.image.title="noria-{model}" \\
    org.opencontainers.image.description="{model} version {version} as of {as_of}, with Noria's inference server" \\
    org.opencontainers.image.version="{version}" \\
    noria.artifact.digest="sha256:{digest}"
"""


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """A folder that an image can be built from.

    :param name: a name for the image.
    """

    folder: Path
    version: ModelVersion
    name: str


def package(settings: Settings, model: str, version: int | None, folder: Path, *, base: str = DEFAULT_BASE) -> Packaged:
    """Write the folder; it appears whole or not at all.

    :param version: the champion if None.
    :param folder: must not exist, or be empty.
    :param base: the serving image that it is put on.
    :raises Refused: the folder holds something, there is no such version or no champion, or the version is barred.
    :raises ArtifactAway: MLflow does not give the files.
    :raises ArtifactCorrupt: MLflow's files are not what was registered.
    :raises VersionUntrusted: the version is not signed as it should be.
    :raises DatabaseAway: the database cannot be reached.
    """
    if not _BASE.fullmatch(base):
        raise Refused(f"{base!r} is no name of an image. Write it like {DEFAULT_BASE}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder} holds something already. Name a folder that does not exist yet.")
    found = get_version(settings, model, version if version is not None else _champion(settings, model))
    if found.status == "barred":
        raise VersionBarred(model, found.version)
    deployed = _as_champion(found)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as made:
        part = Path(made) / "image"
        files = part / FOLDER / MODELS / folder_of(deployed)
        files.parent.mkdir(parents=True)
        shutil.move(download(settings, deployed, Path(made)), files)
        state = ModelState(model=model, revision=1, retired_at=None, roles={"champion": deployed})
        write_states(part / FOLDER / STATE, {model: state})
        (part / "Dockerfile").write_text(_dockerfile(found, base), encoding="utf-8")
        _readable(part)
        os.replace(part, folder)
    return Packaged(folder=folder, version=found, name=f"localhost/noria-{model.replace('_', '-')}:{found.version}")


def _champion(settings: Settings, model: str) -> int:
    found = champion(settings, model)
    if found is None:
        raise Refused(f"{model} has no champion. Name the version: python -m include.registry history {model}")
    return found.version


def _as_champion(found: ModelVersion) -> DeployedVersion:
    """Only facts of the version itself, no clock: the same version gives the same folder."""
    return DeployedVersion(
        model=found.model,
        role="champion",
        version=found.version,
        share=1.0,
        since=found.created_at,
        revision=1,
        fingerprint=found.fingerprint,
        run_id=found.run_id,
        as_of=found.as_of,
        artifact_digest=found.artifact_digest,
        model_uri=found.model_uri,
        windows=found.windows,
        decision=found.decision,
        signature=found.signature,
        signer=found.signer,
    )


def _dockerfile(found: ModelVersion, base: str) -> str:
    return _DOCKERFILE.format(
        model=found.model,
        version=found.version,
        as_of=found.as_of.isoformat(),
        digest=found.artifact_digest,
        base=base,
        folder=FOLDER,
    )


def _readable(folder: Path) -> None:
    """For every user id that the container may run as."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m include.serving.package_image",
        description="Writes a folder from which an image is built that serves one version with nothing else reachable.",
    )
    parser.add_argument("model")
    parser.add_argument("version", type=int, nargs="?", help="its number (default: the champion)")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="folder to write; must not exist yet")
    parser.add_argument("--base", default=DEFAULT_BASE, help=f"the serving image (default: {DEFAULT_BASE})")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        made = package(Settings.from_environment(), options.model, options.version, options.to, base=options.base)
    except NoriaError as error:
        print(f"✗ {error}", file=sys.stderr)
        return error.exit_code
    print(f"{made.version.model} version {made.version.version} is in {made.folder}. Build its image with one of:")
    for builder in ("docker build", "podman build", "buildah build --isolation chroot"):
        print(f"  {builder} -t {made.name} {made.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
