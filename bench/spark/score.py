"""Scoring as a Spark job, as the original does it: Kafka → Spark ML's pipeline → ClickHouse and Redis, in foreachBatch.

    score.py fit TRAINING.csv MODEL
    score.py score MODEL BROKERS TOPIC CLICKHOUSE_HOST:PORT DATABASE REDIS_HOST:PORT REDIS_DATABASE SCRATCH

The pipeline is one-hot encoding and a linear regression for each of the eight targets. Structured Streaming with a checkpoint;
`availableNow` drains the topic in batches of 50,000. A batch goes to the driver as Arrow columns and from there into both stores, as whole
columns and as one pipeline of commands. What it does not do: tell why a registration was refused, know duplicates, or keep what an offer
was made from.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timezone

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.regression import LinearRegression
from pyspark.sql import DataFrame, functions as f

from session import session, timed

CATEGORIES = ("ip_country", "device_country", "device_language", "platform", "platform_store", "smartphone_brand", "child_smartphone_brand")
FUNCTIONS = ("map", "ignore_sound", "listen_sound", "detailed_routes", "sos_signal", "invite_second_parent")
TARGETS = ("cost", "subscription", *(f"function_{name}" for name in FUNCTIONS))
PREDICTED = tuple(f"predicted_{target}" for target in TARGETS)
PAYLOAD = ", ".join(f"{name} string" for name in ("user_id", *CATEGORIES)) + ", is_organic int, child_age int, timestamp timestamp"
BATCH = 50_000
MODEL_VERSION = "spark-ml"
NEWER = """
local stored = redis.call('GET', KEYS[1])
if stored and cjson.decode(stored).version > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


def normal(rows: DataFrame) -> DataFrame:
    """Categories as they are compared, and the age as a share."""
    words = {name: f.lower(f.trim(name)) for name in CATEGORIES}
    return rows.withColumns({**words, "age": f.least("child_age", f.lit(18)) / 18})


def fit(training: str, model: str) -> None:
    spark = session()
    rows = normal(spark.read.csv(training, header=True, inferSchema=True))
    indexed, encoded = [f"{name}_index" for name in CATEGORIES], [f"{name}_vector" for name in CATEGORIES]
    stages = [
        StringIndexer(inputCols=list(CATEGORIES), outputCols=indexed, handleInvalid="keep"),
        OneHotEncoder(inputCols=indexed, outputCols=encoded, handleInvalid="keep", dropLast=False),
        VectorAssembler(inputCols=["is_organic", "age", *encoded], outputCol="features"),
        *(LinearRegression(labelCol=target, predictionCol=f"predicted_{target}", regParam=1 / 4000, standardization=False)
          for target in TARGETS),
    ]
    Pipeline(stages=stages).fit(rows).write().overwrite().save(model)
    spark.stop()


def score(model: str, brokers: str, topic: str, clickhouse: str, database: str, cache: str, number: str, scratch: str) -> None:
    import clickhouse_connect
    import redis

    spark = session({"spark.sql.execution.arrow.pyspark.enabled": "true"})
    pipeline = PipelineModel.load(model)
    host, _, port = clickhouse.partition(":")
    client = clickhouse_connect.get_client(host=host, port=int(port), username="lab", password="lab-secret", compress=False)
    floats = ", ".join(f"{name} Float32" for name in PREDICTED)
    columns = f"user_id UInt32, {floats}, model_version LowCardinality(String), version UInt64"
    client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    client.command(f"CREATE TABLE {database}.personal_offer ({columns}) ENGINE = ReplacingMergeTree(version) ORDER BY user_id")
    client.command(
        f"CREATE TABLE {database}.personal_offer_history (kafka_partition Int32, kafka_offset Int64, {columns}, scored_at DateTime64(3)) "
        "ENGINE = ReplacingMergeTree(scored_at) ORDER BY (kafka_partition, kafka_offset)"
    )
    host, _, port = cache.partition(":")
    store = redis.Redis(host, int(port), db=int(number))
    script = store.script_load(NEWER)

    def write(batch: DataFrame, _: int) -> None:
        payload = f.from_json(f.get_json_object(f.col("value").cast("string"), "$.payload"), PAYLOAD).alias("payload")
        rows = batch.select(f.col("partition"), f.col("offset"), payload).select("partition", "offset", "payload.*")
        rows = rows.withColumn("user_id", f.col("user_id").cast("long"))
        whole = f.col("user_id").between(1, 4_294_967_295) & f.col("is_organic").isin(0, 1) & f.col("child_age").between(0, 120)
        for name in CATEGORIES:
            whole &= f.col(name) != ""
        version = f.unix_millis("timestamp") * 1000 + f.col("offset") % 1000
        bounds = {"cost": (0, None), "subscription": (1, 12)}
        clipped = []
        for target in TARGETS:
            low, high = bounds.get(target, (0, 1))
            value = f.greatest(f.lit(float(low)), f.col(f"predicted_{target}"))
            clipped.append((value if high is None else f.least(f.lit(float(high)), value)).cast("float").alias(f"predicted_{target}"))
        scored = pipeline.transform(normal(rows.where(whole))).withColumn("version", version)
        table = scored.select("partition", "offset", "user_id", *clipped, "version").toPandas()
        if table.empty:
            return
        now, named = time.time(), [MODEL_VERSION] * len(table)
        offers = [table[name].to_numpy() for name in ("user_id", *PREDICTED)] + [named, table["version"].to_numpy()]
        names = ("user_id", *PREDICTED, "model_version", "version")
        scored_at = [datetime.fromtimestamp(now, timezone.utc)] * len(table)
        history = [table["partition"].to_numpy(), table["offset"].to_numpy(), *offers, scored_at]
        client.insert(f"{database}.personal_offer_history", history, ("kafka_partition", "kafka_offset", *names, "scored_at"),
                      column_oriented=True)
        client.insert(f"{database}.personal_offer", offers, names, column_oriented=True)
        commands = store.pipeline(transaction=False)
        for user, *scores, version in table[["user_id", *PREDICTED, "version"]].itertuples(index=False, name=None):
            document = {"user_id": user, **dict(zip(PREDICTED, scores, strict=True)),
                        "selected_functions": [name for name, value in zip(FUNCTIONS, scores[2:], strict=True) if value > 0.5],
                        "version": version, "model_version": MODEL_VERSION, "inserted_datetime": int(now)}
            commands.evalsha(script, 1, user, version, json.dumps(document))
        commands.execute()

    def drain() -> int:
        raw = spark.readStream.format("kafka").option("kafka.bootstrap.servers", brokers).option("subscribe", topic)
        messages = raw.option("startingOffsets", "earliest").option("maxOffsetsPerTrigger", BATCH).load()
        query = messages.writeStream.foreachBatch(write).trigger(availableNow=True).option("checkpointLocation", f"{scratch}/checkpoint")
        running = query.start()
        running.awaitTermination()
        return sum(progress["numInputRows"] for progress in running.recentProgress)

    timed(drain)
    spark.stop()


if __name__ == "__main__":
    {"fit": fit, "score": score}[sys.argv[1]](*sys.argv[2:])
