"""The image of the step ``probe``: the project's own command line, small enough to be built by each test session."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from include.settings import PROJECT
from include.stack.images import find_builder
from tests.kubernetes.cluster import Cluster

IMAGE = "localhost/noria-probe:test"
PROGRAM = ("python", "/noria/probe_steps.py")
_PACKAGES = ("croniter", "pydantic", "pyyaml", "sqlglot")


def build_probe(cluster: Cluster) -> str:
    """Build the image, bring it to the cluster, and return its name."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        shutil.copytree(PROJECT / "include", context / "include", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT / "tests" / "plugins" / "probe_steps.py", context)
        packages = " ".join(f"{name}=={version(name)}" for name in _PACKAGES)
        text = (PROJECT / "tests" / "kubernetes" / "probe.Dockerfile").read_text().replace("PACKAGES", packages)
        (context / "Dockerfile").write_text(text)
        command = [*find_builder().command, "--tag", IMAGE, str(context)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    cluster.load(IMAGE)
    return IMAGE
