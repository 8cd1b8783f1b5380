"""The hourly transform on Spark gives the rows of the one on one machine, however Spark cuts the data."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import headrace
from headrace.transforms import recruitment_hourly

pytest.importorskip("pyspark", reason="PySpark is not installed: pip install 'pyspark>=3.5,<4'")
if shutil.which("java") is None:
    pytest.skip("java is missing: Spark needs a Java 17 runtime", allow_module_level=True)

import pyspark  # noqa: E402
from pyspark.sql import DataFrame, SparkSession, functions  # noqa: E402

from headrace import spark as on_spark  # noqa: E402

FIELDS = (
    "event_id string, ts string, job_id bigint, campaign_id bigint, group_id bigint, publisher_id bigint, custom_track string, bid double"
)
NAMES = ["click", "conversion", "qualified", "unqualified", "alive", None, "Click"]
KEY = ("job_id", "ts", "publisher_id", "campaign_id", "group_id")


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    """Spark with two workers of their own, as on a cluster."""
    os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local-cluster[2,1,512]").appName("headrace tests")
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.session.timeZone": "Asia/Ho_Chi_Minh",
        "spark.executor.memory": "512m",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


def events(count: int) -> list[tuple[Any, ...]]:
    """Events of five hours, every fifth of them twice, some without job, group, bid, id or `ts`."""
    rows: list[tuple[Any, ...]] = []
    for number in range(count):
        ticks = 0x1ED0D605AF328A0 + number * 137_000_007
        event_id = f"{ticks & 0xFFFFFFFF:08x}-{ticks >> 32 & 0xFFFF:04x}-{ticks >> 48 | 0x1000:04x}-90e9-{number:012x}"
        seconds = (ticks - 0x01B21DD213814000) // 10_000_000
        ts = None if number % 3 else f"{datetime.fromtimestamp(seconds, tz=timezone.utc):%Y-%m-%d %H:%M:%S}"
        job = None if number % 11 == 0 else number % 7
        row = (event_id, ts, job, 4, number % 2 or None, 1 + number % 3, NAMES[number % len(NAMES)], None if number % 13 == 0 else 0.005 * number)
        rows.append(row)
        if number % 5 == 0:
            rows.append((event_id.upper(), *row[1:]))
    rows.append((None, "2022-07-27 03:10:00", 1, 4, None, 1, "click", 7.0))
    return rows


def on_one_machine(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    names = [field.split()[0] for field in FIELDS.split(", ")]
    table = pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})
    return [tuple(row.values()) for row in pa.table(recruitment_hourly(table)).to_pylist()]


def sorted_rows(frame: DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in frame.orderBy(*KEY).collect()]


def test_the_table_is_that_of_one_machine(spark: SparkSession) -> None:
    rows = events(1_000)
    expected = on_one_machine(rows)
    assert len(expected) > 100
    frame = spark.createDataFrame(rows, FIELDS)
    assert sorted_rows(on_spark.recruitment_hourly(frame)) == expected
    # Copies far apart, in other partitions, and the other types that columns may have.
    other = frame.orderBy("bid").repartition(7).selectExpr(
        "event_id", "cast(ts as timestamp_ntz) ts", "cast(job_id as double) job_id", "cast(campaign_id as int) campaign_id",
        "cast(group_id as decimal(9, 0)) group_id", "publisher_id", "custom_track", "cast(bid as decimal(18, 6)) bid", "1 more",
    )
    assert sorted_rows(on_spark.recruitment_hourly(other)) == expected
    assert sorted_rows(on_spark.recruitment_hourly(frame.limit(0))) == []


def test_what_cannot_be_read_is_named(spark: SparkSession) -> None:
    frame = spark.createDataFrame(events(3), FIELDS)
    with pytest.raises(headrace.DataError, match="column bid is missing"):
        on_spark.recruitment_hourly(frame.drop("bid"))
    with pytest.raises(headrace.DataError, match="column ts has type timestamp"):
        on_spark.recruitment_hourly(frame.withColumn("ts", functions.now()))
    with pytest.raises(Exception, match="bad_event_id"):
        on_spark.recruitment_hourly(frame.withColumn("event_id", functions.lit("x"))).collect()
    uncounted = frame.withColumn("event_id", functions.lit("x")).withColumn("custom_track", functions.lit("Click"))
    assert on_spark.recruitment_hourly(uncounted).collect() == [], "what cannot count is not looked at"
