#!/usr/bin/env python3
"""The contract of commerce, counted the slow and plain way, to make golden files: reference.py FOLDER reads FOLDER/events.jsonl.

It shares no code with the workers: event after event, everything in memory, Python's own decimals and dates.
`reference.py --check FOLDER` compares with the files that are there.
"""
import base64
import hashlib
import json
import re
import sys
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

MINUTE, DAY = 60_000_000, 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
TYPES = {"page_view": "views", "add_to_cart": "cart", "purchase": "orders"}
TOPICS = {"page_view": "page_views", "add_to_cart": "cart_events", "purchase": "orders"}
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?\Z", re.ASCII)


class Refused(Exception):
    pass


def micros(text):
    found = TIME.match(text)
    if not found:
        raise Refused("bad_timestamp")
    day, clock, fraction, zone = found.groups()
    try:
        moment = datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        raise Refused("bad_timestamp") from None
    value = (moment - EPOCH) // timedelta(microseconds=1) + int((fraction or "").ljust(6, "0")[:6])
    if zone and zone != "Z":
        hours, minutes = int(zone[1:3]), int(zone[4:])
        if minutes > 59 or hours * 60 + minutes > 14 * 60:
            raise Refused("bad_timestamp")
        value -= (hours * 60 + minutes) * MINUTE * (1 if zone[0] == "+" else -1)
    return value


def text(value):
    return (EPOCH + timedelta(microseconds=value)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def cents(value):
    return str(value.quantize(Decimal("0.01"), ROUND_HALF_UP))


def no_constant(name):
    raise ValueError(name)


def identity(value, what):
    if value is None or value == "":
        raise Refused(f"missing_{what}")
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise Refused(f"bad_{what}")
    return str(value)


def read(raw, arrival):
    if not raw:
        raise Refused("empty_value")
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("not_utf8") from None
    try:
        event = json.loads(decoded, parse_float=Decimal, parse_constant=no_constant)
    except ValueError:
        raise Refused("bad_json") from None
    if not isinstance(event, dict):
        raise Refused("not_an_object")
    kind = event.get("event_type")
    if kind is None:
        raise Refused("missing_event_type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise Refused("unknown_event_type")
    user, product = identity(event.get("user_id"), "user_id"), identity(event.get("product_id"), "product_id")
    stamp = event.get("timestamp")
    if stamp is None:
        raise Refused("missing_timestamp")
    if not isinstance(stamp, str):
        raise Refused("bad_timestamp")
    time = micros(stamp)
    if time > arrival + 5 * MINUTE:
        raise Refused("future_timestamp")
    if time < arrival - DAY:
        raise Refused("too_old")
    price = event.get("price")
    if price is None and kind == "purchase":
        raise Refused("missing_price")
    if price is not None:
        if isinstance(price, bool) or not isinstance(price, (int, Decimal)):
            raise Refused("bad_price")
        price = Decimal(price)
        if price < 0 or price > 10**9 or price != price.quantize(Decimal("0.0001")):
            raise Refused("bad_price")
    category = event.get("category")
    if category is not None and not isinstance(category, str):
        raise Refused("bad_category")
    number = event.get("event_id")
    if not isinstance(number, str) or not number:
        number = "sha256:" + hashlib.sha256(raw).hexdigest()
    return {"id": number, "kind": kind, "user": user, "product": product, "time": time, "price": price,
            "category": "unknown" if category is None else category, "content": event}


def join(events, late):
    carts = [e for e in events if e["kind"] == "add_to_cart" and e["id"] not in late]
    bought = [e for e in events if e["kind"] == "purchase" and e["id"] not in late]
    pairs, attributed, used = [], [], set()
    for purchase in sorted(bought, key=lambda e: (e["time"], e["id"])):
        matching = [c for c in carts if (c["user"], c["product"]) == (purchase["user"], purchase["product"])
                    and c["time"] <= purchase["time"] <= c["time"] + 20 * MINUTE]
        matching.sort(key=lambda e: (e["time"], e["id"]))
        pairs += [(cart, purchase) for cart in matching]
        free = [cart for cart in matching if cart["id"] not in used]
        if free:
            used.add(free[-1]["id"])
            attributed.append((free[-1], purchase))
    return pairs, attributed


def calculate(lines):
    accepted, seen, dead, late, closings = [], {}, [], [], []
    counts = {"read": 0, "accepted": 0, "duplicate": 0, "dead_letter": 0}
    count = lambda name: counts.__setitem__(name, counts.get(name, 0) + 1)
    newest, newest_cart, windows, products, closed = None, None, {}, {}, set()
    for line in lines:
        count("read")
        arrival = micros(line["arrival"])
        raw = base64.b64decode(line["value_base64"]) if "value_base64" in line else (line.get("value") or "").encode()
        try:
            event = read(raw, arrival)
            if event["id"] in seen and seen[event["id"]] != event["content"]:
                raise Refused("conflicting_duplicate")
        except Refused as refusal:
            count("dead_letter")
            count(f"dead_letter:{refusal}")
            dead.append([line["line"], line["topic"], line["partition"], line["offset"], str(refusal)])
            continue
        if event["id"] in seen:
            count("duplicate")
            continue
        seen[event["id"]] = event["content"]
        accepted.append(event)
        count("accepted")
        count(f"accepted:{event['kind']}")
        if line["topic"] != TOPICS[event["kind"]]:
            count("misrouted")
        time, kind = event["time"], event["kind"]
        if kind == "page_view":
            continue
        both = None if newest is None or newest_cart is None else min(newest, newest_cart) - 30 * MINUTE
        if both is not None and time < both:
            count("late:funnel")
            late.append([line["line"], "funnel", event["id"], text(time), text(both)])
        if kind == "add_to_cart":
            newest_cart = time if newest_cart is None else max(newest_cart, time)
            continue
        start = time - time % MINUTE
        mark = None if newest is None else newest - 2 * MINUTE
        is_late = mark is not None and start + MINUTE <= mark
        if is_late:
            count("late:sales")
            late.append([line["line"], "sales", event["id"], text(time), text(mark)])
        for table, key in ((windows, start), (products, (event["product"], start))):
            row = table.setdefault(key, [Decimal(0), 0, Decimal(0), 0])
            row[2 * is_late] += event["price"]
            row[2 * is_late + 1] += 1
        newest = time if newest is None else max(newest, time)
        for other, row in sorted(windows.items()):
            if row[1] and other not in closed and other + MINUTE <= newest - 2 * MINUTE:
                closed.add(other)
                closings.append([text(other), text(other + MINUTE), line["line"]])
    final = lambda start: "true" if newest is not None and start + MINUTE <= newest - 2 * MINUTE else "false"
    sales = lambda start, row: [text(start), text(start + MINUTE), cents(row[0]), row[1], cents(row[2]), row[3], final(start)]
    pairs, attributed = join(accepted, {row[2] for row in late if row[1] == "funnel"})
    counts |= {"pairs": len(pairs), "attributed": len(attributed), "windows": len(windows)}
    files = {
        "sales_per_minute": [sales(start, row) for start, row in sorted(windows.items())],
        "sales_by_product": [[key[0], *sales(key[1], row)] for key, row in sorted(products.items())],
        "late": late, "window_closings": closings, "dead_letter": dead,
    } | simple(accepted) | conversions(pairs, attributed) | {"funnel": funnel(accepted, attributed)}
    return files, counts


def simple(accepted):
    tickets, categories, viewed, raw = {}, {}, {}, {}
    for event in accepted:
        key = (TYPES[event["kind"]], text(event["time"])[:10])
        raw[key] = raw.get(key, 0) + 1
        if event["kind"] == "purchase":
            orders, total = tickets.get(event["user"], (0, Decimal(0)))
            tickets[event["user"]] = (orders + 1, total + event["price"])
        elif event["kind"] == "page_view":
            categories[event["category"]] = categories.get(event["category"], 0) + 1
            viewed[event["product"]] = viewed.get(event["product"], 0) + 1
    best = sorted(viewed.items(), key=lambda item: (-item[1], item[0]))[:5]
    return {
        "orders_avg_ticket": [[user, n, cents(total), cents(total / n)] for user, (n, total) in sorted(tickets.items())],
        "views_by_category": [[name, n] for name, n in sorted(categories.items())],
        "top_products": [[rank, product, n] for rank, (product, n) in enumerate(best, 1)],
        "raw_counts": [[*key, n] for key, n in sorted(raw.items())],
    }


def conversions(pairs, attributed):
    def rows(found):
        order = lambda pair: (pair[1]["time"], pair[1]["id"], pair[0]["time"], pair[0]["id"])
        return [[cart["id"], bought["id"], cart["user"], cart["product"], text(cart["time"]), text(bought["time"]),
                 f"{(bought['time'] - cart['time']) / Decimal(10**6):.6f}"] for cart, bought in sorted(found, key=order)]
    return {"conversion_pairs": rows(pairs), "conversion_attributed": rows(attributed)}


def funnel(accepted, attributed):
    viewed = {}
    for event in accepted:
        if event["kind"] == "page_view":
            viewed.setdefault((event["user"], event["product"]), []).append(event["time"])
    converted, table = {cart["id"] for cart, _ in attributed}, {}
    for event in accepted:
        for category in ("*", event["category"]):
            row = table.setdefault(category, [0, 0, 0, 0, 0])
            if event["kind"] == "page_view":
                row[0] += 1
            elif event["kind"] == "purchase":
                row[3] += 1
            else:
                row[1] += 1
                times = viewed.get((event["user"], event["product"]), [])
                row[2] += any(time <= event["time"] <= time + 20 * MINUTE for time in times)
                row[4] += event["id"] in converted
    rate = lambda row: str((Decimal(row[4]) / row[1]).quantize(Decimal("0.0001"), ROUND_HALF_UP)) if row[1] else ""
    return [[category, *row, rate(row)] for category, row in sorted(table.items())]


SALES = "window_start,window_end,{},{},{},late_orders,final"
PAIRS = "cart_event_id,purchase_event_id,user_id,product_id,cart_timestamp,purchase_timestamp,seconds_to_purchase"
HEADERS = {
    "sales_per_minute": SALES.format("total_sales", "total_orders", "late_sales"),
    "sales_by_product": "product_id," + SALES.format("product_revenue", "orders_count", "late_revenue"),
    "orders_avg_ticket": "user_id,orders,total,avg_ticket",
    "views_by_category": "category,views_count",
    "top_products": "rank,product_id,views_count",
    "conversion_pairs": PAIRS,
    "conversion_attributed": PAIRS,
    "funnel": "category,views,carts,carts_after_view,purchases,carts_converted,cart_conversion_rate",
    "raw_counts": "dataset,fecha,rows",
    "late": "line,metric,event_id,timestamp,watermark",
    "window_closings": "window_start,window_end,closed_by_line",
    "dead_letter": "line,topic,partition,offset,reason",
}


def main():
    check, folder = sys.argv[1] == "--check", Path(sys.argv[-1])
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    files, counts = calculate(lines)
    outputs = {f"expected_{name}.csv": HEADERS[name] + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
               for name, rows in files.items()}
    outputs["expected_quality.json"] = json.dumps(dict(sorted(counts.items())), indent=1) + "\n"
    wrong = 0
    for name, content in outputs.items():
        if not check:
            (folder / name).write_text(content)
        elif (folder / name).read_text() != content:
            wrong += 1
            print(f"{name} differs")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
