"""The hourly table of a frame of messages, with Headrace's kernel or with Spark's own functions.

    hourly.py prepare MESSAGES.jsonl PARQUET     messages as the topic holds them, into a Parquet table with typed columns
    hourly.py kernel|functions PARQUET TABLE     the hourly table, timed; written as Parquet
    hourly.py compare TABLE TABLE                fails where they differ
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, functions as f

from session import session

FIELDS = (
    "event_id string, ts string, job_id long, campaign_id long, group_id long, publisher_id long, custom_track string, bid double"
)
METRICS = {"clicks": "click", "conversion": "conversion", "qualified_application": "qualified", "disqualified_application": "unqualified"}
COLUMNS = (
    "job_id", "ts", "dates", "hours", "publisher_id", "campaign_id", "group_id", "bid_set", "clicks", "spend_hour", "conversion",
    "qualified_application", "disqualified_application",
)
TICKS = os.sysconf("SC_CLK_TCK")


def kernel(events: DataFrame) -> DataFrame:
    from headrace.spark import recruitment_hourly

    return recruitment_hourly(events)


def functions(events: DataFrame) -> DataFrame:
    """The same table as a Spark user would write it: what cannot count goes first, then copies, then one aggregation."""
    counted = events.where(f.col("job_id").isNotNull() & f.col("custom_track").isin(*METRICS.values())).dropDuplicates(["event_id"])
    keys = [
        f.col("job_id"),
        f.date_trunc("hour", f.col("ts").cast("timestamp_ntz")).cast("timestamp_ntz").alias("ts"),
        *(f.coalesce(name, f.lit(0)).alias(name) for name in ("publisher_id", "campaign_id", "group_id")),
    ]
    sums = [f.count(f.when(f.col("custom_track") == event, 1)).alias(name) for name, event in METRICS.items()]
    bid = f.coalesce(f.col("bid").cast("decimal(18,6)"), f.lit(0))
    hourly = counted.groupBy(*keys).agg(*sums, f.sum(f.when(f.col("custom_track") == "click", bid)).alias("spend"))
    for name in METRICS:
        hourly = hourly.withColumn(name, f.when(f.col(name) > 0, f.col(name)))
    return hourly.select(
        "*",
        f.to_date("ts").alias("dates"),
        f.hour("ts").alias("hours"),
        f.round(f.col("spend") / f.col("clicks"), 2).cast("double").alias("bid_set"),
        f.col("spend").cast("double").alias("spend_hour"),
    ).select(*COLUMNS)


def cpu_seconds() -> float:
    """CPU time of this process and everything below it, ended children included."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    family, grown = {os.getpid()}, True
    while grown:
        more = {process for process, (parent, _) in parents.items() if parent in family} - family
        grown, family = bool(more), family | more
    return sum(parents[process][1] for process in family if process in parents) / TICKS


def measured(spark: SparkSession, way: str, source: str, target: str) -> None:
    transform = {"kernel": kernel, "functions": functions}[way]
    events = spark.read.parquet(source)
    # Once in small, so that neither pays for what happens once in a session.
    transform(events.limit(20_000)).write.format("noop").mode("overwrite").save()
    rows = events.count()
    began, used = time.monotonic(), cpu_seconds()
    transform(events).write.mode("overwrite").parquet(target)
    print(json.dumps({"rows": rows, "seconds": time.monotonic() - began, "cpu_seconds": cpu_seconds() - used}), flush=True)


def compare(spark: SparkSession, one: str, other: str) -> None:
    left, right = spark.read.parquet(one).select(*COLUMNS), spark.read.parquet(other).select(*COLUMNS)
    differing = left.exceptAll(right).union(right.exceptAll(left))
    print(json.dumps({"rows": left.count(), "differing": differing.count()}), flush=True)


def main() -> None:
    way, source, target = sys.argv[1:]
    spark = session()
    if way == "prepare":
        spark.read.json(source, schema=FIELDS).write.mode("overwrite").parquet(target)
    elif way == "compare":
        compare(spark, source, target)
    else:
        measured(spark, way, source, target)
    spark.stop()


if __name__ == "__main__":
    main()
