"""Commerce as Spark jobs.

    commerce.py stream BROKERS PREFIX SCRATCH all|own
    commerce.py check SCRATCH
    commerce.py sales BROKERS PREFIX SCRATCH

`stream` is the system that is replaced: seven Structured Streaming queries at once, each with a checkpoint and each reading the topics for
itself. Three append the raw events as Parquet, by type and `fecha`. Sales per minute, with a watermark of two minutes, average ticket by
user and views by category are written in update mode, so every batch appends its version of a row, and top products in complete mode,
with overwrite. With `all` every query reads all three topics and takes the events of its type, as the original does; with `own` it reads
only the topic it needs. `availableNow` drains the topics, each query in one batch, which is what suits Spark best.

What is better than in the original: times are UTC, prices are decimals, and a time in the future is left out, because one such event would
close all minutes. What it does not do: find duplicates, keep refused messages, join carts and purchases, or keep late orders.

`check`, which is not measured, reads what the queries have written, and counts the archive again without what Headrace refuses or knows
to be a repetition. `sales` is sales per minute alone, of the topic of orders.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, functions as f

from session import session, timed

FIELDS = (
    "event_id string, user_id string, product_id string, category string, event_type string, price decimal(18,4), timestamp timestamp, "
    "store_id string, store_type string, city string, province string, location struct<lat: double, lon: double>"
)
TYPES = {"orders": "purchase", "cart": "add_to_cart", "views": "page_view"}
TOPICS = {"orders": "orders", "cart": "cart_events", "views": "page_views"}
AGGREGATES = ("sales_per_minute", "orders_avg_ticket", "views_by_category")


def messages(spark: SparkSession, brokers: str, topics: str) -> DataFrame:
    raw = spark.readStream.format("kafka").option("kafka.bootstrap.servers", brokers).option("subscribe", topics)
    return raw.option("startingOffsets", "earliest").load()


def events(spark: SparkSession, brokers: str, prefix: str, name: str, reads: str) -> DataFrame:
    """The events of a type that can be parsed, as they come."""
    topics = TOPICS.values() if reads == "all" else [TOPICS[name]]
    raw = messages(spark, brokers, ",".join(f"{prefix}.{topic}" for topic in topics))
    event = f.from_json(f.col("value").cast("string"), FIELDS).alias("event")
    rows = raw.select(event, "topic", "partition", "offset", f.col("timestamp").alias("arrival")).select("event.*", "topic", "partition",
                                                                                                        "offset", "arrival")
    whole = f.col("user_id").isNotNull() & f.col("product_id").isNotNull() & f.col("timestamp").isNotNull()
    in_time = f.col("timestamp") <= f.col("arrival") + f.expr("INTERVAL 5 MINUTES")
    return rows.where((f.col("event_type") == TYPES[name]) & whole & in_time).drop("arrival")


def minute() -> Column:
    return f.window("timestamp", "1 minute")


def sales_of(orders: DataFrame) -> DataFrame:
    grouped = orders.withWatermark("timestamp", "2 minutes").groupBy(minute().alias("window"))
    sums = grouped.agg(f.sum("price").alias("total_sales"), f.count("*").alias("total_orders"))
    return sums.select(f.col("window.start").alias("window_start"), f.col("window.end").alias("window_end"), "total_sales", "total_orders")


def stream(brokers: str, prefix: str, scratch: str, reads: str) -> None:
    spark = session({"spark.sql.streaming.stateStore.providerClass":
                     "org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider"})
    running = []

    def appended(name: str):  # noqa: ANN202 what foreachBatch wants
        def append(batch: DataFrame, number: int) -> None:
            batch.withColumn("batch", f.lit(number)).coalesce(1).write.mode("append").parquet(f"{scratch}/{name}")
        return append

    def top(batch: DataFrame, _: int) -> None:
        best = batch.orderBy(f.desc("views_count"), "product_id").limit(5)
        best.coalesce(1).write.mode("overwrite").parquet(f"{scratch}/top_products")

    def start(name: str, rows: DataFrame, mode: str, write: object = None) -> None:
        writer = rows.writeStream.outputMode(mode).option("checkpointLocation", f"{scratch}/checkpoints/{name}").trigger(availableNow=True)
        if write is None:
            writer = writer.format("parquet").partitionBy("fecha").option("path", f"{scratch}/{name}")
        else:
            writer = writer.foreachBatch(write)
        running.append(writer.queryName(name).start())

    def drain() -> int:
        def read(name: str) -> DataFrame:
            return events(spark, brokers, prefix, name, reads)

        for name in TYPES:
            raw = read(name).withColumns({"lat": f.col("location.lat"), "lon": f.col("location.lon"), "fecha": f.to_date("timestamp")})
            start(name, raw.drop("location"), "append")
        start("sales_per_minute", sales_of(read("orders")), "update", appended("sales_per_minute"))
        tickets = read("orders").groupBy("user_id").agg(f.avg("price").alias("avg_ticket"), f.count("*").alias("orders"),
                                                        f.sum("price").alias("total"))
        start("orders_avg_ticket", tickets, "update", appended("orders_avg_ticket"))
        by_category = read("views").groupBy("category").agg(f.count("*").alias("views_count"))
        start("views_by_category", by_category, "update", appended("views_by_category"))
        start("top_products", read("views").groupBy("product_id").agg(f.count("*").alias("views_count")), "complete", top)
        for query in running:
            query.awaitTermination()
        read_by = {query.name: sum(progress["numInputRows"] for progress in query.recentProgress) for query in running}
        if reads == "all":
            return read_by["orders"]
        return sum(read_by[name] for name in TYPES)

    timed(drain)
    spark.stop()


def check(scratch: str) -> None:
    """Tells what the queries have written, and what of the archive Headrace must have too."""
    spark = session()
    told: dict[str, object] = {}
    archived, distinct = {}, {}
    for name in TYPES:
        rows = spark.read.parquet(f"{scratch}/{name}")
        archived[name] = [rows.count(), str(rows.agg(f.coalesce(f.sum("price"), f.lit(0))).first()[0])]
        valid = rows.where(f.col("user_id").rlike("^[0-9]+$") & (f.col("product_id") != "") & (f.col("price") >= 0)
                           & (f.col("timestamp") > f.lit("2002-01-01").cast("timestamp"))).dropDuplicates(["event_id"])
        distinct[name] = [valid.count(), str(valid.agg(f.coalesce(f.sum("price"), f.lit(0))).first()[0])]
    told |= {"archived": archived, "distinct": distinct}
    keys = {"sales_per_minute": "window_start", "orders_avg_ticket": "user_id", "views_by_category": "category"}
    for name in AGGREGATES:
        rows = spark.read.parquet(f"{scratch}/{name}")
        newest = rows.groupBy(keys[name]).agg(f.max_by(f.struct(*rows.columns), "batch").alias("row")).select("row.*")
        wanted = {"sales_per_minute": ("total_orders", "total_sales"), "orders_avg_ticket": ("orders", "total"),
                  "views_by_category": ("views_count",)}[name]
        told[name] = [str(value) for value in newest.agg(*(f.sum(column) for column in wanted)).first()]
    told["top_products"] = [[row["product_id"], row["views_count"]] for row in spark.read.parquet(f"{scratch}/top_products").collect()]
    told["files"] = sum(1 for file in Path(scratch).rglob("*.parquet"))
    print(json.dumps(told), flush=True)
    spark.stop()


def sales(brokers: str, prefix: str, scratch: str) -> None:
    spark = session()

    def drain() -> int:
        rows = sales_of(events(spark, brokers, prefix, "orders", "own"))

        def write(batch: DataFrame, _: int) -> None:
            batch.coalesce(1).write.mode("append").parquet(f"{scratch}/sales")

        writer = rows.writeStream.outputMode("update").option("checkpointLocation", f"{scratch}/checkpoint").trigger(availableNow=True)
        query = writer.foreachBatch(write).start()
        query.awaitTermination()
        return sum(progress["numInputRows"] for progress in query.recentProgress)

    timed(drain)
    # Few rows; they are read after the clock has stopped, but in the process that is measured.
    shown = f.date_format("window_start", "yyyy-MM-dd'T'HH:mm").alias("minute")
    rows = spark.read.parquet(f"{scratch}/sales").select(shown, "total_orders", "total_sales").collect()
    minutes = {row["minute"]: [row["total_orders"], int(row["total_sales"] * 100)] for row in rows}
    Path(scratch, "minutes.json").write_text(json.dumps(minutes))
    spark.stop()


if __name__ == "__main__":
    {"stream": stream, "check": check, "sales": sales}[sys.argv[1]](*sys.argv[2:])
