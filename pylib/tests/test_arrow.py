"""The hourly transform on pandas, Polars and PyArrow tables: the same rows from all of them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import headrace
from headrace.transforms import recruitment_hourly

# 188 clicks twice in one hour (one of them sent twice), 98 converts, one event has no job, one is no metric.
ROWS: dict[str, list[Any]] = {
    "event_id": [
        "5af328a0-0d60-11ed-90e9-7cd44fe229db",
        "5af328a0-0d60-11ed-90e9-7cd44fe229db",
        "5af34fb0-0d60-11ed-90e9-7cd44fe229db",
        "5af376c0-0d60-11ed-90e9-7cd44fe229db",
        "5af39dd0-0d60-11ed-90e9-7cd44fe229db",
        "5af3c4e0-0d60-11ed-90e9-7cd44fe229db",
    ],
    "ts": [None] * 6,
    "job_id": [188, 188, 188, 98, None, 188],
    "campaign_id": [48, 48, 48, 4, None, 48],
    "group_id": [34, 34, 34, None, None, 34],
    "publisher_id": [1, 1, 1, 1, None, 1],
    "custom_track": ["click", "click", "click", "conversion", "click", "alive"],
    "bid": [1.0, 1.0, 0.005, None, None, None],
    "not_looked_at": [[1], [], None, [2], [3], [4]],
}
# 1.005 / 2 clicks is 0.5025, rounded to cents.
EXPECTED = [
    (98, datetime(2022, 7, 27, 3), date(2022, 7, 27), 3, 1, 4, 0, None, None, None, 1, None, None),
    (188, datetime(2022, 7, 27, 3), date(2022, 7, 27), 3, 1, 48, 34, 0.5, 2, 1.005, None, None, None),
]


def arrow(text: pa.DataType, integer: pa.DataType) -> pa.Table:
    types = {"event_id": text, "ts": text, "custom_track": text, "bid": pa.float64(), "not_looked_at": pa.list_(pa.int64())}
    return pa.table({name: pa.array(values, types.get(name, integer)) for name, values in ROWS.items()})


def rows(table: Any) -> list[tuple[Any, ...]]:
    return pl.DataFrame(table).rows()


@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
@pytest.mark.parametrize("integer", [pa.int64(), pa.int32(), pa.uint16(), pa.float64()], ids=str)
def test_pyarrow_in_every_type(text: pa.DataType, integer: pa.DataType) -> None:
    assert rows(recruitment_hourly(arrow(text, integer))) == EXPECTED


def test_chunks_slices_and_no_rows() -> None:
    table = arrow(pa.string(), pa.int64())
    chunks = pa.concat_tables([table.slice(0, 1), table.slice(1, 4), table.slice(5), table.slice(0, 0)])
    assert chunks.column("bid").num_chunks > 1
    assert rows(recruitment_hourly(chunks)) == EXPECTED
    assert rows(recruitment_hourly(table.slice(0, 0))) == []
    assert len(recruitment_hourly(pa.Table.from_batches([], table.schema))) == 0


def test_polars_and_pandas() -> None:
    frame = pl.DataFrame(ROWS)
    assert rows(recruitment_hourly(frame)) == EXPECTED
    assert rows(recruitment_hourly(pl.concat([frame[:2], frame[2:]], rechunk=False))) == EXPECTED
    assert rows(recruitment_hourly(pd.DataFrame(ROWS))) == EXPECTED  # integers with nulls are floats here
    assert rows(recruitment_hourly(pd.DataFrame(ROWS).convert_dtypes(dtype_backend="pyarrow"))) == EXPECTED


def test_the_result_can_be_read_many_times_by_anyone() -> None:
    table = recruitment_hourly(pl.DataFrame(ROWS))
    assert len(table) == 2 and table.column_names[0] == "job_id" and "2 rows" in repr(table)
    for _ in range(2):
        arrow_table = pa.table(table)
        assert arrow_table.num_rows == 2 and arrow_table.schema.field("ts").type == pa.timestamp("us")
        assert [tuple(row.values()) for row in arrow_table.to_pylist()] == EXPECTED
    frame = pd.DataFrame.from_arrow(table) if hasattr(pd.DataFrame, "from_arrow") else pa.table(table).to_pandas()
    assert list(frame["clicks"].fillna(0)) == [0, 2]


def test_what_cannot_be_read_is_a_data_error() -> None:
    with pytest.raises(headrace.DataError, match="__arrow_c_stream__"):
        recruitment_hourly({"event_id": []})  # type: ignore[arg-type]
    table = arrow(pa.string(), pa.int64())
    with pytest.raises(headrace.DataError, match="job_id"):
        recruitment_hourly(table.drop_columns(["job_id"]))
    with pytest.raises(headrace.DataError, match="custom_track has type"):
        recruitment_hourly(table.set_column(6, "custom_track", table.column("custom_track").dictionary_encode()))
    with pytest.raises(headrace.DataError, match="row 2"):
        recruitment_hourly(table.set_column(7, "bid", pa.array([1, 1, -1, 1, 1, 1], pa.float64())))
    with pytest.raises(headrace.DataError, match="one column"):
        recruitment_hourly(table.column("bid"))
