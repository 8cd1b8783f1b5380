"""How long a registration waits for its offer: `latency.py BROKERS TOPIC REDIS_HOST:PORT REDIS_DATABASE RATE COUNT`.

Sends registrations at an even rate, each of a new user, and watches the cache by MONITOR, which tells when the server carried a write out:
then everybody can read the offer. Time runs from handing a registration to the producer. Prints percentiles in milliseconds as JSON.
"""

from __future__ import annotations

import json
import random
import re
import socket
import sys
import threading
import time

from confluent_kafka import Producer

WARM_UP_S = 3
PATIENCE_S = 30
COUNTRIES = (("ru", "ru"), ("kz", "ru"), ("de", "de"), ("us", "en"), ("fr", "fr"))
BRANDS = ("xiaomi", "samsung", "huawei", "google")
WRITE = re.compile(rb'^\+(\d+\.\d+) \[(\d+) lua\] "SET" "(\d+)"', re.IGNORECASE)


def registration(user: int) -> bytes:
    country, language = random.choice(COUNTRIES)
    payload = {
        "user_id": str(user), "ip_country": country, "device_country": country, "device_language": language, "platform": "Android",
        "platform_store": "Google Play", "smartphone_brand": random.choice(BRANDS), "is_organic": random.randrange(2),
        "child_age": random.randrange(3, 18), "child_smartphone_brand": random.choice(BRANDS),
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return json.dumps({"schema": {"type": "string", "optional": False}, "payload": payload}).encode()


def watch(cache: str, number: str, seen: dict[int, float], ready: threading.Event, ended: threading.Event) -> None:
    """Notes when each user's offer was written first."""
    host, _, port = cache.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(0.2)
        connection.sendall(b"MONITOR\r\n")
        rest = b""
        while not ended.is_set():
            try:
                received = connection.recv(1 << 18)
            except TimeoutError:
                continue
            ready.set()
            *lines, rest = (rest + received).split(b"\r\n")
            for line in lines:
                found = WRITE.match(line)
                if found and found[2].decode() == number:
                    seen.setdefault(int(found[3]), float(found[1]))


def main() -> None:
    brokers, topic, cache, number, rate, count = sys.argv[1:]
    per_second, total = float(rate), int(count)
    seen: dict[int, float] = {}
    sent: dict[int, float] = {}
    ready, ended = threading.Event(), threading.Event()
    watcher = threading.Thread(target=watch, args=(cache, number, seen, ready, ended), daemon=True)
    watcher.start()
    if not ready.wait(10):
        raise SystemExit("the cache does not answer")
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
    first, warm = 1_000_000_000, int(WARM_UP_S * per_second)
    began = time.time()
    for sequence in range(warm + total):
        due = began + sequence / per_second
        while (now := time.time()) < due:
            producer.poll(0)
            time.sleep(min(0.001, due - now))
        user = first + sequence
        sent[user] = time.time()
        producer.produce(topic, registration(user), str(user))
    spent = time.time() - began
    producer.flush()
    deadline = time.time() + PATIENCE_S
    while len(seen) < len(sent) and time.time() < deadline:
        time.sleep(0.1)
    ended.set()
    watcher.join()
    waits = sorted((seen[user] - at) * 1000 for user, at in sent.items() if user in seen and user >= first + warm)
    missing = sum(user not in seen for user in sent)
    if not waits:
        raise SystemExit("no offer came")
    told = {f"p{share:g}": waits[min(len(waits) - 1, int(len(waits) * share / 100))] for share in (50, 90, 99, 99.9)}
    print(json.dumps({"rows": len(sent), "seconds": spent, "missing": missing, **told, "max": waits[-1]}))


if __name__ == "__main__":
    main()
