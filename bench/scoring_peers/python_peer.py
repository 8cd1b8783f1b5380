"""Scoring as a data team writes it in Python: Kafka → checks → model → ClickHouse, then Redis, then the offsets.

    python_peer.py MODEL BROKERS TOPIC CLICKHOUSE_HOST:PORT DATABASE REDIS_HOST:PORT REDIS_DATABASE BATCH

MODEL says what scores: `FILE.json` or `FILE.onnx` by ONNX Runtime (the linear model as one matrix product, the trees as they are
exported), `FILE.joblib` by scikit-learn. Everything that costs is what libraries in C do: librdkafka, orjson, ONNX Runtime,
clickhouse-connect with whole columns, hiredis with one pipeline a batch. The checks are those of `headrace scoring score`, in the same
order and with the same reasons, and so are both tables, the cache's JSON and its comparison of versions. What it does not do: keep what an
offer was made from, know a duplicate or a late registration after a restart, or keep refused messages anywhere but in the topic of dead
letters.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import clickhouse_connect
import numpy as np
import orjson
import redis
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

CATEGORIES = ("ip_country", "device_country", "device_language", "platform", "platform_store", "smartphone_brand", "child_smartphone_brand")
CHECKED = (*CATEGORIES[:6], "is_organic", "child_age", CATEGORIES[6])
TARGETS = ("cost", "subscription", *(f"function_{name}" for name in (
    "map", "ignore_sound", "listen_sound", "detailed_routes", "sos_signal", "invite_second_parent")))
FUNCTIONS = tuple(target.removeprefix("function_") for target in TARGETS[2:])
LOWEST = np.array([0.0, 1.0, *[0.0] * 6])
HIGHEST = np.array([np.inf, 12.0, *[1.0] * 6])
OLDEST = 18
HASHES = 131_072
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
OFFER = ("user_id", *(f"predicted_{target}" for target in TARGETS), "model_version", "version")
PREDICTED = ", ".join(f"predicted_{target} Float32" for target in TARGETS)
PREDICTED = f"user_id UInt32, {PREDICTED}, model_version LowCardinality(String), version UInt64"
TABLES = {
    "personal_offer": (f"{PREDICTED}, _inserted_datetime DateTime MATERIALIZED now()", "ReplacingMergeTree(version) ORDER BY user_id"),
    "personal_offer_history": (
        f"kafka_partition Int32, kafka_offset Int64, {PREDICTED}, scored_at DateTime64(3)",
        "ReplacingMergeTree(scored_at) ORDER BY (kafka_partition, kafka_offset)",
    ),
}
NEWER = """
local stored = redis.call('GET', KEYS[1])
if stored then
  local ok, document = pcall(cjson.decode, stored)
  if ok and type(document) == 'table' and document.version > tonumber(ARGV[1]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class Refused(Exception):
    """A record that is no registration: the reason, and what exactly was wrong."""


def payload_of(value: bytes | None) -> dict[str, Any]:
    if not value:
        raise Refused("empty_value", "")
    try:
        envelope = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        try:
            value.decode()
        except UnicodeDecodeError:
            raise Refused("not_utf8", "") from None
        raise Refused("bad_json", str(error)) from None
    if not isinstance(envelope, dict) or "payload" not in envelope:
        raise Refused("not_an_envelope", "no object with a member `payload`")
    payload = envelope["payload"]
    if payload is None:
        raise Refused("missing_payload", "")
    if isinstance(payload, str):
        try:
            payload = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise Refused("bad_payload", str(error)) from None
    if not isinstance(payload, dict):
        raise Refused("bad_payload", "no object")
    return payload


def user_of(payload: dict[str, Any]) -> int:
    user = payload.get("user_id")
    if user is None:
        user = payload.get("id")
    if user is None or user == "":
        raise Refused("missing_user_id", "")
    if type(user) is str and len(user) <= 10 and user.isascii() and user.isdigit():
        user = int(user)
    if type(user) is not int or not 0 < user < 1 << 32:
        raise Refused("bad_user_id", "")
    return user


def checked(payload: dict[str, Any], time_ms: int) -> tuple[int, tuple[str, ...], int, int, int]:
    """User, categories, whether organic, age, and the time of registration in milliseconds."""
    user = user_of(payload)
    found: list[Any] = []
    for field in CHECKED:
        value = payload.get(field)
        if value is None:
            raise Refused(f"missing_{field}", "")
        if field == "is_organic" or field == "child_age":
            if type(value) is float and value.is_integer():
                value = int(value)
            if type(value) is not int or not 0 <= value <= (1 if field == "is_organic" else 120):
                raise Refused(f"bad_{field}", "")
        else:
            if value == "":
                raise Refused(f"missing_{field}", "empty")
            if type(value) is not str:
                raise Refused(f"bad_{field}", "")
            value = value.strip().lower()
        found.append(value)
    stamp = payload.get("timestamp")
    if stamp is not None:
        try:
            if type(stamp) is not str or not TIMESTAMP.fullmatch(stamp):
                raise ValueError
            time_ms = int(datetime.fromisoformat(stamp).timestamp()) * 1000
        except ValueError:
            raise Refused("bad_timestamp", "") from None
    return user, (*found[:6], found[8]), found[6], found[7], time_ms


Rows = tuple[list[tuple[str, ...]], list[int], list[int]]
Model = Callable[[Rows], "np.ndarray[Any, Any]"]


def vectors(columns: list[str]) -> Callable[[Rows], np.ndarray[Any, Any]]:
    """What makes feature vectors of so many columns."""
    places = [{column.partition("=")[2]: place for place, column in enumerate(columns) if column.startswith(f"{field}=")}
              for field in CATEGORIES]
    organic, age = columns.index("is_organic"), columns.index("child_age/18")

    def make(rows: Rows) -> np.ndarray[Any, Any]:
        categories, is_organic, ages = rows
        matrix = np.zeros((len(categories), len(columns)), dtype=np.float32)
        matrix[:, columns.index("intercept")] = 1
        matrix[:, organic] = is_organic
        matrix[:, age] = np.minimum(ages, OLDEST) / OLDEST
        # A column more than there are takes what no column is for.
        for known, words in zip(places, zip(*categories, strict=True), strict=True):
            chosen = np.array([known.get(word, -1) for word in words])
            seen = np.flatnonzero(chosen >= 0)
            matrix[seen, chosen[seen]] = 1
        return matrix

    return make


def by_onnx(content: bytes, columns: list[str]) -> Model:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name, make = session.get_inputs()[0].name, vectors(columns)
    return lambda rows: session.run(None, {name: make(rows)})[0]


def linear_graph(model: dict[str, Any]) -> bytes:
    """The linear model as a graph of one matrix product."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.array([model["weights"][target] for target in TARGETS], dtype=np.float32).T
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "weights"], ["scores"])], "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", len(model["columns"])])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", len(TARGETS)])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())


def by_scikit_learn(path: Path) -> Model:
    import joblib

    model = joblib.load(path)

    def score(rows: Rows) -> np.ndarray[Any, Any]:
        categories, is_organic, ages = rows
        table = np.empty((len(categories), 9), dtype=object)
        table[:, :7] = categories
        table[:, 7] = is_organic
        table[:, 8] = np.minimum(ages, OLDEST) / OLDEST
        return np.asarray(model.predict(table))

    return score


def opened(path: Path) -> tuple[str, Model]:
    """The model and its version."""
    if path.suffix == ".joblib":
        return path.stem, by_scikit_learn(path)
    if path.suffix == ".json":
        model = json.loads(path.read_text())
        return path.stem, by_onnx(linear_graph(model), model["columns"])
    described = json.loads(path.with_name(path.name + ".json").read_text())
    return path.stem, by_onnx(path.read_bytes(), described["columns"])


class Sinks:
    """Both stores, each written with a whole batch at once."""

    def __init__(self, clickhouse: str, database: str, cache: str, number: str) -> None:
        host, _, port = clickhouse.partition(":")
        access = {"host": host, "port": int(port), "username": "lab", "password": "lab-secret", "compress": False}
        self.client = clickhouse_connect.get_client(**access)
        self.client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
        contexts = []
        for table, (columns, engine) in TABLES.items():
            self.client.command(f"CREATE TABLE {database}.{table} ({columns}) ENGINE = {engine}")
            names = OFFER if table == "personal_offer" else ("kafka_partition", "kafka_offset", *OFFER, "scored_at")
            contexts.append(self.client.create_insert_context(f"{database}.{table}", names, column_oriented=True))
        self.offers, self.history = contexts
        host, _, port = cache.partition(":")
        self.redis = redis.Redis(host, int(port), db=int(number))
        self.script = self.redis.script_load(NEWER)

    def insert(self, context: Any, columns: list[Any]) -> None:
        context.data = columns
        self.client.insert(context=context)

    def write(self, places: tuple[list[int], list[int]], users: list[int], versions: list[int], scores: Any, model: str) -> None:
        columns = [users, *(column.tolist() for column in scores.T), [model] * len(users), versions]
        now = time.time()
        self.insert(self.history, [*places, *columns, [datetime.fromtimestamp(now, timezone.utc)] * len(users)])
        # Of each user the newest; a batch rarely has one twice.
        newest = {user: row for version, user, row in sorted(zip(versions, users, range(len(users)), strict=True))}
        rows = list(newest.values())
        if len(rows) < len(users):
            columns = [[column[row] for row in rows] for column in columns]
        self.insert(self.offers, columns)
        pipeline, selected = self.redis.pipeline(transaction=False), scores[:, 2:] > 0.5
        for row in rows:
            user, version = users[row], versions[row]
            document = {"user_id": user}
            document |= zip(OFFER[1:9], scores[row].tolist(), strict=True)
            document["selected_functions"] = [name for name, chosen in zip(FUNCTIONS, selected[row].tolist(), strict=True) if chosen]
            document |= {"version": version, "model_version": model, "inserted_datetime": int(now)}
            pipeline.evalsha(self.script, 1, user, version, orjson.dumps(document))
        pipeline.execute()


def letter(message: Message, refused: Refused) -> dict[str, Any]:
    raw = message.value()
    document = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset(), "reason": refused.args[0],
                "detail": refused.args[1], "failed_at": datetime.now(timezone.utc).isoformat()}
    try:
        return document | {"raw": None if raw is None else raw.decode()}
    except UnicodeDecodeError:
        return document | {"raw": None, "raw_base64": base64.b64encode(raw).decode()}


def main() -> None:
    path, brokers, topic, clickhouse, database, cache, number, size = sys.argv[1:]
    version_of_model, model = opened(Path(path))
    sinks = Sinks(clickhouse, database, cache, number)
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": f"peer-{database}", "enable.auto.commit": False,
                         "fetch.queue.backoff.ms": 5, "auto.offset.reset": "earliest"})
    letters = f"{topic}.dlq"
    administrator = AdminClient({"bootstrap.servers": brokers})
    administrator.create_topics([NewTopic(letters, 1)])[letters].exception()
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5})
    partitions = list(consumer.list_topics(topic).topics[topic].partitions)
    left = sum(consumer.get_watermark_offsets(TopicPartition(topic, partition))[1] for partition in partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    started, read, counts = time.monotonic(), 0, {"accepted": 0, "duplicate": 0, "dead_letter": 0}
    known: OrderedDict[int, None] = OrderedDict()
    while read < left:
        messages = consumer.consume(int(size), timeout=30)
        if not messages:
            raise SystemExit(f"nothing came after {read} of {left} messages")
        read += len(messages)
        places: tuple[list[int], list[int]] = ([], [])
        users, versions, rows = [], [], ([], [], [])  # type: tuple[list[int], list[int], Rows]
        for message in messages:
            value = message.value()
            try:
                user, categories, is_organic, age, time_ms = checked(payload_of(value), message.timestamp()[1])
            except Refused as refused:
                producer.produce(letters, orjson.dumps(letter(message, refused)), message.key())
                counts["dead_letter"] += 1
                continue
            hashed = hash(value)
            if hashed in known:
                counts["duplicate"] += 1
                continue
            known[hashed] = None
            offset = message.offset()
            places[0].append(message.partition())
            places[1].append(offset)
            users.append(user)
            versions.append(time_ms * 1000 + offset % 1000)
            rows[0].append(categories)
            rows[1].append(is_organic)
            rows[2].append(age)
        while len(known) > HASHES:
            known.popitem(last=False)
        if users:
            counts["accepted"] += len(users)
            scores = np.clip(model(rows), LOWEST, HIGHEST).astype(np.float32)
            sinks.write(places, users, versions, scores, version_of_model)
        producer.flush()
        consumer.commit(offsets=consumer.position([TopicPartition(topic, partition) for partition in partitions]), asynchronous=False)
    print(json.dumps({"rows": read, "seconds": time.monotonic() - started, **counts}))
    consumer.close()


if __name__ == "__main__":
    main()
