"""What the steps prepare, assemble and train do with their engine, in one pod; prints what came of it as JSON.

``python spark_driver.py MODEL AS_OF ROWS_AT_ONCE``; everything else is in the pod's environment.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from include.engines.engine import open_engine
from include.features.staging import FeaturesStage
from include.gates.suite import load_suite
from include.lake.pieces import piece_paths
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.loader import find_definition
from include.training import training_set
from include.training.candidates import train_candidates
from include.training.matrices import encode_part
from include.training.part_on_disk import PartOnDisk
from include.training.run import prepare_job


def main() -> None:
    """See the module."""
    model, as_of, at_once = sys.argv[1], datetime.fromisoformat(sys.argv[2]), int(sys.argv[3])
    settings = Settings.from_environment()
    definition = find_definition(settings, model)
    training_set.ROWS_AT_ONCE = at_once
    raw = LakeTable(settings, model, "raw")
    suite = load_suite(settings, model, "features").digest
    with open_engine(settings, definition) as engine:
        stage = FeaturesStage(settings, definition, "on-the-cluster", suite)
        staged = stage.stage(sorted(raw.partitions()), raw, {}, force=True, workers=engine.workers)
        made = training_set.assemble_training_set(settings, definition, as_of, engine.workers)
        job = prepare_job(settings, definition, as_of, made.reference(settings), engine.machines)
        features = job.description["features"]
        validation = PartOnDisk(piece_paths(job.directory, "validation"), settings.home)
        trained = train_candidates(
            definition,
            features,
            encode_part(job.train, features),
            encode_part(validation, features),
            machines=job.machines,
        ).trained
    with tempfile.TemporaryDirectory() as folder:
        trained.estimator.save(Path(folder))
        digest = hashlib.sha256((Path(folder) / "model.ubj").read_bytes()).hexdigest()
    print(
        json.dumps(
            {
                "checksums": {one.key: one.checksum for one in staged},
                "rows": made.rows,
                "files": sorted(path.name for path in made.directory.glob("*.parquet")),
                "auc": trained.curves["validation"]["auc"][trained.best_round - 1],
                "model": digest,
            }
        )
    )


if __name__ == "__main__":
    main()
