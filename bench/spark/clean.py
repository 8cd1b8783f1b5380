"""The clean step as a Spark job: Kafka → hourly table in MariaDB, joined with the companies.

    clean.py BROKERS TOPIC JDBC_URL DATABASE SCRATCH

Structured Streaming with a checkpoint; `availableNow` drains the topic. Each batch is aggregated and joined, written through JDBC in
batches to a staging table, and merged from there by one upsert. What it does not do: find duplicates, keep refused messages, or commit
offsets with the rows; a batch that is repeated after a crash counts twice.
"""

from __future__ import annotations

import sys

from pyspark.sql import DataFrame, functions as f

from session import session, timed

FIELDS = (
    "event_id string, ts timestamp, job_id long, campaign_id long, group_id long, publisher_id long, custom_track string, bid decimal(18,6)"
)
METRICS = {"clicks": "click", "conversion": "conversion", "qualified_application": "qualified", "disqualified_application": "unqualified"}
KEYS = ("job_id", "ts", "publisher_id", "campaign_id", "group_id")
RESULT = """
CREATE TABLE IF NOT EXISTS {table} (
  job_id BIGINT NOT NULL, ts DATETIME NOT NULL, publisher_id BIGINT NOT NULL, campaign_id BIGINT NOT NULL, group_id BIGINT NOT NULL,
  clicks BIGINT, spend_hour DECIMAL(18,6), conversion BIGINT, qualified_application BIGINT, disqualified_application BIGINT,
  company_id BIGINT, PRIMARY KEY (job_id, ts, publisher_id, campaign_id, group_id))
"""
ADDED = ("clicks", "spend_hour", "conversion", "qualified_application", "disqualified_application")


def main() -> None:
    brokers, topic, url, database, scratch = sys.argv[1:]
    spark = session()
    options = {"url": url, "user": "lab", "password": "lab", "driver": "com.mysql.cj.jdbc.Driver"}
    jvm = spark.sparkContext._jvm

    def execute(*statements: str) -> None:
        properties = jvm.java.util.Properties()
        properties.setProperty("user", "lab")
        properties.setProperty("password", "lab")
        connection = jvm.com.mysql.cj.jdbc.Driver().connect(url, properties)
        try:
            connection.setAutoCommit(False)
            for statement in statements:
                connection.createStatement().executeUpdate(statement)
            connection.commit()
        finally:
            connection.close()

    execute(RESULT.format(table="result"), RESULT.format(table="result_batch").replace(", PRIMARY KEY (" + ", ".join(KEYS) + ")", ""))
    jobs = f.broadcast(spark.read.format("jdbc").options(dbtable="job", **options).load().select(f.col("id").alias("job_id"), "company_id"))
    jobs = jobs.cache()

    def upsert(batch: DataFrame, _: int) -> None:
        events = batch.select(f.from_json(f.col("value").cast("string"), FIELDS).alias("event")).select("event.*")
        counted = events.where(f.col("job_id").isNotNull() & f.col("custom_track").isin(*METRICS.values()))
        keys = [
            f.col("job_id"),
            f.date_trunc("hour", "ts").alias("ts"),
            *(f.coalesce(name, f.lit(0)).alias(name) for name in KEYS[2:]),
        ]
        is_click = f.col("custom_track") == "click"
        sums = [f.count(f.when(f.col("custom_track") == event, 1)).alias(name) for name, event in METRICS.items()]
        spend = f.sum(f.when(is_click, f.coalesce("bid", f.lit(0)))).alias("spend_hour")
        hourly = counted.groupBy(*keys).agg(*sums, spend).join(jobs, "job_id", "left")
        columns = [*KEYS, *ADDED, "company_id"]
        nulls = [f.when(f.col(name) > 0, f.col(name)).alias(name) if name in METRICS else f.col(name) for name in columns]
        written = hourly.select(nulls).coalesce(2).write.format("jdbc")
        written.options(dbtable="result_batch", truncate="true", batchsize="10000", **options).mode("overwrite").save()
        added = ", ".join(
            f"{name} = IF(VALUES({name}) IS NULL, result.{name}, COALESCE(result.{name}, 0) + VALUES({name}))" for name in ADDED
        )
        names = ", ".join(columns)
        execute(
            f"INSERT INTO result ({names}) SELECT {names} FROM result_batch "
            f"ON DUPLICATE KEY UPDATE {added}, company_id = VALUES(company_id)"
        )

    def clean() -> int:
        raw = spark.readStream.format("kafka").option("kafka.bootstrap.servers", brokers).option("subscribe", topic)
        messages = raw.option("startingOffsets", "earliest").load()
        query = messages.writeStream.foreachBatch(upsert).trigger(availableNow=True).option("checkpointLocation", f"{scratch}/checkpoint")
        running = query.start()
        running.awaitTermination()
        return sum(progress["numInputRows"] for progress in running.recentProgress)

    timed(clean)
    spark.stop()


if __name__ == "__main__":
    main()
