"""Takes an Airflow that just started through what a new user does: `trigger.py ADDRESS SETTINGS [options]`.

Imports connections and variables from airflow_settings.yaml, as the astro command does, then triggers the DAG `recruitment`
over REST: with its defaults (embedded store), and with `--stores` on those that the variables name. Exit code 1 if a run fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
PATIENCE_SECONDS = 1800


class Airflow:
    """The REST API of an Airflow whose every visitor is an administrator."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.token = ""
        self.wait_until_healthy()
        self.token = self.call("GET", "/auth/token")["access_token"]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request; its answer's JSON."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        with OPENER.open(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def wait_until_healthy(self) -> None:
        """Waits for every daemon's heartbeat."""
        end = time.monotonic() + PATIENCE_SECONDS
        state: object = None
        while time.monotonic() < end:
            try:
                state = self.call("GET", "/api/v2/monitor/health")
                if all(part.get("status") == "healthy" for part in state.values()):
                    return
            except (OSError, ValueError) as error:
                state = error
            time.sleep(2)
        raise TimeoutError(f"Airflow is not healthy: {state}")

    def import_settings(self, path: Path) -> dict[str, str]:
        """Creates the connections and variables of airflow_settings.yaml; the variables."""
        settings = yaml.safe_load(path.read_text())["airflow"]
        for connection in settings["connections"]:
            body = {name.removeprefix("conn_"): value for name, value in connection.items()}
            body = {"connection_id": body.pop("id"), "conn_type": body.pop("type"), **body}
            self.call("POST", "/api/v2/connections", body)
        variables = {one["variable_name"]: one["variable_value"] for one in settings["variables"]}
        for name, value in variables.items():
            self.call("POST", "/api/v2/variables", {"key": name, "value": value})
        return variables

    def wait_for_dag(self, dag: str) -> None:
        """Waits until the DAG is parsed, and lets it run."""
        end = time.monotonic() + 120
        while True:
            try:
                self.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})
                return
            except urllib.error.HTTPError as error:
                if error.code != 404 or time.monotonic() > end:
                    raise
            time.sleep(2)

    def run(self, dag: str, conf: dict[str, object]) -> bool:
        """Triggers a run, waits for its end and prints what became of its tasks; whether it succeeded."""
        started = time.monotonic()
        run = self.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"]
        state = "queued"
        while state not in ("success", "failed") and time.monotonic() < started + PATIENCE_SECONDS:
            time.sleep(1)
            state = self.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")["state"]
        print(f"{dag} {run}: {state} after {time.monotonic() - started:.0f} s")
        for task in self.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]:
            print(f"  {task['task_id']:<12} {task['state']}")
        return state == "success"


def main() -> int:
    """One run, or both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("settings", type=Path)
    parser.add_argument("--rows", type=int, required=True, help="rows to simulate")
    parser.add_argument("--stores", action="store_true", help="a second run on the stores of the settings")
    parser.add_argument("--directory", help="of the embedded store and the simulated files, instead of the DAG's default")
    options = parser.parse_args()

    airflow = Airflow(options.address)
    variables = airflow.import_settings(options.settings)
    airflow.wait_for_dag("recruitment")
    stores = {name.removeprefix("recruitment_"): value for name, value in variables.items()}
    embedded: dict[str, object] = {"rows": options.rows}
    if options.directory:
        embedded |= {"directory": options.directory + "/files", **dict.fromkeys(stores, f"embedded:{options.directory}/store")}
    runs = [embedded]
    if options.stores:
        runs.append({"rows": options.rows, **stores})
    return 0 if all([airflow.run("recruitment", conf) for conf in runs]) else 1


if __name__ == "__main__":
    sys.exit(main())
