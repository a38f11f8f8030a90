"""Where PySpark is: among the packages of this Python, as in the image steps-spark, or in a folder of its own.

``make spark`` puts it apart, since packages that find it use it: Great Expectations would import it in every gate, and
PySpark ends a process whose program has no file, such as an interactive one, if its own optional packages are missing.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = "spark"
"""Below the virtual environment."""


def make_importable() -> None:
    """Let this process, and the Python processes of executors, import PySpark from its folder."""
    folder = Path(sys.prefix) / FOLDER
    if importlib.util.find_spec("pyspark") is not None or not folder.is_dir():
        return
    sys.path.append(str(folder))
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*([known] if known else []), str(folder)])
