"""An auth manager that lets each team see and act on the DAGs of its own models only."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.configuration import conf

from include.settings import Settings
from include.spec.ownership import ownership_of

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
    from airflow.api_fastapi.auth.managers.models.resource_details import AssetDetails, DagAccessEntity, DagDetails

_SECTION, _KEY = "noria", "teams"
_OWNER_ONLY: Final = 0o600


@cache
def _models() -> Path:
    """Folder of the definitions; a process keeps its settings."""
    return Settings.from_environment().models


class TeamAccess:
    """To be put before an auth manager's class: what that one allows, and only on DAGs of the user's teams' models.

    The owner of a model's definition may do what the user's role allows, its readers may look. DAGs that are no
    model's, or whose definition is gone or does not say whose it is, are for administrators.
    """

    def teams_of(self, user: Any) -> Collection[str]:
        """The teams of a user: by ``[noria] teams``, ``name:team|team`` separated by commas, as it is now.

        A house whose auth manager knows its users' groups overrides this.
        """
        for entry in conf.getlist(_SECTION, _KEY, fallback=[]):
            name, _, teams = entry.partition(":")
            if name.strip() == user.get_name():
                return {team.strip() for team in teams.split("|")}
        return ()

    def sees_all(self, user: Any) -> bool:
        """Whether the user is an administrator, to whom teams do not apply."""
        return bool(user.role) and user.role.upper() == "ADMIN"

    def is_authorized_dag(
        self,
        *,
        method: ResourceMethod,
        user: Any,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        """Whether the user may do this to a DAG; asked about none in particular, to some. Lists are filtered by DAG."""
        allowed = super().is_authorized_dag(  # type: ignore[misc]
            method=method, user=user, access_entity=access_entity, details=details
        )
        if not allowed or details is None or details.id is None:
            return bool(allowed)
        return self.sees_all(user) or self._is_for(details.id, method, set(self.teams_of(user)))

    def filter_authorized_dag_ids(
        self, *, dag_ids: set[str], user: Any, method: ResourceMethod = "GET", team_name: str | None = None
    ) -> set[str]:
        """The same for many DAGs at once: the user's teams are looked up once, others' DAGs left out."""
        if not self.sees_all(user):
            teams = set(self.teams_of(user))
            dag_ids = {dag_id for dag_id in dag_ids if self._is_for(dag_id, method, teams)}
        found = super().filter_authorized_dag_ids(  # type: ignore[misc]
            dag_ids=dag_ids, user=user, method=method, team_name=team_name
        )
        return set(found)

    def is_authorized_asset(self, *, method: ResourceMethod, user: Any, details: AssetDetails | None = None) -> bool:
        """Everybody may see the assets' names; events, which start whatever DAGs wait for them, administrators make."""
        allowed = super().is_authorized_asset(method=method, user=user, details=details)  # type: ignore[misc]
        return bool(allowed) and (method == "GET" or self.sees_all(user))

    def _is_for(self, dag_id: str, method: ResourceMethod, teams: set[str]) -> bool:
        model, dot, _ = dag_id.partition(".")
        ownership = ownership_of(_models(), model) if dot else None
        if ownership is None:
            return False
        return ownership.owner in teams or (method == "GET" and not ownership.readers.isdisjoint(teams))


class TeamAuthManager(TeamAccess, SimpleAuthManager):
    """Airflow's own simple auth manager with teams; passwords are not printed, and their file is the owner's only."""

    def init(self) -> None:
        """As Airflow's own; a password that it makes goes to its file and not to the log."""
        if not conf.getboolean("core", "simple_auth_manager_all_admins"):
            path = Path(self.get_generated_password_file())
            path.touch(mode=_OWNER_ONLY)
            path.chmod(_OWNER_ONLY)
        super().init()

    @staticmethod
    def _print_output(output: str) -> None:
        what, is_password, _ = output.partition("Password for user ")
        shown = f"A password was made; it is in {SimpleAuthManager.get_generated_password_file()}"
        SimpleAuthManager._print_output(shown if is_password else what)
