"""``python -m tests.kubernetes``: find or start the cluster, and build the images that its tests run.

Without a cluster it ends with 2 and says how to have one.
"""

from __future__ import annotations

import subprocess
import sys

from include.stack.images import PREFIX, build_images, find_builder
from tests.kubernetes.cluster import STARTER, NoCluster, find_cluster

IMAGES = ("steps", "serving")
TAG = "test"


def main() -> int:
    try:
        cluster = find_cluster()
    except NoCluster as error:
        print(error, file=sys.stderr)
        return 2
    print(f"The cluster is that of {cluster.kubeconfig}")
    base = STARTER / "base-image"
    if base.is_file():  # where no registry is reached
        subprocess.run([str(base)], check=True, stdout=subprocess.DEVNULL)
    build_images(IMAGES, tag=TAG, prefix=PREFIX, builder=find_builder(), more=(), say=print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
