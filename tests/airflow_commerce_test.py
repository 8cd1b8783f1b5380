"""The commerce DAGs in a real Airflow: on embedded stores and a local folder, and on real Kafka, MySQL and HDFS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from airflow_dag_test import DAGS, reports, run_dag

EVENTS = 3_000
SERVERS = ("HEADRACE_TEST_KAFKA", "HEADRACE_TEST_HDFS", "HEADRACE_TEST_MYSQL")
HEAVY = ("headrace._native", "headrace.commerce", "polars", "streamlit")

PARSE = """
import sys, time
import airflow.sdk
from airflow.sdk import Asset, BaseOperator, Param, TriggerRule, dag
started = time.process_time()
sys.path.insert(0, sys.argv[1])
import commerce
print(time.process_time() - started, sorted(set(sys.modules) & set(sys.argv[2:])))
"""

COUNT = """
import json, sys
from headrace import commerce
counters = commerce.counters(sys.argv[1])
print(json.dumps([counters["read"], counters["accepted"] + counters["duplicate"] + counters["dead_letter"]]))
"""


def days() -> list[str]:
    """The days that events of the last forty minutes may have."""
    now = datetime.now(timezone.utc)
    return sorted({time.date().isoformat() for time in (now - timedelta(minutes=50), now)})


def check_drained(found: dict[str, dict[str, object]], least: int) -> None:
    """What was simulated has been read, every event has its fate, and nothing that is counted twice differs."""
    drained = found["drain"]
    read = drained["read"]
    assert isinstance(read, int) and read >= least, drained
    assert read == sum(int(str(drained[name])) for name in ("written", "duplicate", "dead_lettered")), drained
    assert found["verify"]["outcome"] == "complete"


def check_day(conf: dict[str, object], connections: dict[str, str] | None = None) -> None:
    """The tables as files, and each day counted again from the archive with no difference."""
    rows = 0
    for day in days():
        code, output = run_dag(conf | {"date": day}, connections, "commerce_daily")
        assert code == 0, output
        found = reports()
        assert int(str(found["compact"]["read"])) > 0
        facts = found["recompute"]["facts"]
        assert isinstance(facts, dict) and facts["differences"] == 0
        rows += int(str(found["recompute"]["read"]))
    assert rows > 0


def test_parsing_loads_no_compiled_code() -> None:
    run = subprocess.run([sys.executable, "-c", PARSE, str(DAGS), *HEAVY], capture_output=True, text=True, check=True)
    seconds, heavy = run.stdout.splitlines()[-1].split(maxsplit=1)
    assert heavy == "[]"
    assert float(seconds) < 1


def test_the_embedded_defaults_a_second_run_and_the_day_counted_again(tmp_path: Path) -> None:
    store, archive = f"embedded:{tmp_path / 'store'}", f"file:{tmp_path / 'ecommerce'}"
    # A connection of the log, which is a parameter that may also name a file.
    connections = {"AIRFLOW_CONN_SHOP": json.dumps({"conn_type": "headrace", "host": store})}
    conf: dict[str, object] = {"log": "conn:shop", "store": store, "archive": archive, "events": EVENTS}
    code, output = run_dag(conf, connections, "commerce")
    assert code == 0, output
    found = reports()
    assert set(found) == {"create", "simulate", "drain", "verify"}
    check_drained(found, EVENTS)
    assert list((tmp_path / "ecommerce" / "orders").glob("fecha=*/*.parquet"))

    # Nothing new, and then again something: only that is counted.
    for events in (0, EVENTS):
        code, output = run_dag(conf | {"events": events}, connections, "commerce")
        assert code == 0, output
        found = reports()
        assert ("simulate" in found) == bool(events)
        check_drained(found, events)
        if not events:
            assert found["drain"]["read"] == 0
    read, told = json.loads(subprocess.check_output([sys.executable, "-c", COUNT, store], text=True))
    assert read == told >= 2 * EVENTS

    daily: dict[str, object] = {"store": store, "archive": archive}
    check_day(daily)
    assert (tmp_path / "ecommerce" / "tables" / "sales_per_minute.parquet").exists()
    # Yesterday is the default, and had no events unless it has just ended.
    code, output = run_dag(daily, dag="commerce_daily")
    assert code == 0, output


def test_a_wrong_day_and_a_log_without_topics_fail_at_once(tmp_path: Path) -> None:
    store = f"embedded:{tmp_path / 'store'}"
    conf: dict[str, object] = {"store": store, "archive": f"file:{tmp_path / 'ecommerce'}"}
    code, output = run_dag(conf, dag="commerce_daily")
    assert code != 0 and "headrace commerce stream" in output and "AirflowFailException" in output, output
    code, output = run_dag(conf | {"log": f"file:{tmp_path / 'events.jsonl'}"}, dag="commerce")
    assert code != 0 and "a file has no topics" in output and "AirflowFailException" in output, output


@pytest.mark.skipif(not all(name in os.environ for name in SERVERS), reason="set " + ", ".join(SERVERS))
def test_on_kafka_mysql_and_hdfs_through_connections() -> None:
    name = f"airflow_{uuid.uuid4().hex[:12]}"
    kafka, hdfs, mysql = (urlsplit(os.environ[variable]) for variable in SERVERS)
    broker = {"conn_type": "kafka", "extra": json.dumps({"bootstrap.servers": kafka.netloc})}
    connections = {"AIRFLOW_CONN_BROKER": json.dumps(broker), "AIRFLOW_CONN_WAREHOUSE": os.environ["HEADRACE_TEST_MYSQL"]}
    store = f"conn:warehouse/{mysql.path.strip('/')}/{name}"
    archive = f"hdfs://{hdfs.netloc}/{name}/ecommerce"
    conf: dict[str, object] = {"log": f"conn:broker/{name}", "store": store, "archive": archive}
    # Nothing is simulated into a broker unless somebody asks for it.
    code, output = run_dag(conf, connections, "commerce")
    assert code == 0, output
    found = reports()
    assert "simulate" not in found and found["verify"]["outcome"] == "complete"

    code, output = run_dag(conf | {"events": EVENTS}, connections, "commerce")
    assert code == 0, output
    found = reports()
    check_drained(found, EVENTS)
    facts = found["drain"]["facts"]
    assert isinstance(facts, dict) and str(facts["archive"]).startswith("hdfs:") and int(str(facts["archive_files_written"])) > 0
    check_day({"store": store, "archive": archive}, connections)
