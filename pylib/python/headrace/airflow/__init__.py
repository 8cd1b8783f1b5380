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

__all__ = ["get_provider_info", "run", "splits", "store_url"]


def splits(parts: int) -> list[str]:
    """The parts that mapped tasks share: ``1/4``, ``2/4``, ``3/4``, ``4/4``.

    ``RecruitmentLoadOperator.partial(...).expand(split=splits(4))`` makes four tasks of one file.
    """
    if parts < 1:
        raise ValueError(f"at least one part is needed, not {parts}")
    return [f"{part}/{parts}" for part in range(1, parts + 1)]


def __getattr__(name: str) -> Any:
    if name == "run":
        from headrace.airflow.execution import run

        return run
    if name == "store_url":
        from headrace.airflow.connections import store_url

        return store_url
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
