"""The recruitment transform on Apache Spark: the same Rust code, Spark's own shuffle, for those who have a cluster.

Needs PySpark 3.5 or newer and PyArrow, and this package on every worker. Nothing is collected on the driver.

    from headrace.spark import recruitment_hourly

    recruitment_hourly(spark.read.parquet("messages")).write.parquet("hourly")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyarrow import RecordBatch
    from pyspark.sql import Column, DataFrame

    from headrace.transforms import ArrowStream

__all__ = ["recruitment_hourly"]

_TEXTS = ("event_id", "ts", "custom_track")
_NUMBERS = ("job_id", "campaign_id", "group_id", "publisher_id", "bid")
_COUNTED = ("click", "conversion", "qualified", "unqualified")
_KEYS = ("job_id", "ts", "publisher_id", "campaign_id", "group_id")
_COUNTS = ("conversion", "qualified_application", "disqualified_application")
# What the first pass gives: `ts` in microseconds and `spend_hour` in millionths, so that sums stay exact.
_PART = ", ".join(f"{name} bigint" for name in (*_KEYS, "clicks", "spend_hour", *_COUNTS))
_WHOLE = (
    "job_id bigint, ts timestamp_ntz, dates date, hours int, publisher_id bigint, campaign_id bigint, group_id bigint, "
    "bid_set double, clicks bigint, spend_hour double, " + ", ".join(f"{name} bigint" for name in _COUNTS)
)
_TIMESTAMP = "yyyy-MM-dd HH:mm:ss"


def recruitment_hourly(df: DataFrame) -> DataFrame:
    """Aggregates tracking events to the hourly table, as :func:`headrace.transforms.recruitment_hourly` does on one machine.

    Spark itself leaves out what cannot count, most rows of a tracker: those without a job and those of other events. The others are
    brought together by the time in their id, so that every copy of an id meets the others; each partition is cleaned and aggregated
    in Rust; the small parts are brought together by key and added up in Rust. A partition is held in memory once, as Arrow.

    Args:
        df: One row for each event, with the columns that :func:`headrace.transforms.recruitment_hourly` takes. ``ts`` may also be a
            ``timestamp_ntz`` in UTC; numbers may also be decimals. Which copy of an id counts is open where copies differ.

    Returns:
        The columns of :func:`headrace.transforms.recruitment_hourly`, ``ts`` as ``timestamp_ntz``. Rows come in no order.

    Raises:
        headrace.DataError: A column is missing or of another type. A row that may count but is not valid fails the Spark job, and the
            text names it; rows that are left out are not looked at.
    """
    from pyspark.sql import functions as f

    events = df.select(*(_column(df, name) for name in (*_TEXTS, *_NUMBERS)))
    events = events.where(f.col("job_id").isNotNull() & f.col("custom_track").isin(*_COUNTED))
    # The middle and high time of an id, as text: seven minutes of events, the same for all copies, and cheap to cut out.
    slices = f.coalesce(f.lower(f.substring("event_id", 10, 9)), f.col("ts"))
    parts = events.repartition(slices).mapInArrow(_part, _PART)
    return parts.repartition(*_KEYS).mapInArrow(_whole, _WHOLE)


def _column(df: DataFrame, name: str) -> Column:
    """Gives a column in a type that the transform takes."""
    from pyspark.sql import functions as f

    if name not in df.columns:
        raise DataError(f"column {name} is missing; there are {', '.join(df.columns)}")
    kind, column = df.schema[name].dataType.typeName(), f.col(f"`{name}`")
    if name in _TEXTS:
        if kind == "timestamp_ntz" and name == "ts":
            return f.date_format(column, _TIMESTAMP).alias(name)
        if kind not in ("string", "void"):
            raise DataError(f"column {name} has type {kind}; give text (ts: `{_TIMESTAMP}` in UTC, or timestamp_ntz)")
        return column.cast("string")
    if name == "bid" or kind in ("decimal", "float", "double"):
        return column.cast("double")
    return column.cast("bigint")


def _part(batches: Iterator[RecordBatch]) -> Iterator[RecordBatch]:
    from headrace import _native

    return _on_partition(batches, _native.recruitment_hourly_part)


def _whole(batches: Iterator[RecordBatch]) -> Iterator[RecordBatch]:
    from headrace import _native

    return _on_partition(batches, _native.recruitment_hourly_whole)


def _on_partition(batches: Iterable[RecordBatch], transform: Callable[[ArrowStream], ArrowStream]) -> Iterator[RecordBatch]:
    """Runs a transform on all rows of a partition; one without rows gives none."""
    import pyarrow as pa

    rows = list(batches)
    if rows:
        yield from pa.table(transform(pa.Table.from_batches(rows))).to_batches()
