"""In a peer's own environment: the packaged model, from its MLflow folder."""

from __future__ import annotations

import os
from typing import Any


def load() -> Any:
    """The packaged model's object; ``predict_rows`` takes JSON rows."""
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(os.environ["BENCH_MODEL"]).unwrap_python_model()
