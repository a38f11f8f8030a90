"""Measurements of 569 breast tumors (Wisconsin, 1995, as scikit-learn ships them): one CSV file, without any time.

W. N. Street, W. H. Wolberg, O. L. Mangasarian, "Nuclear feature extraction for breast tumor diagnosis", 1993: of the
nuclei in a picture the mean, the standard error and the mean of the three worst of ten measurements. The shipped file
has no patients' numbers, so a sample is numbered by its place there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from include.datasets.landing import (
    Landed,
    Recipe,
    landed_before,
    note_landed,
    open_memory,
    package_file,
    replacing,
    sql_text,
)
from include.lake.store import Store

RECIPE: Final = Recipe("tumors", 1, "sklearn", "scikit-learn")
FILE: Final = "tumors.csv"
_MEASURED: Final = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave_points", "symmetry",
    "fractal_dimension",
)  # fmt: skip
MEASUREMENTS: Final = tuple(f"{kind}_{name}" for kind in ("mean", "error", "worst") for name in _MEASURED)


def land_tumors(store: Store, landing: Path, *, force: bool = False) -> Landed:
    """Write ``tumors.csv`` below ``landing``.

    :param force: write the file anew, also if it is there.
    :raises DatasetMissing: if the package with the data is not installed.
    """
    if not force and (before := landed_before(store, landing, RECIPE)):
        return before
    names = ", ".join(f"{sql_text(name)}: 'VARCHAR'" for name in (*MEASUREMENTS, "benign"))
    source = sql_text(package_file(RECIPE.package, "datasets/data/breast_cancer.csv"))
    # The first line holds the numbers of rows and columns and the names of the classes.
    rows = (
        f"SELECT row_number() OVER () AS sample, {', '.join(MEASUREMENTS)}, "  # nosec B608 # names of our own
        "CASE benign WHEN '0' THEN 'malignant' WHEN '1' THEN 'benign' END AS diagnosis "
        f"FROM read_csv({source}, auto_detect=false, delim=',', header=false, skip=1, columns={{{names}}})"
    )
    with open_memory() as connection, replacing(landing / FILE) as path:
        count: tuple[int] = connection.execute(f"COPY ({rows}) TO {sql_text(path)} (FORMAT csv, HEADER)").fetchall()[0]
    return note_landed(store, landing, RECIPE, {FILE: count[0]})
