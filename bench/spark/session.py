"""A local Spark session as all jobs use it, and the time of a piece of work as JSON on standard output."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
# One file system call too many on some machines: Spark asks for the host's name, which need not resolve.
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")

from pyspark.sql import SparkSession  # noqa: E402


def session(settings: dict[str, str] | None = None) -> SparkSession:
    """Spark on all cores of this machine, with the jars that the bench has fetched."""
    jars, jdbc = (sorted(map(str, Path(os.environ["BENCH_PEER"], folder).glob("*.jar"))) for folder in ("jars", "jdbc"))
    builder = SparkSession.builder.master("local[*]").appName("bench")
    common = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        # Spark's own jars come first where both have one; the driver of JDBC is also used directly, so it must be on the class path.
        "spark.jars": ",".join(jars),
        "spark.driver.extraClassPath": os.pathsep.join(jdbc),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        "spark.local.dir": os.environ["BENCH_SCRATCH"],
        "spark.sql.warehouse.dir": os.environ["BENCH_SCRATCH"] + "/warehouse",
    }
    for name, value in {**common, **(settings or {})}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def timed(work: Callable[[], int]) -> None:
    """Does the work and tells how many rows it had and how long it took."""
    started = time.monotonic()
    rows = work()
    print(json.dumps({"rows": rows, "seconds": time.monotonic() - started}), flush=True)
