"""A DAG for tests: a ``@task`` function that follows the topic until it is stopped."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task


@dag(schedule=None, params={"store": Param("embedded:absent", type="string")})
def headrace_function() -> None:
    """Has one task."""

    @task
    def clean(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Follows the topic."""
        from headrace import airflow, recruitment

        store = (params or {})["store"]
        return airflow.run(recruitment.clean, from_=store, to=store, follow=True, interval="200ms")

    clean()


headrace_function()
