"""The example notebook, executed from a clean copy by a kernel of its own."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from include.settings import PROJECT

pytestmark = [pytest.mark.database, pytest.mark.by_turns]

EXAMPLE = PROJECT / "include" / "notebook" / "examples" / "tumor_malignant.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    folder = tmp_path_factory.mktemp("kernel")
    notebook = nbformat.read(EXAMPLE, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORIA_HOME", str(folder / "home"))
        patch.setenv("PYTHONPATH", str(PROJECT))
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(folder / name.lower()))
        NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(folder))
    assert not list(folder.glob("mlruns")), "MLflow's files belong to the private home"
    return notebook


def shown(notebook: NotebookNode, source: str) -> str:
    """What the one cell that holds this text has shown."""
    [cell] = [cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source]
    return "\n".join(output.get("text") or output["data"]["text/plain"] for output in cell.outputs)


def test_the_example_is_committed_without_outputs() -> None:
    cells = nbformat.read(EXAMPLE, as_version=4).cells

    assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code")


def test_a_step_alone_gives_what_the_whole_training_then_reuses(executed: NotebookNode) -> None:
    assert shown(executed, "first = model.train") == "(1, 'promote', True)"


def test_the_example_shows_its_versions_and_their_comparison(executed: NotebookNode) -> None:
    assert "Version 2 against version 1 on 1" in shown(executed, "model.compare")
    assert "log_loss" in shown(executed, "model.compare")
    assert shown(executed, "model.predict").count("0.") == 3


def test_no_cell_of_the_example_warns(executed: NotebookNode) -> None:
    printed = [output.get("text", "") for cell in executed.cells for output in cell.get("outputs", [])]

    assert [text for text in printed if "Warning" in text or "WARNING" in text] == []
