"""Sales per minute with Bytewax: `bytewax_peer.py BROKERS TOPIC OUT.json`.

One worker, which takes the least CPU time. The clock waits longer than the orders are spread, since otherwise what is read later of another
partition counts as late and is dropped. Writes orders and cents by minute to a file; keeps no state and no positions.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import bytewax.operators as op
import bytewax.operators.windowing as windows
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

from order import read

Order = tuple[datetime, int]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
WAIT = timedelta(hours=6)
MINUTES: dict[str, list[int]] = {}


class Part(StatelessSinkPartition[tuple[str, tuple[int, list[int]]]]):
    def write_batch(self, items: list[tuple[str, tuple[int, list[int]]]]) -> None:
        for _, (number, sums) in items:
            MINUTES[f"{EPOCH + timedelta(minutes=number):%Y-%m-%dT%H:%M}"] = sums


class Sink(DynamicSink[tuple[str, tuple[int, list[int]]]]):
    def build(self, *_: object) -> Part:
        return Part()


def parsed(message: KafkaSourceMessage[bytes | None, bytes | None]) -> tuple[str, Order] | None:
    order = read(message.value)
    return None if order is None else ("all", order)


def added(sums: list[int], order: Order) -> list[int]:
    sums[0] += 1
    sums[1] += order[1]
    return sums


def merged(one: list[int], other: list[int]) -> list[int]:
    return [one[0] + other[0], one[1] + other[1]]


def main() -> None:
    brokers, topic, out = sys.argv[1:]
    flow = Dataflow("sales")
    messages = op.input("orders", flow, KafkaSource([brokers], [topic], tail=False, batch_size=10_000))
    orders = op.filter_map("parse", messages, parsed)
    clock = windows.EventClock(ts_getter=lambda order: order[0], wait_for_system_duration=WAIT)
    minute = windows.TumblingWindower(length=timedelta(minutes=1), align_to=EPOCH)
    sales = windows.fold_window("sales", orders, clock, minute, lambda: [0, 0], added, merged, ordered=False)
    op.output("out", sales.down, Sink())
    started = time.monotonic()
    run_main(flow)
    seconds = time.monotonic() - started
    Path(out).write_text(json.dumps(MINUTES))
    print(json.dumps({"rows": sum(count for count, _ in MINUTES.values()), "seconds": seconds}))


if __name__ == "__main__":
    main()
