"""# Recruitment campaign performance

Takes the tracking log of a job-advertising site to an hourly table of clicks, spend and applications by job, publisher, campaign and
group. Each task is one step of Headrace:

1. `simulate` makes the two files, unless both are given;
2. `load` brings the tracking CSV into the raw store, `jobs` the job CSV into the dimension;
3. `replay` sends the raw rows to the topic;
4. `clean` counts the messages into the hourly table, joined with the companies;
5. `verify` recounts everything and says what is missing, doubled or different.

Every task is safe to repeat: rows and positions are committed together, so a retry goes on where the failed try was, and a second run
with the same files changes nothing. With its defaults the DAG needs no server and no file. Mark a task as failed, or clear it, at any
time: it stops with its position committed.

**Backfill**: set *From* and *Until* to replay only these days. Rows that were sent before are not sent again. `verify` is skipped
then, because it would miss the other days; the next run without days does it.

**Stores** are URLs: `embedded:DIRECTORY`, `cassandra://…/KEYSPACE/TABLE`, `kafka://…/TOPIC`, `mysql://…/DATABASE/TABLE`. Keep passwords
in Airflow connections and write `conn:ID` or `conn:ID/PATH`, for example `conn:warehouse/spark_stream/result`; the path stands for the
database and table, or the topic.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, Param, TriggerRule, dag
from airflow.sdk.exceptions import AirflowSkipException

from headrace.airflow.operators.recruitment import (
    RecruitmentCleanOperator,
    RecruitmentJobsOperator,
    RecruitmentLoadOperator,
    RecruitmentReplayOperator,
    RecruitmentSimulateOperator,
    RecruitmentVerifyOperator,
)

EMBEDDED = "embedded:/tmp/headrace/store"
RESULT = Asset("recruitment_result")
"""Has an event after each commit of a run of `clean`; `recruitment_report` waits for it."""


def store_param(what: str, title: str) -> Param:
    """A store URL in the form."""
    return Param(EMBEDDED, type="string", minLength=1, title=title, description=f"{what}, or conn:ID/PATH", section="Stores")


def day_param(title: str, description: str) -> Param:
    """A day in the form, which may stay empty."""
    return Param(None, type=["null", "string"], format="date", title=title, description=description, section="Days to replay (backfill)")


PARAMS = {
    "tracking": Param(None, type=["null", "string"], title="Tracking CSV", description="Path of tracking.csv; simulated if empty"),
    "jobs": Param(None, type=["null", "string"], title="Job CSV", description="Path of job.csv; simulated if empty"),
    "rows": Param(10_000, type="integer", minimum=1, title="Rows to simulate", description="Used when a file is not given"),
    "seed": Param(
        1,
        type="integer",
        minimum=0,
        title="Seed of the simulation",
        description="The same rows and seed make the same files; for more or other data take another seed",
    ),
    "directory": Param("/tmp/headrace/files", type="string", title="Directory of simulated files", description="Made if missing"),
    "raw": store_param("cassandra://HOST/KEYSPACE/TABLE or embedded:DIRECTORY", "Raw store"),
    "log": store_param("kafka://HOST/TOPIC or embedded:DIRECTORY", "Log"),
    "dimension": store_param("mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY", "Job dimension"),
    "result": store_param("mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY", "Result"),
    "since": day_param("From", "First day to replay (UTC); from the first event if empty"),
    "until": day_param("Until", "Day before which replay ends (UTC); to the last event if empty"),
}


def skip_with_files(context: dict[str, Any]) -> None:
    """Skips the simulation when both files are given."""
    if context["params"]["tracking"] and context["params"]["jobs"]:
        raise AirflowSkipException("both files are given")


def skip_with_days(context: dict[str, Any]) -> None:
    """Skips the comparison when only some days were replayed."""
    if context["params"]["since"] or context["params"]["until"]:
        raise AirflowSkipException("only some days were replayed, verify would miss the others")


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
    raw, log, dimension, result = ("{{ params.%s }}" % name for name in ("raw", "log", "dimension", "result"))
    simulate = RecruitmentSimulateOperator(
        task_id="simulate",
        directory="{{ params.directory }}",
        rows="{{ params.rows }}",
        seed="{{ params.seed }}",
        pre_execute=skip_with_files,
    )
    load = RecruitmentLoadOperator(
        task_id="load",
        file="{{ params.tracking or params.directory ~ '/tracking.csv' }}",
        to=raw,
        trigger_rule=TriggerRule.NONE_FAILED,
    )
    jobs = RecruitmentJobsOperator(
        task_id="jobs",
        file="{{ params.jobs or params.directory ~ '/job.csv' }}",
        to=dimension,
        trigger_rule=TriggerRule.NONE_FAILED,
    )
    replay = RecruitmentReplayOperator(
        task_id="replay", from_=raw, to=log, since="{{ params.since or '' }}", until="{{ params.until or '' }}"
    )
    clean = RecruitmentCleanOperator(task_id="clean", from_=log, jobs=dimension, to=result, outlets=[RESULT])
    verify = RecruitmentVerifyOperator(task_id="verify", raw=raw, log_=log, result=result, pre_execute=skip_with_days)

    simulate >> load >> replay >> clean >> verify
    simulate >> jobs >> clean


recruitment()
