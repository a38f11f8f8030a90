"""The one message for an API server that says no, or nothing at all."""

from __future__ import annotations

import json

from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client.rest import ApiException
from kubernetes.config import ConfigException

from plugins.operators.pods.api import brief
from plugins.operators.pods.cluster import CONNECTION, Cluster
from plugins.operators.pods.words import Step


def refusal(error: Exception, step: Step, cluster: Cluster) -> AirflowException:
    """What the task raises for an error of the client; final if trying again cannot help."""
    if isinstance(error, ConfigException):
        return AirflowFailException(f"The connection {CONNECTION} leads to no cluster: {brief(error)}")
    if not isinstance(error, ApiException):
        return AirflowException(f"The cluster of the connection {CONNECTION} does not answer: {brief(error)}")
    text = _said(error)
    if error.status == 403 and "exceeded quota" in text:
        return AirflowException(f"The namespace {cluster.namespace} has no room left for the step {step.name}: {text}")
    if error.status == 403:
        return AirflowFailException(
            f"Airflow may not do this in the cluster: {text}. The role in docker/kubernetes has what it needs."
        )
    if error.status in (400, 404, 422):
        return AirflowFailException(
            f"The cluster refuses the pod of the step {step.name}: {text}. Correct the section pods of "
            f"include/models/{step.model}.yaml, the pod template, or the connection {CONNECTION}."
        )
    return AirflowException(f"The cluster of the connection {CONNECTION} cannot be asked: {text}")


def _said(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return brief(error)
