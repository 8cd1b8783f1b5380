#!/usr/bin/env python3
"""Makes the golden set of scoring beside this file: the topic, and what must come out of it with the built-in model.

Nothing of the workers is used: the reasons are written down here, and the numbers are computed with plain floats.
"""

import csv
import json
import struct
from pathlib import Path

HERE = Path(__file__).parent
MODEL = json.loads((HERE.parents[2] / "src/scoring/model/simulated.json").read_text())
FIELDS = ["ip_country", "device_country", "device_language", "platform", "platform_store", "smartphone_brand", "child_smartphone_brand"]
TARGETS = ["cost", "subscription"] + [
    f"function_{name}"
    for name in ("map", "ignore_sound", "listen_sound", "detailed_routes", "sos_signal", "invite_second_parent")
]
COLUMNS = [f"predicted_{target}" for target in TARGETS]
BASE_MS = 1_737_000_000_000  # 2025-01-16T04:00:00Z
CONSTANT = {
    "user_id": "1",
    "ip_country": "ru",
    "device_country": "ru",
    "device_language": "ru",
    "platform": "Android",
    "platform_store": "Google Play",
    "smartphone_brand": "xiaomi",
    "is_organic": 0,
    "child_age": 7,
    "child_smartphone_brand": "iphone",
    "timestamp": "2025-01-16T04:00:00Z",
}
GONE = object()


def payload(**changes):
    """Gives the constant registration with other or without some members."""
    return {name: value for name, value in (CONSTANT | changes).items() if value is not GONE}


def envelope(inner) -> str:
    """Wraps a payload as the original's sender does."""
    return json.dumps({"schema": {"type": "string", "optional": False}, "payload": inner}, ensure_ascii=False)


def at(seconds: int) -> str:
    """Gives a time of the contract, so many seconds behind the first."""
    return f"2025-01-16T04:{seconds // 60:02}:{seconds % 60:02}Z"


# Value, and either the seconds of its registration time or the reason for which it is refused.
CASES: list[tuple[str | None, int | str]] = [
    (envelope(payload()), 0),
    (envelope(payload(user_id=GONE, id="2", child_age=27, ip_country="fr")), 0),
    (envelope(json.dumps(payload(user_id="3"))), 0),
    (envelope(payload(user_id=4, platform=" ANDROID ", smartphone_brand="XiaoMi")), 0),
    (envelope(payload(user_id="4294967295", is_organic=1.0, child_age=7.0)), 0),
    (envelope(payload(user_id="2147483648", smartphone_brand="Nokia", device_language="fi")), 0),
    (envelope(payload()), "duplicate"),
    (envelope(payload(user_id="7", child_age=9, timestamp=at(10))), 10),
    (envelope(payload(user_id="7", child_age=10, timestamp=at(20))), 20),
    (envelope(payload(user_id="7", child_age=8, timestamp=at(5))), 5),
    (envelope(payload(user_id="8", timestamp=GONE)), 1),
    (envelope(payload(user_id="0009", surname="ignored", child_age=0)), 0),
    (envelope(payload(user_id="10", platform="iOS", platform_store="App Store", smartphone_brand="iphone", is_organic=1)), 0),
    (envelope(payload(user_id="11", ip_country="us", device_country="us", device_language="en", child_age=18)), 0),
    (envelope(payload(user_id="12", ip_country="de", device_country="de", device_language="de", child_age=120)), 0),
    (None, "empty_value"),
    ("", "empty_value"),
    ("{", "bad_json"),
    ('{"payload":{"child_age":NaN}}', "bad_json"),
    (json.dumps(payload()), "not_an_envelope"),
    ("[1]", "not_an_envelope"),
    ('{"payload":null}', "missing_payload"),
    ('{"payload":7}', "bad_payload"),
    ('{"payload":"{"}', "bad_payload"),
    (envelope(payload(user_id=GONE)), "missing_user_id"),
    (envelope(payload(user_id="", id=None)), "missing_user_id"),
    (envelope(payload(user_id="-1")), "bad_user_id"),
    (envelope(payload(user_id=0)), "bad_user_id"),
    (envelope(payload(user_id="4294967296")), "bad_user_id"),
    (envelope(payload(ip_country=None, is_organic=2)), "missing_ip_country"),
    (envelope(payload(device_language="")), "missing_device_language"),
    (envelope(payload(platform=3)), "bad_platform"),
    (envelope(payload(is_organic=True)), "bad_is_organic"),
    (envelope(payload(child_age=121)), "bad_child_age"),
    (envelope(payload(child_age="")), "bad_child_age"),
    (envelope(payload(child_age=GONE, child_smartphone_brand=GONE)), "missing_child_age"),
    (envelope(payload(child_smartphone_brand=[])), "bad_child_smartphone_brand"),
    (envelope(payload(timestamp="2025-02-30T00:00:00Z")), "bad_timestamp"),
]


def single(value: float) -> float:
    """Rounds to single precision."""
    return struct.unpack("f", struct.pack("f", value))[0]


def features(value: str) -> dict:
    """Finds the members of an accepted message."""
    inner = json.loads(value)["payload"]
    return json.loads(inner) if isinstance(inner, str) else inner


def columns(members: dict) -> tuple[list[str], list[float], bool]:
    """Gives the model's columns that are not zero, their values, and whether a category is unseen."""
    names, values = ["intercept", "is_organic", "child_age/18"], [1.0, members["is_organic"], min(members["child_age"], 18) / 18]
    unseen = False
    for field in FIELDS:
        category = members[field].strip().lower()
        unseen |= category not in MODEL["vocabulary"][field]
        names.append(f"{field}={category}")
        values.append(1.0)
    return names, values, unseen


def predict(members: dict) -> tuple[list[float], bool]:
    """Computes the eight numbers."""
    names, values, unseen = columns(members)
    place = {name: number for number, name in enumerate(MODEL["columns"])}
    numbers = []
    for index, target in enumerate(TARGETS):
        weights = MODEL["weights"][target]
        total = sum(weights[place[name]] * value for name, value in zip(names, values, strict=True) if name in place)
        low, high = [(0, float("inf")), (1, 12)][index] if index < 2 else (0, 1)
        numbers.append(single(min(max(total, low), high)))
    return numbers, unseen


def write_csv(name: str, rows: list[dict]) -> None:
    """Writes rows under the names of the first."""
    with (HERE / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Writes all files."""
    ends: dict[int, int] = {}
    records, accepted, refused = [], [], []
    counters = dict.fromkeys(["duplicate", "offers", "replaced", "stale", "unseen_category", "clipped_age"], 0)
    newest: dict[int, dict] = {}
    for line, (value, outcome) in enumerate(CASES, 1):
        members = features(value) if value and isinstance(outcome, int) else {}
        user = int(members.get("user_id") or members.get("id") or 0)
        # A user's messages keep their order, and so do the two equal ones.
        partition = user % 3 if outcome != "duplicate" else 1
        offset = ends.get(partition, 0)
        ends[partition] = offset + 1
        time_ms = BASE_MS + 1_000
        record = {"line": line, "partition": partition, "offset": offset, "timestamp_ms": time_ms, "key": str(user), "value": value}
        records.append(record)
        if outcome == "duplicate":
            counters["duplicate"] += 1
            continue
        if isinstance(outcome, str):
            refused.append({"line": line, "partition": partition, "offset": offset, "reason": outcome})
            counters[f"dead_letter:{outcome}"] = counters.get(f"dead_letter:{outcome}", 0) + 1
            continue
        numbers, unseen = predict(members)
        selected = [target.removeprefix("function_") for target, number in zip(TARGETS, numbers, strict=True) if target in TARGETS[2:] and number > 0.5]
        version = (BASE_MS + outcome * 1_000) * 1_000 + offset % 1_000
        row = {"line": line, "user_id": user} | dict(zip(COLUMNS, numbers, strict=True))
        row |= {"version": version, "selected_functions": ",".join(selected)}
        accepted.append(row)
        fate = "offers" if user not in newest else "replaced" if version > newest[user]["version"] else "stale"
        counters[fate] += 1
        counters["unseen_category"] += unseen
        counters["clipped_age"] += members["child_age"] > 18
        if fate != "stale":
            newest[user] = row
    counters |= {"read": len(records), "accepted": len(accepted), "dead_letter": len(refused)}
    (HERE / "registrations.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    write_csv("expected_predictions.csv", accepted)
    offers = [{name: value for name, value in row.items() if name != "line"} for _, row in sorted(newest.items())]
    write_csv("expected_personal_offer.csv", offers)
    write_csv("expected_dead_letter.csv", refused)
    cached = [
        {"key": str(row["user_id"]), "value": row | {"selected_functions": [name for name in row["selected_functions"].split(",") if name]}}
        for row in offers
    ]
    (HERE / "expected_redis.jsonl").write_text("".join(json.dumps(row) + "\n" for row in cached))
    (HERE / "expected_quality.json").write_text(json.dumps({name: counters[name] for name in sorted(counters)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
