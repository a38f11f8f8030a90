"""One running stack for all end-to-end tests; stopped at the end, whatever happened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.line import Line


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The stack, set up as `make up` does it."""
    line = Line(tmp_path_factory.mktemp("line"))
    line.copy_project()
    started = line.command("up")
    assert started.returncode == 0, started.stdout + started.stderr
    yield line
    line.command("down")
