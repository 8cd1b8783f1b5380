"""The names of data sets in lineage are those of OpenLineage's own naming; facets have the rows of the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openlineage.client.naming import dataset as naming

from headrace import recruitment
from headrace.airflow.lineage import Dataset, Place, facets, places
from headrace.airflow.operators import recruitment as operators

TABLE, TOPIC = Dataset("x", "input", "table", "default"), Dataset("x", "output", "topic", "default")


@pytest.mark.parametrize(
    ("dataset", "url", "right"),
    [
        (TABLE, "cassandra://u:p@a,b/ks/t?tls=true", naming.Cassandra("a", "9042", "ks", "t")),
        (TABLE, "cassandra://a:9142,b/ks", naming.Cassandra("a", "9142", "ks", "default")),
        (TABLE, "mysql://u%40x@h/d/t", naming.MySQL("h", "3306", "d", "t")),
        (TABLE, "mariadb://[::1]:3307/d?table=other", naming.MySQL("[::1]", "3307", "d", "other")),
        (TOPIC, "kafka://a,b:9093/t", naming.Kafka("a", "9092", "t")),
        (TOPIC, "kafka://a:1", naming.Kafka("a", "1", "default")),
        (TABLE, "embedded:/data/a%20b?table=t&sync=normal", naming.LocalFileSystem("/data/a b/headrace.sqlite#t")),
        (TOPIC, "embedded:/data/store", naming.LocalFileSystem("/data/store/headrace.sqlite#default")),
        (Dataset("x", "input", "file"), Path("/data/f.csv"), naming.LocalFileSystem("/data/f.csv")),
    ],
)
def test_names_are_those_of_openlineage(dataset: Dataset, url: object, right: naming.DatasetNaming) -> None:
    assert places([dataset], {"x": url}) == [Place(dataset.role, right.get_namespace(), right.get_name())]


def test_what_is_not_given_or_not_meant_is_left_out() -> None:
    dataset = Dataset("x", "input", "table", "t", when={"what": ["a", "b"]})
    assert places([dataset], {"x": "mysql://h/d", "what": "b"}) == [Place("input", "mysql://h:3306", "d.t")]
    assert places([dataset], {"x": "mysql://h/d", "what": "c"}) == places([dataset], {"x": "mysql://h/d"}) == []
    assert places([TABLE], {}) == places([TABLE], {"x": None}) == []


def test_a_task_tells_what_it_read_and_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps({"conn_type": "headrace", "host": f"embedded:{tmp_path}/store"}))
    recruitment.simulate(tmp_path, rows=1_000)
    task = operators.RecruitmentLoadOperator(task_id="t", file=tmp_path / "tracking.csv", to="conn:store")
    assert task.get_openlineage_facets_on_complete(None).inputs == []
    report = task.execute({})
    lineage = task.get_openlineage_facets_on_complete(None)
    (read,), (written,) = lineage.inputs, lineage.outputs
    assert (read.namespace, read.name) == ("file", f"{tmp_path}/tracking.csv")
    assert (written.namespace, written.name) == ("file", f"{tmp_path}/store/headrace.sqlite#tracking")
    assert (read.inputFacets["inputStatistics"].rowCount, read.inputFacets["inputStatistics"].size) == (1_000, report["bytes"])
    assert written.outputFacets["outputStatistics"].rowCount == report["written"] == 1_000
    failed = facets(task._places, None)
    assert not failed.inputs[0].inputFacets and not failed.outputs[0].outputFacets


def test_every_step_names_its_data_sets_by_its_own_parameters() -> None:
    silent = {"dead-letters show"}
    for name in operators.__all__:
        kind = getattr(operators, name)
        assert bool(kind.headrace_datasets) == (kind.headrace_step[1] not in silent), name
        for dataset in kind.headrace_datasets:
            assert kind.headrace_parameters[dataset.parameter] == ("path" if dataset.kind == "file" else "url"), name
            assert (dataset.name is None) == (dataset.kind == "file"), name
            assert set(dataset.when or ()) <= set(kind.headrace_parameters), name
