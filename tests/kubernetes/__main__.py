"""``python -m tests.kubernetes``: find or start the cluster, and build the images that its tests run.

Without a cluster, or without something that builds images, it ends with 2 and says how to have one.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from include.errors import NoriaError
from include.stack.images import PREFIX, build_images, find_builder
from tests.kubernetes.cluster import STARTER, NoCluster, find_cluster

IMAGES = ("steps", "serving")
TAG = "test"


def main() -> int:
    try:
        cluster = find_cluster()
        print(f"The cluster is that of {cluster.kubeconfig}", flush=True)
        base = STARTER / "base-image"
        if base.is_file():  # where no registry is reached
            subprocess.run([str(base)], check=True, stdout=subprocess.DEVNULL)
        build_images(IMAGES, tag=TAG, prefix=PREFIX, builder=find_builder(), more=(), say=partial(print, flush=True))
    except (NoCluster, NoriaError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
