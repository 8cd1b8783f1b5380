"""Sales per minute with Quix Streams: `quix_peer.py BROKERS TOPIC MESSAGES OUT.json`.

Windows belong to a message's key, so every order gets the same key while it is read; that spares the topic in between by which streams are
grouped anew. What is left is a sum of each partition, and those are added here. A minute is closed two minutes after its end, so the last
ones of a partition stay open when the topic ends: they are not in the file. State is in RocksDB without changelog topics, and positions
are committed every second.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.dataframe.windows import Count, Sum
from quixstreams.models import Deserializer

from order import read


class Same(Deserializer):
    """The same key for all."""

    def __call__(self, *_: object, **__: object) -> str:
        return "all"


class Order(Deserializer):
    """Minute and cents of an order."""

    def __call__(self, value: bytes, *_: object, **__: object) -> dict[str, int] | None:
        order = read(value)
        return None if order is None else {"at": int(order[0].timestamp() * 1000), "cents": order[1]}


def happened(value: Any, _headers: object, timestamp: float, _kind: object) -> int:
    return int(timestamp) if value is None else value["at"]


def main() -> None:
    brokers, name, messages, out = sys.argv[1:]
    parts: dict[int, list[list[int]]] = {}
    seen, last = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-quix-") as state:
        app = Application(
            broker_address=brokers, consumer_group=f"bench-{uuid.uuid4().hex}", auto_offset_reset="earliest", state_dir=state,
            use_changelog_topics=False, commit_interval=1.0, loglevel="WARNING",
        )
        topic = app.topic(name, key_deserializer=Same(), value_deserializer=Order(), timestamp_extractor=happened)

        def counted(value: dict[str, int] | None) -> bool:
            nonlocal seen, last
            seen += 1
            if seen == total:
                last = time.monotonic()
                app.stop()
            return value is not None

        def keep(window: dict[str, int]) -> None:
            parts.setdefault(window["start"], []).append([window["orders"], window["cents"]])

        total = int(messages)
        frame = app.dataframe(topic).filter(counted)
        frame = frame.tumbling_window(timedelta(minutes=1), grace_ms=timedelta(minutes=2)).agg(orders=Count(), cents=Sum("cents")).final()
        frame.update(keep)
        started = time.monotonic()
        app.run(timeout=60)
    if seen < total:
        raise SystemExit(f"{seen} of {total} messages came")
    partitions = max(map(len, parts.values()), default=0)
    minutes = {
        f"{datetime.fromtimestamp(start / 1000, timezone.utc):%Y-%m-%dT%H:%M}": [sum(column) for column in zip(*sums, strict=True)]
        for start, sums in parts.items() if len(sums) == partitions
    }
    Path(out).write_text(json.dumps(minutes))
    print(json.dumps({"rows": seen, "seconds": last - started}))


if __name__ == "__main__":
    main()
