"""How long an event waits until it is counted: `latency.py BROKERS PREFIX DATABASE_HOST:PORT DATABASE RATE EVENTS HEADRACE`.

The simulator makes events at an even rate; event n happens at the start + n ÷ rate and is sent within 20 ms. The start is the oldest
timestamp of its messages. Every 50 ms the committed number of events is read from the tables (`quality_per_minute`, class `read`). Events
are counted nearly in the order in which they happen, so event n is visible when n events are; that is late by up to 50 ms, the time between
two looks. Prints percentiles in milliseconds as JSON: of the wait of every event, and of the lag of the newest visible event at each look.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pymysql
from confluent_kafka import Consumer, TopicPartition

LOOK_S = 0.05
WARM_UP_S = 5
PATIENCE_S = 60
TOPICS = ("page_views", "cart_events", "orders")
COUNT = "SELECT COALESCE(SUM(`count`), 0) FROM quality_per_minute WHERE `class` = 'read'"


def ends(brokers: str, prefix: str) -> tuple[Consumer, list[TopicPartition]]:
    """A consumer, and where the topics end now."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "bench-latency", "enable.auto.commit": False})
    places = []
    for name in (f"{prefix}.{topic}" for topic in TOPICS):
        for number in consumer.list_topics(name, 30).topics[name].partitions:
            end = consumer.get_watermark_offsets(TopicPartition(name, number), 30)[1]
            places.append(TopicPartition(name, number, end))
    return consumer, places


def began(consumer: Consumer, places: list[TopicPartition]) -> float:
    """When the first message behind the places was made, in seconds."""
    consumer.assign(places)
    wanted = {(place.topic, place.partition) for place in places}
    oldest = float("inf")
    deadline = time.time() + PATIENCE_S
    while wanted and time.time() < deadline:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        place = (message.topic(), message.partition())
        if place in wanted:
            wanted.discard(place)
            oldest = min(oldest, message.timestamp()[1] / 1000)
            consumer.incremental_unassign([TopicPartition(*place)])
    consumer.close()
    if wanted:
        raise SystemExit(f"no message came in {sorted(wanted)}")
    return oldest


def percentiles(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    return {f"p{share:g}": values[min(len(values) - 1, int(len(values) * share / 100))] for share in (50, 90, 99)} | {"max": values[-1]}


def main() -> None:
    brokers, prefix, server, database, rate_text, events_text, headrace = sys.argv[1:]
    rate, events = float(rate_text), int(events_text)
    host, _, port = server.partition(":")
    connection = pymysql.connect(host=host, port=int(port), user="lab", password="lab", database=database, autocommit=True)
    cursor = connection.cursor()

    def counted() -> int:
        cursor.execute(COUNT)
        return int(cursor.fetchone()[0])

    base = counted()
    consumer, places = ends(brokers, prefix)
    line = [headrace, "commerce", "simulate", "--to", f"kafka://{brokers}/{prefix}", "--events", str(events), "--rate", rate_text,
            "--users", "100000", "--products", "1000", "--seed", "7", "--json", "--log-level", "warn"]
    sender = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    looks: list[tuple[float, int]] = []
    deadline = time.time() + events / rate + PATIENCE_S
    due = time.time()
    while time.time() < deadline:
        count = counted() - base
        looks.append((time.time(), count))
        if looks[-1][1] >= events:
            break
        due = max(due + LOOK_S, time.time())
        time.sleep(max(0.0, due - time.time()))
    if sender.wait(PATIENCE_S) != 0:
        raise SystemExit("the simulator failed")
    start = began(consumer, places)
    waits: list[float] = []
    lags: list[float] = []
    warm, visible = int(WARM_UP_S * rate), 0
    for at, count in looks:
        # The newest visible event is the one numbered count - 1; the ones since the last look have become visible now.
        waits += [(at - start - number / rate) * 1000 for number in range(max(visible, warm), count)]
        if warm < count < events:
            lags.append((at - start - (count - 1) / rate) * 1000)
        visible = max(visible, count)
    if not waits or not lags:
        raise SystemExit(f"{visible} of {events} events became visible")
    told = {"rows": events, "seconds": looks[-1][0] - start, "missing": events - visible, "looks": len(looks)}
    print(json.dumps({**told, **percentiles(waits), "lag": percentiles(lags)}))


if __name__ == "__main__":
    main()
