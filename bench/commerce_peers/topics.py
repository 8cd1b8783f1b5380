"""What the bench needs of Kafka itself: `topics.py empty|count BROKERS TOPIC...`.

`empty` removes all messages of topics, which keep their partitions and go on with the next offset; `count` tells how many a topic has.
Prints the messages that are there now, by topic.
"""

from __future__ import annotations

import json
import sys

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

PATIENCE_S = 30


def main() -> None:
    action, brokers, *names = sys.argv[1:]
    settings = {"bootstrap.servers": brokers}
    consumer, admin = Consumer({**settings, "group.id": "bench"}), AdminClient(settings)
    told = {}
    for name in names:
        partitions = consumer.list_topics(name, PATIENCE_S).topics[name].partitions
        ends = {number: consumer.get_watermark_offsets(TopicPartition(name, number), PATIENCE_S) for number in partitions}
        if action == "empty":
            waiting = admin.delete_records([TopicPartition(name, number, end) for number, (_, end) in ends.items()])
            for future in waiting.values():
                future.result(PATIENCE_S)
            told[name] = 0
        else:
            told[name] = sum(end - first for first, end in ends.values())
    consumer.close()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
