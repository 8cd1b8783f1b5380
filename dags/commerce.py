"""# Shop events: sales, funnel and archive

Two DAGs. **`commerce`** brings what the topics hold into tables and archive:

1. `create` makes topics, tables and the archive's folder, where they are missing;
2. `simulate` sends events, but only where nothing else does: into an embedded log, or if *Events to simulate* is filled in;
3. `drain` takes what the topics hold, from its committed positions to their end: every event is counted once, whatever is retried;
4. `verify` compares everything that is counted twice, and fails if it is not the same.

**`commerce_daily`** runs once a day:

1. `compact` brings what still waits into the archive, and the tables as Parquet files beside it, each replaced at once;
2. `recompute` counts a day again from the archive, and fails if the tables say something else: yesterday, or the day in the form.
   Tick *Correct the tables* to mend them; not while `drain` works on events of that day.

With their defaults both need no server. `commerce` has no schedule: give it one (`*/5 * * * *`), or let a stream follow the topics
with `headrace commerce stream --follow`. The dashboard shows both: `headrace dashboard commerce`.

**Stores** are URLs, or `conn:ID` and `conn:ID/PATH` for Airflow connections, which keep the passwords.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, Param, TriggerRule, dag
from airflow.sdk.exceptions import AirflowSkipException

from headrace.airflow.operators.commerce import (
    CommerceCompactOperator,
    CommerceCreateOperator,
    CommerceRecomputeOperator,
    CommerceSimulateOperator,
    CommerceStreamOperator,
    CommerceVerifyOperator,
)

EMBEDDED = "embedded:/tmp/headrace/store"
ARCHIVE = "file:/tmp/headrace/ecommerce"
SIMULATED = 10_000
TABLES = Asset("commerce_tables")
"""Has an event after each commit of a run of `drain`."""
LAKE = Asset("commerce_archive")
"""Has an event after each run of `compact`."""
ARGUMENTS: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=10)}


def place_param(default: str, what: str, title: str) -> Param:
    """A store URL in the form."""
    return Param(default, type="string", minLength=1, title=title, description=what, section="Stores")


PLACES = {
    "store": place_param(
        EMBEDDED, "mysql://USER@HOST/DATABASE or embedded:DIRECTORY, or conn:ID/PATH", "Tables, state and positions"
    ),
    "archive": place_param(ARCHIVE, "file:DIRECTORY, hdfs://HOST/PATH or s3://BUCKET/PREFIX", "Archive"),
}
DRAIN_PARAMS = {
    "log": place_param(EMBEDDED, "kafka://HOST or embedded:DIRECTORY, or conn:ID", "Log"),
    **PLACES,
    "events": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        title="Events to simulate",
        description=f"If empty, {SIMULATED:,} into an embedded log and none elsewhere; 0 sends none",
    ),
    "close_windows": Param(
        False, type="boolean", title="Close open minutes", description="When all is drained: later orders of these minutes are late"
    ),
}
DAILY_PARAMS = {
    **PLACES,
    "date": Param(None, type=["null", "string"], format="date", title="Day to count again", description="UTC; yesterday if empty"),
    "apply": Param(False, type="boolean", title="Correct the tables", description="If they differ from the archive"),
}


def skip_elsewhere(context: dict[str, Any]) -> None:
    """Skips the simulation where events come from elsewhere, or none are wanted."""
    params = context["params"]
    wanted = params["events"]
    if wanted == 0 or (wanted is None and not params["log"].startswith("embedded:")):
        raise AirflowSkipException("events come from elsewhere")


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params=DRAIN_PARAMS,
    default_args=ARGUMENTS,
    tags=["headrace", "commerce"],
    doc_md=__doc__,
)
def commerce() -> None:
    """Connects create, simulate, drain and verify."""
    log, store, archive = ("{{ params.%s }}" % name for name in ("log", "store", "archive"))
    create = CommerceCreateOperator(task_id="create", log_=log, store=store, archive=archive)
    simulate = CommerceSimulateOperator(
        task_id="simulate",
        to=log,
        events="{{ %d if params.events is none else params.events }}" % SIMULATED,
        # A run has events of its own, and a second try of the task sends the same ones, which count once.
        seed="{{ dag_run.run_after.timestamp() | int }}",
        start="{{ (dag_run.run_after - macros.timedelta(minutes=40)).strftime('%Y-%m-%d %H:%M:%S') }}",
        pre_execute=skip_elsewhere,
    )
    drain = CommerceStreamOperator(
        task_id="drain",
        from_=log,
        store=store,
        archive=archive,
        close_windows="{{ params.close_windows }}",
        trigger_rule=TriggerRule.NONE_FAILED,
        outlets=[TABLES],
    )
    verify = CommerceVerifyOperator(task_id="verify", store=store, archive=archive)
    create >> simulate >> drain >> verify


@dag(
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
    params=DAILY_PARAMS,
    default_args=ARGUMENTS,
    tags=["headrace", "commerce"],
    doc_md=__doc__,
)
def commerce_daily() -> None:
    """Connects compact and recompute."""
    places = {name: "{{ params.%s }}" % name for name in PLACES}
    compact = CommerceCompactOperator(task_id="compact", **places, outlets=[LAKE])
    recompute = CommerceRecomputeOperator(
        task_id="recompute",
        **places,
        date="{{ params.date or (dag_run.run_after - macros.timedelta(days=1)).strftime('%Y-%m-%d') }}",
        apply="{{ params.apply }}",
    )
    compact >> recompute


commerce()
commerce_daily()
