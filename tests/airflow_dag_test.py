"""The DAGs in a real Airflow: parsed, run to their end with `airflow dags test`, on embedded stores and on real servers."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest

DAGS = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
DATABASE = Path(os.environ["AIRFLOW_HOME"]) / "airflow.db"
ROWS = 3_000
SERVERS = ("HEADRACE_TEST_CASSANDRA", "HEADRACE_TEST_KAFKA", "HEADRACE_TEST_MYSQL")

PARSE = """
import sys, time
import airflow.sdk
from airflow.sdk import BaseOperator, Param, dag
started = time.process_time()
sys.path.insert(0, sys.argv[1])
import recruitment, recruitment_report
seconds = time.process_time() - started
heavy = [name for name in sys.modules if name.startswith(("headrace._native", "openlineage"))]
print(seconds, heavy)
"""

JOBS = """
import logging, sys
logging.basicConfig(level=0)
from headrace.airflow.connections import store_url
from headrace.airflow.operators.recruitment import RecruitmentJobsOperator
print("passwords in the URL:", store_url("conn:warehouse/d/job").count(sys.argv[2]), flush=True)
RecruitmentJobsOperator(task_id="jobs", file=sys.argv[1], to="conn:warehouse/d/job").execute({})
"""


def run_dag(conf: dict[str, object], environment: dict[str, str] | None = None, dag: str = "recruitment") -> tuple[int, str]:
    """Runs the DAG; exit code and everything that was printed."""
    line = ["airflow", "dags", "test", dag, "--conf", json.dumps(conf)]
    run = subprocess.run(line, capture_output=True, text=True, env=os.environ | (environment or {}), timeout=600)
    return run.returncode, run.stdout + run.stderr


def reports() -> dict[str, dict[str, object]]:
    """The report of each task in the last run, from the database."""
    with sqlite3.connect(DATABASE) as database:
        last = "(SELECT run_id FROM dag_run ORDER BY id DESC LIMIT 1)"
        query = f"SELECT task_id, value FROM xcom WHERE run_id = {last} AND key = 'return_value'"
        found = {}
        for task, value in database.execute(query):
            while isinstance(value, (str, bytes)):
                value = json.loads(value)
            found[task] = value
    return found


def check(found: dict[str, dict[str, object]], rows: int = ROWS) -> None:
    """Every task did its whole work, and the counts go together."""
    assert {"load", "jobs", "replay", "clean", "verify"} <= set(found)
    assert {report["outcome"] for report in found.values()} == {"complete"}
    assert found["load"]["read"] == found["load"]["written"] == found["replay"]["written"] == found["clean"]["read"] == rows


def test_parsing_is_quick_and_loads_no_compiled_code() -> None:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(DAGS)
    assert not bag.import_errors
    assert set(bag.dags) == {"commerce", "commerce_daily", "recruitment", "recruitment_report", "scoring", "scoring_train"}
    for dag in bag.dags.values():
        assert dag.doc_md and dag.tags and all(param.description for param in map(dag.params.get_param, dag.params))
    run = subprocess.run([sys.executable, "-c", PARSE, str(DAGS)], capture_output=True, text=True, check=True)
    seconds, heavy = run.stdout.splitlines()[-1].split(maxsplit=1)
    assert heavy == "[]"
    assert float(seconds) < 1


def test_embedded_defaults_and_a_second_run(tmp_path: Path) -> None:
    store = f"embedded:{tmp_path / 'store'}"
    conf: dict[str, object] = {"rows": ROWS, "directory": str(tmp_path / "files")}
    conf |= dict.fromkeys(("raw", "log", "dimension", "result"), store)
    code, output = run_dag(conf)
    assert code == 0, output
    check(reports())

    # Again, with somebody who keeps the lineage.
    events = tmp_path / "lineage.jsonl"
    transport = json.dumps({"type": "file", "log_file_path": str(events), "append": True})
    code, output = run_dag(conf, {"AIRFLOW__OPENLINEAGE__TRANSPORT": transport})
    assert code == 0, output
    found = reports()
    assert found["verify"]["outcome"] == "complete" and found["clean"]["read"] == 0
    lineage = {}
    for event in map(json.loads, events.read_text().splitlines()):
        if event["eventType"] == "COMPLETE" and event["job"]["name"].startswith("recruitment."):
            lineage[event["job"]["name"]] = [[one["name"] for one in event[side]] for side in ("inputs", "outputs")]
    database = f"{tmp_path}/store/headrace.sqlite"
    assert lineage["recruitment.load"] == [[f"{tmp_path}/files/tracking.csv"], [f"{database}#tracking"]]
    assert lineage["recruitment.replay"] == [[f"{database}#tracking"], [f"{database}#users_created"]]
    assert lineage["recruitment.clean"] == [[f"{database}#users_created", f"{database}#job"], [f"{database}#result"]]
    assert len(lineage["recruitment.verify"][0]) == 3 and not lineage["recruitment.verify"][1]


def test_a_backfill_by_date_and_then_the_rest(tmp_path: Path) -> None:
    conf: dict[str, object] = dict.fromkeys(("raw", "log", "dimension", "result"), f"embedded:{tmp_path / 'store'}")
    conf |= {"rows": ROWS, "directory": str(tmp_path / "files")}
    code, output = run_dag(conf | {"since": "2022-07-02", "until": "2022-07-05"})
    assert code == 0, output
    found = reports()
    some = found["clean"]["read"]
    assert isinstance(some, int) and 0 < some < ROWS / 5 and "verify" not in found
    code, output = run_dag(conf)
    assert code == 0, output
    found = reports()
    assert (found["clean"]["read"], found["verify"]["outcome"]) == (ROWS - some, "complete")


def test_given_files_are_used_and_wrong_ones_fail_at_once(tmp_path: Path) -> None:
    conf: dict[str, object] = dict.fromkeys(("raw", "log", "dimension", "result"), f"embedded:{tmp_path / 'store'}")
    conf |= {"tracking": str(tmp_path / "absent.csv"), "jobs": str(tmp_path / "absent-too.csv")}
    code, output = run_dag(conf)
    assert code != 0 and "absent.csv" in output and "AirflowFailException" in output
    assert "UP_FOR_RETRY" not in output.upper().replace(" ", "_")


@pytest.mark.skipif(not all(name in os.environ for name in SERVERS), reason="set " + ", ".join(SERVERS))
def test_real_servers_through_connections(tmp_path: Path) -> None:
    name = f"airflow_{uuid.uuid4().hex[:12]}"
    cassandra, kafka, mysql = (urlsplit(os.environ[variable]) for variable in SERVERS)
    broker = {"conn_type": "kafka", "extra": json.dumps({"bootstrap.servers": kafka.netloc})}
    connections = {
        "AIRFLOW_CONN_RAW": json.dumps({"conn_type": "cassandra", "host": cassandra.hostname, "port": cassandra.port}),
        "AIRFLOW_CONN_BROKER": json.dumps(broker),
        "AIRFLOW_CONN_WAREHOUSE": os.environ["HEADRACE_TEST_MYSQL"],
    }
    database = mysql.path.strip("/")
    conf: dict[str, object] = {"rows": ROWS, "directory": str(tmp_path / "files")}
    conf |= {"raw": f"conn:raw/{name}/tracking", "log": f"conn:broker/{name}"}
    conf |= {"dimension": f"conn:warehouse/{database}/{name}_job", "result": f"conn:warehouse/{database}/{name}"}
    code, output = run_dag(conf, connections)
    assert code == 0, output
    check(reports())

    # The same file again from the beginning, by mapped tasks.
    folder = {"AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "airflow_dags")}
    parts = {"raw": f"conn:raw/{name}/parts", "log": f"conn:broker/{name}_parts", "dimension": conf["dimension"]}
    parts |= {"result": f"conn:warehouse/{database}/{name}_parts"}
    parts |= {"tracking": str(tmp_path / "files/tracking.csv"), "jobs": str(tmp_path / "files/job.csv")}
    for rows in (ROWS, 0):
        code, output = run_dag(parts, connections | folder, "headrace_parts")
        assert code == 0, output
        found = reports()
        assert (found["clean"]["read"], found["verify"]["outcome"]) == (rows, "complete")
        facts = found["verify"]["facts"]
        assert facts["raw rows"] == facts["topic messages"] == ROWS and facts["topic doubled"] == 0


def test_a_connections_password_is_never_shown(tmp_path: Path) -> None:
    canary = secrets.token_hex(8)
    connections = {"AIRFLOW_CONN_WAREHOUSE": f"mysql://app:{canary}@127.0.0.1:1/d"}
    (tmp_path / "job.csv").write_text("id,company_id\n1,1\n")
    line = [sys.executable, "-c", JOBS, str(tmp_path / "job.csv"), canary]
    run = subprocess.run(line, capture_output=True, text=True, env=os.environ | connections)
    assert run.returncode != 0 and "ExternalError" in run.stderr, run.stderr
    assert "passwords in the URL: 1" in run.stdout, run.stdout + run.stderr
    assert canary not in run.stderr + run.stdout
