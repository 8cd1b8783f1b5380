"""# Recruitment report

Starts by itself whenever `clean` of the DAG `recruitment` has ended, after its commit, and writes two files: the hourly table as CSV,
and the refused rows as JSON lines, which can be corrected and put back with `headrace recruitment dead-letters replay --fixed`.

The event says where the result is. Start the DAG by hand with *Result* set to make the files of any store.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag

from headrace.airflow.operators.recruitment import RecruitmentDeadLettersListOperator, RecruitmentExportOperator

EMBEDDED = "embedded:/tmp/headrace/store"
RESULT = Asset("recruitment_result")

PARAMS = {
    "result": Param(
        None,
        type=["null", "string"],
        title="Result",
        description="mysql://USER@HOST/DATABASE/TABLE, embedded:DIRECTORY or conn:ID/PATH; that of the event if empty",
    ),
    "directory": Param("/tmp", type="string", title="Directory of the files", description="It must be there"),
}


def result_store(params: dict[str, Any], events: Any) -> str:
    """The store of the params, else that of the last event that names one, else the default of `recruitment`."""
    named = [event.extra["stores"]["to"] for event in events.get(RESULT, []) if "to" in event.extra.get("stores", {})]
    return params["result"] or (named[-1] if named else EMBEDDED)


@dag(
    schedule=[RESULT],
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    user_defined_macros={"result_store": result_store},
    tags=["headrace", "recruitment"],
    doc_md=__doc__,
)
def recruitment_report() -> None:
    """Connects the steps."""
    store = "{{ result_store(params, triggering_asset_events) }}"
    export = RecruitmentExportOperator(task_id="export", from_=store, out="{{ params.directory }}/recruitment_hourly.csv")
    letters = RecruitmentDeadLettersListOperator(
        task_id="dead_letters", from_=store, step="clean", out="{{ params.directory }}/recruitment_dead_letters.jsonl"
    )
    export >> letters


recruitment_report()
