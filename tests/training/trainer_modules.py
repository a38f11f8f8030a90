"""Trainer modules as a team would write them, as source."""

from __future__ import annotations

# Means of the label by a feature's sign: needs nothing but numpy.
BY_SIGN = """
import json
import numpy as np

class BySign:
    def __init__(self, low, high):
        self.low, self.high = low, high

    def predict(self, matrix):
        return np.where(matrix[:, 0] > 12, self.high, self.low)

def train(job):
    high, labels = job.train.matrix[:, 0] > 12, job.train.labels
    return BySign(float(labels[~high].mean()), float(labels[high].mean()) * job.params.get("times", 1))

def save(model, folder):
    (folder / "means.json").write_text(json.dumps([model.low, model.high]))

def load(folder):
    return BySign(*json.loads((folder / "means.json").read_text()))
"""

# An MLflow flavour: scikit-learn's random forest, kept without a pickle.
FOREST = """
import mlflow.sklearn
import numpy as np

TRUSTED = ["sklearn.tree._tree.Tree"]

REQUIREMENTS = ["scikit-learn==1.9.1"]

class Forest:
    def __init__(self, forest):
        self.forest = forest

    def predict(self, matrix):
        return self.forest.predict_proba(matrix)[:, 1]

def train(job):
    from sklearn.ensemble import RandomForestClassifier
    forest = RandomForestClassifier(n_estimators=5, max_depth=4, random_state=job.seed)
    return forest.fit(job.train.matrix, job.train.labels)

def save(model, folder):
    mlflow.sklearn.save_model(
        model, folder, serialization_format="skops", skops_trusted_types=TRUSTED, pip_requirements=["scikit-learn"]
    )

def load(folder):
    return Forest(mlflow.sklearn.load_model(str(folder)))
"""
