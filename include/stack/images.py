"""Builds the images of docker/ with whichever builder this machine has: docker, podman or buildah."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from include.errors import NoriaError, Refused
from include.settings import PROJECT
from include.supply_chain.bill_of_materials import write_bills
from include.supply_chain.locks import project_version
from include.supply_chain.policy import read_policy

PREFIX: Final = "localhost/noria-"


@dataclass(frozen=True)
class Image:
    """How one image is made.

    :param dockerfile: its file in docker/.
    :param variant: name of the lock that is installed, where the Dockerfile leaves a choice.
    """

    dockerfile: str
    variant: str | None = None


IMAGES: Final[dict[str, Image]] = {
    "steps": Image("steps.Dockerfile"),
    "serving": Image("serving.Dockerfile"),
    "airflow": Image("airflow.Dockerfile"),
    "steps-gpu": Image("steps.Dockerfile", "steps-gpu"),
    "steps-spark": Image("steps.Dockerfile", "steps-spark"),
    "airflow-local": Image("airflow.Dockerfile", "airflow-local"),
}
CLUSTER: Final = ("steps", "serving", "airflow")
"""What a cluster needs, and what is built if nothing is named."""


class BuildFailed(NoriaError):
    """A builder ended with an error; it has said why itself."""

    def __init__(self, image: str, builder: str, code: int) -> None:
        self.image = image
        super().__init__(
            f"The image {image} was not built: {builder} ended with code {code}, and its last lines above say why. "
            "What was built before it is kept; the same command goes on from there."
        )


@dataclass(frozen=True)
class Builder:
    """A program that builds images from Dockerfiles.

    :param command: its words before those that all builders understand.
    """

    name: str
    command: tuple[str, ...]


BUILDERS: Final = (
    Builder("docker", ("docker", "build")),
    Builder("podman", ("podman", "build", "--layers", "--format", "docker")),
    # Neither namespaces nor a network of its own: it then builds inside containers and without root, too.
    Builder(
        "buildah",
        ("buildah", "build", "--layers", "--format", "docker", "--isolation", "chroot", "--network", "host"),
    ),
)


def find_builder(wanted: str | None = None) -> Builder:
    """The builder of that name, else the first that works here.

    :raises Refused: if there is none, or it does not work.
    """
    candidates = [builder for builder in BUILDERS if wanted in {None, builder.name}]
    for builder in candidates:
        if shutil.which(builder.name) and _works(builder):
            return builder
    names = " nor ".join(builder.name for builder in candidates) or f"{wanted!r}, which is no builder,"
    raise Refused(
        f"Images cannot be built: {'neither ' if len(candidates) > 1 else ''}{names} works here. Install one of them "
        "(Debian and Ubuntu: `apt-get install buildah`); for docker, its daemon must run too (`docker info`)."
    )


def _works(builder: Builder) -> bool:
    """The client of docker may be there without its daemon; the others need none."""
    return (
        builder.name != "docker" or not subprocess.run(("docker", "info"), capture_output=True, check=False).returncode
    )


@dataclass(frozen=True, kw_only=True)
class Build:
    """One call of a builder.

    :param version: of the project, for the image's labels.
    :param revision: the commit, for the image's labels.
    :param more: words that the builder gets as they are, such as ``--secret`` or ``--no-cache``.
    """

    image: str
    tag: str
    version: str
    revision: str
    prefix: str = PREFIX
    more: Sequence[str] = field(default=())

    @property
    def name(self) -> str:
        """The image's full name."""
        return f"{self.prefix}{self.image}:{self.tag}"

    def words(self, builder: Builder) -> list[str]:
        """The command."""
        made = IMAGES[self.image]
        arguments = {"VARIANT": made.variant, "VERSION": self.version, "REVISION": self.revision}
        return [
            *(*builder.command, "--tag", self.name, "--file", str(PROJECT / "docker" / made.dockerfile)),
            *(word for key, value in arguments.items() if value for word in ("--build-arg", f"{key}={value}")),
            *(*self.more, str(PROJECT)),
        ]


def build_images(
    names: Sequence[str],
    *,
    tag: str | None,
    prefix: str,
    builder: Builder,
    more: Sequence[str],
    bills: Path,
    say: Callable[[str], None],
) -> list[str]:
    """Build images one after the other and return their full names.

    :param names: keys of :data:`IMAGES`.
    :param tag: the project's version if None.
    :param bills: folder in which each image's bill of materials is written.
    :raises Refused: if a name is none of ours.
    :raises BuildFailed: if a build fails.
    """
    unknown = sorted(set(names) - IMAGES.keys())
    if unknown:
        raise Refused(f"There is no image named {', '.join(unknown)}. The images are: {', '.join(IMAGES)}.")
    version, revision = project_version(), git_revision()
    built = []
    for image in names:
        build = Build(
            image=image, tag=tag or version, version=version, revision=revision, prefix=prefix, more=tuple(more)
        )
        (bill,) = write_bills(bills, read_policy().licences, version, [image])
        say(f"Building {build.name} with {builder.name}; its bill of materials: {bill}")
        code = subprocess.run(build.words(builder), cwd=PROJECT, check=False).returncode
        if code:
            raise BuildFailed(build.name, builder.name, code)
        built.append(build.name)
    return built


def git_revision() -> str:
    """The commit, with ``-dirty`` if the work tree differs from it; ``unknown`` outside a repository."""
    found = subprocess.run(
        ("git", "-C", str(PROJECT), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"),
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"
