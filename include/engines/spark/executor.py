"""``python -m include.engines.spark.executor``: the program of an executor's pod.

It becomes Java with what the driver, which is the step, has put into ``SPARK_*`` variables, as the start script of
Spark's own image does (``resource-managers/kubernetes``, ``entrypoint.sh``).
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from include.engines.spark.errors import EngineMissing
from include.engines.spark.java import NOT_THERE, OPTIONS, find_java

_BACKEND: Final = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
_OPTION: Final = re.compile(r"SPARK_JAVA_OPT_([0-9]+)")
_ARGUMENTS: Final = {
    "--driver-url": "SPARK_DRIVER_URL",
    "--executor-id": "SPARK_EXECUTOR_ID",
    "--cores": "SPARK_EXECUTOR_CORES",
    "--app-id": "SPARK_APPLICATION_ID",
    "--hostname": "SPARK_EXECUTOR_POD_IP",
    "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
    "--podName": "SPARK_EXECUTOR_POD_NAME",
}


def command(environment: Mapping[str, str], java: Path, jars: Path) -> list[str]:
    """The words with which Java becomes an executor.

    :param environment: of the pod.
    :param jars: folder of Spark's classes.
    """
    found = {int(match[1]): value for name, value in environment.items() if (match := _OPTION.fullmatch(name))}
    options = [found[number] for number in sorted(found) if found[number] != NOT_THERE]
    memory = environment["SPARK_EXECUTOR_MEMORY"]
    return [
        *(str(java), *options),
        *OPTIONS,
        *(f"-Xms{memory}", f"-Xmx{memory}", "-cp", f"{jars}/*", _BACKEND),
        *(word for argument, name in _ARGUMENTS.items() for word in (argument, environment[name])),
    ]


def main() -> None:
    """See the module."""
    package = importlib.util.find_spec("pyspark")
    if package is None or package.origin is None:
        raise EngineMissing("PySpark")
    words = command(os.environ, find_java(), Path(package.origin).parent / "jars")
    os.execv(words[0], words)  # nosec B606 # a program by its path


if __name__ == "__main__":
    main()
