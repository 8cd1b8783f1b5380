"""Headrace in Airflow 3: an operator for every step, connections as stores, and steps inside ``@task`` functions.

Importing this package imports neither Airflow nor compiled code, so DAG files parse quickly; importing ``headrace`` alone never
imports this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.airflow.provider import get_provider_info

if TYPE_CHECKING:
    from headrace.airflow.connections import store_url
    from headrace.airflow.execution import run

__all__ = ["get_provider_info", "run", "store_url"]


def __getattr__(name: str) -> Any:
    if name == "run":
        from headrace.airflow.execution import run

        return run
    if name == "store_url":
        from headrace.airflow.connections import store_url

        return store_url
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
