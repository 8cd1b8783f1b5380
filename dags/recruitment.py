"""# Recruitment campaign performance

Takes the tracking log of a job-advertising site to an hourly table of clicks, spend and applications by job, publisher, campaign and
group. Each task is one step of `headrace`:

`simulate` (only when no file is given) → `load` (CSV → raw store) and `jobs` (job.csv → dimension) → `replay` (raw store → topic)
→ `clean` (topic → hourly table) → `verify` (recounts everything and says what is missing, doubled or different).

Every task is safe to repeat: rows and positions are committed together, so a retry goes on where the failed try was, and a second run
with the same files changes nothing. With its defaults the DAG needs no server and no file.

**Stores** are URLs: `embedded:DIRECTORY`, `cassandra://…/KEYSPACE/TABLE`, `kafka://…/TOPIC`, `mysql://…/DATABASE/TABLE`. Keep passwords
in Airflow connections and write `conn:ID` or `conn:ID/PATH`, for example `conn:warehouse/spark_stream/result`; the path stands for the
database and table, or the topic.
"""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from airflow.sdk import Connection, Param, TriggerRule, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

EMBEDDED = "embedded:/tmp/headrace/store"


def store_param(what: str, title: str) -> Param:
    """A store URL in the form."""
    return Param(EMBEDDED, type="string", minLength=1, title=title, description=f"{what}, or conn:ID/PATH", section="Stores")


PARAMS = {
    "tracking": Param(None, type=["null", "string"], title="Tracking CSV", description="Path of tracking.csv; simulated if empty"),
    "jobs": Param(None, type=["null", "string"], title="Job CSV", description="Path of job.csv; simulated if empty"),
    "rows": Param(10_000, type="integer", minimum=1, title="Rows to simulate", description="Used when a file is not given"),
    "directory": Param("/tmp/headrace/files", type="string", title="Directory of simulated files", description="Made if missing"),
    "raw": store_param("cassandra://HOST/KEYSPACE/TABLE or embedded:DIRECTORY", "Raw store"),
    "log": store_param("kafka://HOST/TOPIC or embedded:DIRECTORY", "Log"),
    "dimension": store_param("mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY", "Job dimension"),
    "result": store_param("mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY", "Result"),
}


def store_url(value: str) -> str:
    """The URL itself, or the one that `conn:ID` or `conn:ID/PATH` stands for. Holds the password: never log it."""
    if not value.startswith("conn:"):
        return value
    connection_id, _, path = value.removeprefix("conn:").partition("/")
    connection = Connection.get(connection_id)
    options = dict(connection.extra_dejson)
    # The Kafka connection type has its brokers in the extra.
    brokers = options.pop("bootstrap.servers", None)
    host = brokers or (f"{connection.host}:{connection.port}" if connection.port else connection.host or "")
    login = quote(connection.login, safe="") if connection.login else ""
    if login and connection.password:
        login += f":{quote(connection.password, safe='')}"
    place = path or quote(connection.schema or "", safe="")
    url = f"{connection.conn_type}://{login + '@' if login else ''}{host}/{place}"
    return f"{url}?{urlencode(options)}" if options else url


def run_step(name: str, *arguments: str, **values: Any) -> dict[str, Any]:
    """Runs a step and returns its report. SIGTERM (mark failed, clear) stops it with its position committed."""
    import headrace

    token = headrace.CancellationToken()
    before = signal.signal(signal.SIGTERM, lambda *_: token.cancel())
    try:
        report = getattr(headrace.recruitment, name)(*arguments, **values, token=token)
    except (headrace.ConfigError, headrace.DataError) as error:
        # Trying again does not help; a headrace.ExternalError is retried like any other.
        raise AirflowFailException(str(error)) from error
    finally:
        signal.signal(signal.SIGTERM, before)
    return report.to_dict()


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["headrace", "recruitment"],
    doc_md=__doc__,
)
def recruitment() -> None:
    """Connects the steps."""

    @task
    def simulate(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Simulates the files, unless both are given."""
        if params["tracking"] and params["jobs"]:
            raise AirflowSkipException("both files are given")
        return run_step("simulate", params["directory"], rows=params["rows"])

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def load(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Loads the tracking CSV into the raw store."""
        return run_step("load", params["tracking"] or f"{params['directory']}/tracking.csv", to=store_url(params["raw"]))

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def jobs(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Loads the job CSV into the dimension."""
        return run_step("jobs", params["jobs"] or f"{params['directory']}/job.csv", to=store_url(params["dimension"]))

    @task
    def replay(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Sends every raw row to the topic, once."""
        return run_step("replay", from_=store_url(params["raw"]), to=store_url(params["log"]))

    @task
    def clean(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Aggregates the topic into the hourly table, up to the end it has now."""
        log, dimension, result = (store_url(params[name]) for name in ("log", "dimension", "result"))
        return run_step("clean", from_=log, jobs=dimension, to=result)

    @task
    def verify(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compares raw store, topic and result; fails on any difference."""
        raw, log, result = (store_url(params[name]) for name in ("raw", "log", "result"))
        report = run_step("verify", raw=raw, log=log, result=result)
        if report["outcome"] != "complete":
            raise AirflowFailException(f"the result differs: {report['facts']} {report['notes']}")
        return report

    files, dimension = simulate(), jobs()
    files >> load() >> replay() >> (cleaned := clean())
    files >> dimension >> cleaned >> verify()


recruitment()
