"""The page of a deployment, written when it ends. For people only: that it fails never makes a step fail."""

from __future__ import annotations

import logging

from include.steps.protocol import StepCall
from include.steps.rollout import Rollout

log = logging.getLogger(__name__)


def report_deployment(call: StepCall, rollout: Rollout) -> str | None:
    """Write the page of a deployment and return its path in the store; None, with a warning, if that fails."""
    from include.reports.deployment_page import write_deployment_page

    try:
        page = write_deployment_page(call.settings, rollout.model, rollout.deployment)
    except Exception as error:  # noqa: BLE001 - the deployment itself has ended well or badly without its page
        log.warning("the page of %s could not be written: %s: %s", rollout.deployment, type(error).__name__, error)
        return None
    log.info("the page of %s: %s/%s", rollout.deployment, call.settings.store_address, page)
    return page
