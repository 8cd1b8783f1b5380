"""A DAG for tests: new messages wake it, it drains them, and ends when none is left."""

from __future__ import annotations

from airflow.sdk import Asset, AssetWatcher, dag

from headrace.airflow.operators.recruitment import RecruitmentCleanOperator
from headrace.airflow.sensors import LagSensor
from headrace.airflow.triggers import DoorbellTrigger

STORE = "conn:doorbell_store"
BELL = DoorbellTrigger(from_=STORE, to=STORE, interval=1.0)
MESSAGES = Asset("headrace_messages", watchers=[AssetWatcher(name="headrace_messages", trigger=BELL)])


@dag(schedule=[MESSAGES], max_active_runs=1)
def headrace_doorbell() -> None:
    """Connects the tasks."""
    clean = RecruitmentCleanOperator(task_id="clean", from_=STORE, to=STORE)
    clean >> LagSensor(task_id="drained", from_=STORE, to=STORE, drained=True, poke_interval=1)


headrace_doorbell()
