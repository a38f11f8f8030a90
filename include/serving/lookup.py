"""A model, its champion or a version by number in what is served now, or the refusal that says why there is none."""

from __future__ import annotations

from include.serving.table import Held, Served, Table
from include.serving.validation import RequestRefused


def find(table: Table, name: str) -> Served:
    """A model by name.

    :raises RequestRefused: 404 if it was never deployed, 503 if the server does not know yet what is deployed.
    """
    served = table.models.get(name)
    if served is not None:
        return served
    if not table.known:
        raise RequestRefused(503, "The deployment state is not known yet. Try again; /models says what is wrong.")
    names = ", ".join(sorted(table.models)) or "none"
    raise RequestRefused(404, f"There is no deployed model of this name. Deployed are: {names}.")


def champion(served: Served) -> Held:
    """What holds the champion's role.

    :raises RequestRefused: 404 or 410 if the model is not in production.
    """
    name = served.state.model
    if served.status == "retired":
        raise RequestRefused(410, f"The model {name} was retired at {served.state.retired_at} and no longer answers.")
    if served.status == "none":
        raise RequestRefused(404, f"The model {name} has no champion: nothing is in production.")
    return served.roles["champion"]


def named(served: Served, version: str) -> tuple[str, Held]:
    """The role and the version that a caller names.

    :raises RequestRefused: 404 if it holds no role, 410 if the model is retired.
    """
    name = served.state.model
    if served.status == "retired":
        raise RequestRefused(410, f"The model {name} was retired at {served.state.retired_at} and no longer answers.")
    role = served.role_of(int(version)) if version.isascii() and version.isdecimal() and len(version) < 10 else None
    if role is None:
        known = ", ".join(f"{held.deployed.version} ({role})" for role, held in served.roles.items()) or "none"
        raise RequestRefused(404, f"This version of {name} is not deployed. Deployed are: {known}.")
    return role, served.roles[role]
