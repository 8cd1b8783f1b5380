"""A DAG for tests: the first try of `clean` follows the topic until it is stopped, later ones drain it; then a ``@task`` and mapped tasks."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from headrace.airflow.operators.recruitment import RecruitmentCleanOperator, RecruitmentExportOperator, RecruitmentVerifyOperator


@dag(schedule=None, params={"store": Param("embedded:absent", type="string"), "out": Param("/tmp", type="string")})
def headrace_follow() -> None:
    """Connects the tasks."""
    store = "{{ params.store }}"
    clean = RecruitmentCleanOperator(
        task_id="clean", from_=store, to=store, follow="{{ ti.try_number == 1 }}", interval="200ms", batch_rows=1_000
    )

    @task
    def letters(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Runs a step in a function."""
        from headrace import airflow, recruitment

        return airflow.run(recruitment.dead_letters_list, from_="conn:embedded_store")

    exported = RecruitmentExportOperator.partial(task_id="export", from_=store, map_index_template="{{ task.what }}").expand_kwargs(
        [{"what": what, "out": "{{ params.out }}/%s.csv" % what} for what in ("hourly", "unattributed")]
    )
    verify = RecruitmentVerifyOperator(task_id="verify", raw=store, log_=store, result=store)
    clean >> verify >> letters() >> exported


headrace_follow()
