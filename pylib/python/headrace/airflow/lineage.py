"""What a step reads and writes, under the names that OpenLineage gives data sets.

Names are made from text alone; OpenLineage itself is imported only when its listener asks an operator for lineage.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote

_PORTS = {"cassandra": 9042, "kafka": 9092, "mysql": 3306}
_SCHEMES = {"mariadb": "mysql"}


class Dataset(NamedTuple):
    """A data set that a parameter of a step names."""

    parameter: str
    """The parameter."""
    role: Literal["input", "output"]
    """Whether the step reads or writes it."""
    kind: Literal["file", "table", "topic"]
    """What it is."""
    name: str | None = None
    """The table or topic where the URL names none."""
    when: Mapping[str, Sequence[str]] | None = None
    """Only when another parameter has one of these values."""


class Place(NamedTuple):
    """Where a data set is, without any login."""

    role: Literal["input", "output"]
    namespace: str
    name: str


def places(datasets: Iterable[Dataset], values: Mapping[str, Any]) -> list[Place]:
    """The data sets that the values of a step's parameters name; those that are not given are left out."""
    found = []
    for dataset in datasets:
        value = values.get(dataset.parameter)
        if not value or any(values.get(other) not in wanted for other, wanted in (dataset.when or {}).items()):
            continue
        is_file = dataset.kind == "file" or str(value).startswith("file:")
        name = _folder(os.fspath(value)) if is_file else _stored(str(value), dataset)
        found.append(Place(dataset.role, *name))
    return found


def _file(path: str) -> tuple[str, str]:
    return "file", os.path.abspath(path)


def _folder(place: str) -> tuple[str, str]:
    """Namespace and name of a file or folder, on this machine or in a lake."""
    scheme, _, rest = place.partition("://")
    if scheme not in ("hdfs", "s3"):
        return _file(place.removeprefix("file:").removeprefix("//") if place.startswith("file:") else place)
    authority, _, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{authority.rpartition('@')[2].split(',')[0]}", f"/{path}" if scheme == "hdfs" else path or "/"


def _stored(url: str, dataset: Dataset) -> tuple[str, str]:
    """Namespace and name of a table or topic; see https://openlineage.io/docs/spec/naming."""
    scheme, _, rest = url.partition(":")
    place, _, query = rest.removeprefix("//").partition("?")
    named = dict(parse_qsl(query)).get(dataset.kind)
    if scheme == "embedded":
        namespace, file = _file(unquote(place))
        return namespace, f"{file}/headrace.sqlite#{named or dataset.name}"
    authority, _, path = place.partition("/")
    scheme = _SCHEMES.get(scheme, scheme)
    host = authority.rpartition("@")[2].split(",")[0]
    if ":" not in host.rpartition("]")[2]:
        host = f"{host}:{_PORTS.get(scheme, 0)}"
    segments = [unquote(segment) for segment in path.split("/") if segment]
    if dataset.kind == "topic":
        name = named or next(iter(segments), dataset.name)
    else:
        name = ".".join([*segments[:1], str(named or next(iter(segments[1:]), dataset.name))])
    return f"{scheme}://{host}", str(name)


def facets(found: Sequence[Place], report: Mapping[str, Any] | None) -> Any:
    """The lineage of a task, with the rows that its report counts; without a report the step has failed."""
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import input_statistics_input_dataset, output_statistics_output_dataset

    inputs = [InputDataset(place.namespace, place.name) for place in found if place.role == "input"]
    outputs = [OutputDataset(place.namespace, place.name) for place in found if place.role == "output"]
    # Only a step that moves rows counts them for one place; the first on each side is the one they come from and go to.
    if report is not None and outputs:
        written = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=report["written"])
        outputs[0].outputFacets = {"outputStatistics": written}
        if inputs:
            read = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=report["read"], size=report["bytes"])
            inputs[0].inputFacets = {"inputStatistics": read}
    return OperatorLineage(inputs=inputs, outputs=outputs)
