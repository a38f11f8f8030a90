"""``python -m tests.kubernetes``: find or start the cluster of the tests, and what builds their images.

Without a cluster, or without something that builds images, it ends with 2 and says how to have one.
"""

from __future__ import annotations

import sys

from include.errors import NoriaError
from include.stack.images import find_builder
from tests.kubernetes.cluster import NoCluster, find_cluster


def main() -> int:
    try:
        cluster, builder = find_cluster(), find_builder()
        print(f"The cluster is that of {cluster.kubeconfig}; images are built with {builder.name}", flush=True)
    except (NoCluster, NoriaError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
