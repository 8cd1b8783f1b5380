"""What `astro dev parse` runs: every file of dags/ loads, and every DAG has tags, text and retries.

The file that `astro dev init` makes for this does not work with Airflow 3.3.
"""

from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

BAG = DagBag(Path(__file__).resolve().parent.parent / "dags")


def test_every_file_loads() -> None:
    assert BAG.import_errors == {}
    assert BAG.dags


def test_every_dag_can_be_found_understood_and_retried() -> None:
    for name, dag in BAG.dags.items():
        assert dag.tags and dag.doc_md, f"{name} has no tags or no text"
        assert dag.default_args.get("retries", 0) >= 2, f"{name} gives up too early"
