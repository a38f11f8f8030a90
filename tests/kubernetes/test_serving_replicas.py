"""The inference server in a real cluster, two replicas of it: hardened, in step with the state, its log complete."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest

from include.registry import stages, state
from include.settings import Settings
from tests.kubernetes.kubectl import Environment, Kubectl, make_secrets, manifests, namespaces, until
from tests.serving.engine import PLAN
from tests.serving.live import GOOD_ROW, Logged, deploy, log_model, register
from tests.serving.load import ClosedLoop, Load, Template
from tests.serving.log_world import logged

pytestmark = pytest.mark.kubernetes
BODIES = [orjson.dumps({"rows": [{**GOOD_ROW, "n": number}]}) for number in range(9)]
CONNECTIONS = 8
SWITCHED_SECONDS = 2.0


@pytest.fixture(scope="module")
def environment(kubectl: Kubectl, serving_image: str, steps_image: str, postgres_image: str) -> Iterator[Environment]:
    """The overlay for old clusters, as it is, with the Secrets of the project's own script."""
    with namespaces(kubectl, "serving") as made:
        kubectl("apply", "--filename", "-", given=manifests(made.name))
        said = make_secrets(made)
        assert made.token() not in said
        made.wait()
        yield made


@dataclass
class World:
    """The environment with two registered versions, the first of them deployed.

    :param settings: how the machine reaches everything.
    :param models: what is logged in MLflow, by version.
    """

    environment: Environment
    settings: Settings
    models: dict[int, Logged] = field(default_factory=dict)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.settings.server_token}"}

    def ask(self, address: str, path: str = "/models/m") -> dict[str, Any]:
        answer = httpx.get(f"http://{address}:8090{path}", headers=self.headers(), trust_env=False, timeout=5)
        return dict(answer.json())

    def addresses(self) -> list[str]:
        """Of the replicas, not of their Service."""
        return sorted(pod["status"]["podIP"] for pod in self.environment.replicas().values())

    def load(self) -> ClosedLoop:
        more = ("Content-Type: application/json", f"Authorization: Bearer {self.settings.server_token}")
        return ClosedLoop(Template(self.settings.server_url, "/models/m/predict", more), BODIES)


@pytest.fixture(scope="module")
def world(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("machine")
    made = World(environment, environment.settings(folder / "home"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed in (1, 2, 3):
            model = log_model(made.settings, folder, seed)
            made.models[register(made.settings, model)] = model
    deploy(made.settings, 1)
    for address in made.addresses():
        until(lambda at=address: made.ask(at).get("version") == 1, 60, f"{address} does not serve version 1")
    return made


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def starts(environment: Environment) -> dict[str, tuple[str, int]]:
    """Which pods there are, and how often their containers were started."""
    return {
        name: (pod["metadata"]["uid"], sum(one["restartCount"] for one in pod["status"]["containerStatuses"]))
        for name, pod in environment.replicas().items()
    }


def test_two_replicas_answer_alike_and_only_with_a_token(world: World) -> None:
    assert list(world.environment.replicas()) == ["noria-serving-0", "noria-serving-1"]
    answers = []
    for host in [*world.addresses(), world.environment.address("noria-serving")]:
        address = f"http://{host}:8090/models/m/predict"
        body = {"rows": [GOOD_ROW]}
        assert httpx.post(address, json=body, trust_env=False).status_code == 401
        answer = httpx.post(address, json=body, headers=world.headers(), trust_env=False)
        assert (answer.status_code, answer.headers["X-Noria-Version"]) == (200, "1")
        answers.append(answer.json()["predictions"])
    assert answers[0] == answers[1] == answers[2]


def test_nothing_in_the_environment_is_root_or_writes_its_root(environment: Environment) -> None:
    users = {"noria-serving-0": "10001", "noria-serving-1": "10001", "noria-postgres-0": "999"}
    pods = environment.kubectl.get("pods", "--namespace", environment.name)["items"]
    [mlflow] = [pod["metadata"]["name"] for pod in pods if pod["metadata"]["name"].startswith("noria-mlflow-")]
    for pod, user in {**users, mlflow: "10001"}.items():

        def inside(*words: str, pod: str = pod) -> tuple[int, str]:
            done = environment.kubectl.run("exec", pod, "--namespace", environment.name, "--", *words)
            return done.returncode, done.stdout + done.stderr

        assert inside("id", "-u") == (0, f"{user}\n")
        for place in ("/written", "/usr/written", "/etc/written"):
            code, said = inside("touch", place)
            assert code != 0
            assert "Read-only file system" in said, (pod, place)
        status = dict(line.split(":", 1) for line in inside("cat", "/proc/1/status")[1].splitlines() if ":" in line)
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0, pod
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Seccomp"].strip() == "2"
        assert inside("ls", "/var/run/secrets/kubernetes.io")[0] != 0, "no token of any account"


def test_replicas_follow_a_switch_within_two_seconds_and_none_is_restarted(world: World) -> None:
    before, addresses = starts(world.environment), world.addresses()
    took = []
    for version in (2, 3):
        begin(world.settings, version)
        for address in addresses:  # a version is verified on every replica before it becomes champion
            until(lambda at=address, wanted=version: holds(world, at, wanted), 60, f"{address} does not load {version}")
        took += measured(world, addresses, version, partial(promote, world.settings, version))
        took += measured(world, addresses, 1, partial(deploy, world.settings, 1, force=True))
    print(f"seconds until a replica served what was deployed: {sorted(round(one, 2) for one in took)}")
    assert len(took) == 8
    assert max(took) < SWITCHED_SECONDS
    assert starts(world.environment) == before


def holds(world: World, address: str, version: int) -> bool:
    roles = world.ask(address)["roles"].values()
    return any((one["version"], one["status"]) == (version, "serving") for one in roles)


def begin(settings: Settings, version: int) -> None:
    stages.enter_stage(
        settings, "m", version, role="canary", share=0.01, plan=PLAN, until=datetime.now(UTC) + timedelta(hours=1),
        deployment=f"deployment-{version}", actor="ana", reason="test",
    )  # fmt: skip


def promote(settings: Settings, version: int) -> None:
    stages.promote_challenger(
        settings, "m", version, deployment=f"deployment-{version}", actor="ana", reason="test", force=True
    )


def measured(world: World, addresses: list[str], version: int, switch: Callable[[], None]) -> list[float]:
    """Seconds from the switch until each replica answers with the version; every request on the way is answered."""
    switch()
    ask = partial(seconds_until, world, version=version, since=time.monotonic())
    with ThreadPoolExecutor(len(addresses)) as pool:
        return list(pool.map(ask, addresses))


def seconds_until(world: World, address: str, version: int, since: float) -> float:
    url = f"http://{address}:8090/models/m/predict"
    with httpx.Client(headers=world.headers(), trust_env=False, timeout=10) as client:
        while True:
            answer = client.post(url, json={"rows": [GOOD_ROW]})
            assert answer.status_code == 200, answer.text
            if answer.headers["X-Noria-Version"] == str(version):
                return time.monotonic() - since
            assert time.monotonic() < since + 60
            time.sleep(0.02)


class Loaded:
    """A load in a thread of its own."""

    def __init__(self, loop: ClosedLoop) -> None:
        self._loop = loop
        self._thread = threading.Thread(target=lambda: asyncio.run(loop.run(CONNECTIONS)), daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        until(lambda: len(self._loop.load.answered) > 500, 60, "the load does not come up")
        return self._loop.load

    def __exit__(self, *_: object) -> None:
        self._loop.stop()
        self._thread.join(timeout=60)


def test_a_replica_killed_under_load_costs_its_open_requests_and_its_log_is_complete(world: World) -> None:
    environment = world.environment
    before = starts(environment)
    with Loaded(world.load()) as load:
        killed_at = time.time()
        os.kill(first_process(environment, "noria-serving-0"), signal.SIGKILL)
        until(lambda: starts(environment) != before, 60, "nothing was killed")
        until(lambda: all(map(is_ready, environment.replicas().values())), 120, "the replica does not come back")
        since = len(load.answered)
        until(lambda: len(load.answered) > since + 500, 60, "the load does not go on")
    uid, restarts = starts(environment)["noria-serving-0"]
    assert (uid, restarts) == (before["noria-serving-0"][0], before["noria-serving-0"][1] + 1)
    assert load.statuses().keys() <= {200, 0}, "nobody was refused"
    under_way = [one for one in load.lost if "Connect" not in one.problem]
    assert len(under_way) <= CONNECTIONS, "a request that was under way, once for each connection"
    refused = [one for one in load.lost if "Connect" in one.problem]
    assert all(one.started - killed_at < 15 for one in refused), "until the Service has forgotten the replica"
    check_log(world, load, extra=1)


def first_process(environment: Environment, pod: str) -> int:
    """The process id, on this machine, of the process that a pod's container consists of."""
    uid = environment.replicas()[pod]["metadata"]["uid"]
    inside = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "include.serving" in (process.info["cmdline"] or ()) and uid in _groups(process.pid)
    ]
    first = [process for process in inside if process.ppid() not in {other.pid for other in inside}]
    assert len(first) == 1, "the pod does not run on this machine"
    return int(first[0].pid)


def _groups(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text().replace("_", "-")
    except FileNotFoundError:
        return ""


def check_log(world: World, load: Load, *, extra: int) -> None:
    """Every answered request is in the table once, and hardly any other."""
    answered = {one.request_id for one in load.answered}
    prefix = next(iter(answered)).rpartition("-")[0]
    assert len(answered) == len(load.answered) > 1000

    def found() -> Counter[str]:
        return Counter(name for name in logged(world.settings, "request_id") if name.startswith(prefix))

    until(lambda: answered <= found().keys(), 90, "answered requests are not in the table", pause=2)
    counted = found()
    assert [name for name, times in counted.items() if times > 1] == []
    assert len(counted.keys() - answered) <= extra


def test_a_rollout_under_load_loses_nothing_and_leaves_no_log_behind(world: World) -> None:
    environment = world.environment
    place = ("--namespace", environment.name)
    before = starts(environment)
    with Loaded(world.load()) as load:
        environment.kubectl("rollout", "restart", "statefulset/noria-serving", *place)
        environment.kubectl("rollout", "status", "statefulset/noria-serving", *place, "--timeout", "240s")
    after = starts(environment)
    assert {name: uid for name, (uid, _) in after.items()}.keys() == before.keys()
    assert all(after[name][0] != before[name][0] for name in before), "both are new"
    assert load.statuses().keys() == {200}, [one.problem for one in load.sent if one.status != 200][:5]
    check_log(world, load, extra=0)


def test_a_replica_that_leaves_for_good_has_brought_its_log_into_the_tables(world: World) -> None:
    environment = world.environment
    place = ("--namespace", environment.name)
    environment.kubectl("delete", "horizontalpodautoscaler", "noria-serving", *place)
    with Loaded(world.load()) as load:
        environment.kubectl("scale", "statefulset/noria-serving", *place, "--replicas", "1")
        until(lambda: list(environment.replicas()) == ["noria-serving-0"], 120, "the second replica does not leave")
    left = environment.folder / "home" / "noria-serving-1" / "home" / "serving" / "log"
    assert [path.name for path in left.iterdir() if path.suffix in {".open", ".closed"}] == []
    assert load.statuses().keys() == {200}
    check_log(world, load, extra=0)
    environment.kubectl("scale", "statefulset/noria-serving", *place, "--replicas", "2")
    environment.wait()


def test_without_the_database_replicas_stay_ready_and_answer(world: World) -> None:
    environment = world.environment
    place = ("--namespace", environment.name)
    before = starts(environment)
    try:
        environment.kubectl("scale", "statefulset/noria-postgres", *place, "--replicas", "0")
        until(lambda: bool(world.ask(world.addresses()[0], "/models")["database_error"]), 60, "nobody misses it")
        for _ in range(5):
            time.sleep(1)
            assert all(map(is_ready, environment.replicas().values()))
            for address in world.addresses():
                assert seconds_until(world, address, 1, time.monotonic()) < 5
    finally:
        environment.kubectl("scale", "statefulset/noria-postgres", *place, "--replicas", "1")
        environment.wait()
    until(lambda: not world.ask(world.addresses()[0], "/models")["database_error"], 60, "it does not come back")
    assert starts(environment) == before
    champion = state.champion(world.settings, "m")
    assert champion is not None
    assert champion.version == 1, "PostgreSQL has kept its data"
