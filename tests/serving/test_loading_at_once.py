"""Versions that are loaded at the same time: MLflow keeps the model that it reads in one global place."""

from __future__ import annotations

import itertools
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from include.serving.loaded import load_packaged
from tests.serving.engine import save_model
from tests.serving.live import GOOD_ROW


def test_versions_loaded_at_once_each_keep_their_own_answers(tmp_path: Path) -> None:
    folders = [Path(save_model(tmp_path, seed).model_uri.removeprefix("file://")) for seed in (1, 2, 3)]
    alone = [load_packaged(folder).predict_rows([GOOD_ROW]) for folder in folders]
    assert len({tuple(answer) for answer in alone}) == 3
    order = list(itertools.islice(itertools.cycle(range(3)), 24))
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            loaded = list(pool.map(lambda number: load_packaged(folders[number]), order))
    finally:
        sys.setswitchinterval(switching)
    assert [model.predict_rows([GOOD_ROW]) for model in loaded] == [alone[number] for number in order]
