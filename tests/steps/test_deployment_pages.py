"""The page of a deployment is written when it ends, whichever way; without it the deployment ends all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.reports import deployment_page
from include.settings import Settings
from include.steps.withdraw import NotDeployed
from tests.serving.live import free_port
from tests.serving.world import tracking_url
from tests.steps.deployments import DeploymentRun, make_champion, put_version, standing

__all__ = ["tracking_url"]
pytestmark = pytest.mark.database


@pytest.fixture
def run(stored_settings: Settings, tracking_url: str) -> DeploymentRun:
    """Version 1 is champion, version 2 is in shadow."""
    settings = replace(stored_settings, tracking_url=tracking_url, server_url=f"http://127.0.0.1:{free_port()}")
    make_champion(settings, 1)
    run = DeploymentRun(settings, put_version(settings, 2))
    run.step("deploy")
    run.step("stage", stage="shadow")
    return run


def test_a_promotion_writes_the_page_and_a_retry_finds_it(run: DeploymentRun) -> None:
    done, again = (run.step("promote", wait_seconds=0) for _ in range(2))
    assert done["page"] == again["page"]
    assert "Version 2 became champion in place of version 1" in (run.settings.store / done["page"]).read_text()


def test_the_page_of_an_approved_version_names_the_approver(run: DeploymentRun) -> None:
    run.step("ask")
    run.step("stage", stage="canary_10", approved_by="Bea", note="looks right")
    page = run.settings.store / run.step("promote", wait_seconds=0, approved_by="Bea", note="looks right")["page"]
    assert "Approved by</dt><dd>Bea<" in page.read_text()


def test_a_withdrawal_names_the_page(run: DeploymentRun) -> None:
    for _ in range(2):
        with pytest.raises(NotDeployed, match=r"on the page reports/\w+/deployment-.*\.html in the store") as caught:
            run.step("withdraw", failed=["await_shadow"])
        assert caught.value.page is not None
        assert "taken out of shadow" in (run.settings.store / caught.value.page).read_text()


def test_a_page_that_cannot_be_written_keeps_nothing_from_ending(
    run: DeploymentRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr(deployment_page, "write_deployment_page", fail)
    assert run.step("promote", wait_seconds=0)["page"] is None
    assert standing(run.settings) == (2, None)
    assert "no space left on device" in caplog.text
