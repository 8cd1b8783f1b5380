"""The case of commerce: shop events from Kafka into tables and an archive, by Headrace and by what it replaces.

All variants read the same topics of simulated events into empty stores. What both must have is compared: of the raw events, the orders and
their revenue, and the views, without repetitions and refused events, which only Headrace tells apart.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from results import Case
from stack import FOLDER, ROOT, SCRATCH, Failed, Run, Stack, say, script

PEERS = ROOT / "bench/commerce_peers"
USERS, PRODUCTS, MANY_USERS = 100_000, 1_000, 1_000_000
ORDERS_SHARE = 0.15
RATE = 5_000
EMBEDDED, MARIADB = "headrace stream, all outputs, embedded store", "headrace stream, all outputs, MariaDB"
SPARK, SPARK_OWN = "Spark 3.5, the seven queries", "Spark 3.5, the seven queries, each of its own topic only"
SALES, SALES_ALL = "headrace stream --keep sales, no archive, embedded store", "headrace stream, everything kept, no archive, embedded store"
BYTEWAX, QUIX, SPARK_SALES = "Bytewax 0.21", "Quix Streams 3.28", "Spark 3.5"
# What each of them is held against: how many times fewer CPU-seconds per order.
SALES_PEERS = ((BYTEWAX, 5), (QUIX, 25), (SPARK_SALES, 25))
ALONE = "parse, de-duplicate and window alone, two threads"
FOLLOW = "headrace stream --follow at 5,000 events/s, MariaDB"
# What Spark's schema lets through, and Headrace refuses.
LET_THROUGH = ("too_old", "bad_user_id", "bad_product_id", "missing_product_id", "missing_price", "bad_price", "bad_category")
ORIGINAL = {"orders": "accepted:purchase", "cart": "accepted:add_to_cart", "views": "accepted:page_view"}


@dataclass
class Totals:
    """What a run of Headrace has left in its tables."""

    counters: dict[str, int]
    orders: int
    revenue: Decimal
    late_orders: int
    tickets: tuple[int, Decimal]
    views: int
    minutes: dict[str, list[int]]
    sales_only: bool

    def check(self) -> None:
        """Every event has one fate, and all tables that are kept count the same ones."""
        known = self.counters["accepted"] + self.counters["duplicate"] + self.counters["dead_letter"]
        if known != self.counters["read"]:
            raise ValueError(f"{self.counters['read']} events were read, but {known} are accepted, repeated or refused")
        purchases = self.counters.get("accepted:purchase", 0)
        tickets = (0, Decimal(0)) if self.sales_only else (purchases, self.revenue)
        if (self.orders, self.tickets) != (purchases, tickets):
            raise ValueError(f"{purchases} orders were accepted; by minute {self.orders}, {self.revenue}; by user {self.tickets}")
        if not self.sales_only and self.views != self.counters.get("accepted:page_view", 0):
            raise ValueError(f"{self.views} views by category, {self.counters.get('accepted:page_view')} accepted")


class Shop:
    """Topics, stores and archives of the runs."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.brokers = stack, stack.addresses["kafka"]

    def step(self, *words: str | Path) -> Run:
        run, output = self.stack.measured([self.stack.headrace, "commerce", *words, "--json", "--log-level", "warn"], good=(0, 3))
        run.told = json.loads(output)
        run.rows, run.seconds = run.told["read"], run.told["seconds"]
        return run

    def log(self, prefix: str) -> str:
        return self.stack.url("kafka", prefix)

    def simulate(self, what: str, events: int, users: int, *words: str) -> str:
        """Three topics with simulated events; gives what stands before their names."""
        prefix = self.stack.name(what)
        say(f"simulating {events:,} events")
        common = ("--events", str(events), "--users", str(users), "--products", str(PRODUCTS), "--seed", "1")
        self.step("simulate", "--to", self.log(prefix), *common, *words)
        return prefix

    def topics(self, action: str, *names: str) -> dict[str, int]:
        python = Path(self.stack.peer("commerce")) / "bin/python"
        return json.loads(script(python, PEERS / "topics.py", action, self.brokers, *names))

    def totals(self, store: str, sales_only: bool) -> Totals:
        """Reads a store's tables as their export shows them."""
        folder = SCRATCH / self.stack.name("export")
        script(self.stack.headrace, "commerce", "export", "--store", store, "--out", folder, "--quiet")

        def rows(name: str) -> list[dict[str, str]]:
            with (folder / f"{name}.csv").open(newline="") as file:
                return list(csv.DictReader(file))

        sales = rows("sales_per_minute")
        minutes = {}
        for row in sales:
            revenue = Decimal(row["total_sales"]) + Decimal(row["late_sales"])
            minutes[row["window_start"][:16]] = [int(row["total_orders"]) + int(row["late_orders"]), int(revenue * 100)]
        tickets = rows("orders_avg_ticket")
        found = Totals(
            counters=json.loads((folder / "quality.json").read_text()),
            orders=sum(orders for orders, _ in minutes.values()),
            revenue=Decimal(sum(cents for _, cents in minutes.values())) / 100,
            late_orders=sum(int(row["late_orders"]) for row in sales),
            tickets=(sum(int(row["orders"]) for row in tickets), sum((Decimal(row["total"]) for row in tickets), Decimal(0))),
            views=sum(int(row["views_count"]) for row in rows("views_by_category")),
            minutes=minutes,
            sales_only=sales_only,
        )
        shutil.rmtree(folder)
        found.check()
        return found

    def stream(self, prefix: str, server: str, archive: bool = True, keep: str = "everything") -> tuple[Run, Totals, dict[str, int]]:
        """Drains topics into an empty store; gives what is in its tables and in its archive."""
        folder = SCRATCH / self.stack.name("commerce")
        database = self.stack.database() if server == "mariadb" else None
        store = self.stack.url("mariadb", database) if database else f"embedded:{folder / 'store'}"
        lake = folder / "archive"
        to = ("--store", store, "--archive", f"file:{lake}" if archive else "none", "--keep", keep)
        run = self.step("stream", "--from", self.log(prefix), *to)
        totals, archived = self.totals(store, keep == "sales"), {}
        if archive:
            python = Path(self.stack.peer("spark")) / "venv/bin/python"
            archived = json.loads(script(python, PEERS / "archived.py", lake))
            counted = {name: totals.counters.get(counter, 0) for name, counter in ORIGINAL.items()}
            if {name: archived[name] for name in ORIGINAL} != counted:
                raise ValueError(f"the archive has {archived}, accepted are {counted}")
        if database:
            self.stack.drop(database)
        shutil.rmtree(folder, ignore_errors=True)
        return run, totals, archived


def attempt(case: Case, variant: str, work: Callable[[], Run]) -> None:
    """Runs a peer; one that cannot be had or fails is told, once, and the others go on."""
    try:
        case.add(variant, work())
    except Exception as error:  # noqa: BLE001 whatever it is, it is theirs
        say(f"   {variant}: {error}")
        note = f"{variant} was not measured: {re.sub(chr(10), ' ', str(error).strip())[:300]}"
        if note not in case.notes:
            case.notes.append(note)


# All outputs, against the system that is replaced.

def spark_stream(shop: Shop, prefix: str, reads: str, ours: Totals, told: dict[str, Any]) -> Run:
    scratch = SCRATCH / shop.stack.name("lake")
    run = shop.stack.spark("commerce.py", "stream", shop.brokers, prefix, scratch, reads)
    found = shop.stack.spark("commerce.py", "check", scratch).told
    shutil.rmtree(scratch, ignore_errors=True)
    did_the_work(run, found, ours)
    told.update(found)
    return run


def did_the_work(run: Run, found: dict[str, Any], ours: Totals) -> None:
    """Holds what Spark has written against Headrace's tables.

    It archives and counts repetitions, and some of what Headrace refuses. So its archive must have as many rows as Headrace has accepted,
    found repeated, and refused for reasons Spark does not know; without those rows both must have the same.
    """
    counters = ours.counters
    if run.rows != counters["read"]:
        raise ValueError(f"Spark has read {run.rows} events, headrace {counters['read']}")
    let_through = sum(counters.get(f"dead_letter:{reason}", 0) for reason in LET_THROUGH)
    parsed = counters["accepted"] + counters["duplicate"] + let_through
    archived = {name: rows for name, (rows, _) in found["archived"].items()}
    if sum(archived.values()) != parsed:
        raise ValueError(f"Spark has archived {archived}, {sum(archived.values())} rows, but {parsed} messages can be parsed")
    for name, counter in ORIGINAL.items():
        if found["distinct"][name][0] != counters.get(counter, 0):
            different = found["distinct"][name][0]
            raise ValueError(f"{name}: {different} different valid events in Spark's archive, {counters.get(counter)} accepted")
    if Decimal(found["distinct"]["orders"][1]) != ours.revenue:
        raise ValueError(f"the revenue differs: {found['distinct']['orders'][1]} in Spark's archive, {ours.revenue} by minute")
    orders, revenue = found["archived"]["orders"]
    if int(found["orders_avg_ticket"][0]) != orders or Decimal(found["orders_avg_ticket"][1]) != Decimal(revenue):
        raise ValueError(f"Spark's tickets have {found['orders_avg_ticket']}, its archive {orders} orders and {revenue}")
    if int(found["views_by_category"][0]) != archived["views"] or len(found["top_products"]) != 5:
        counted = f"{found['views_by_category']} and best products {found['top_products']}"
        raise ValueError(f"Spark's views {counted} are not of {archived['views']} views")
    if not 0 < int(found["sales_per_minute"][0]) <= orders:
        raise ValueError(f"Spark's sales per minute have {found['sales_per_minute']} of {orders} orders")


def all_outputs(case: Case, shop: Shop, rows: int, runs: int) -> None:
    prefix = shop.simulate("shop", rows, USERS)
    found: dict[str, Any] = {}
    for _ in range(runs):
        run, ours, archived = shop.stream(prefix, "embedded")
        case.add(EMBEDDED, run)
        run, theirs, _ = shop.stream(prefix, "mariadb")
        case.add(MARIADB, run)
        if (ours.revenue, ours.views, ours.counters["accepted"]) != (theirs.revenue, theirs.views, theirs.counters["accepted"]):
            raise ValueError(f"the stores differ: {ours.counters}, {theirs.counters}")
        attempt(case, SPARK, lambda: spark_stream(shop, prefix, "all", ours, found))
        attempt(case, SPARK_OWN, lambda: spark_stream(shop, prefix, "own", ours, found))
    counters = ours.counters
    case.notes.append(
        f"{counters['read']:,} events: {counters['accepted']:,} accepted and archived in {archived['files']} files, "
        f"{counters['duplicate']:,} repeated, {counters['dead_letter']:,} refused; {ours.orders:,} orders, {ours.late_orders:,} of them late, "
        f"{ours.views:,} views; the same from both stores"
    )
    if found:
        rows_archived = sum(rows for rows, _ in found["archived"].values())
        dropped = found["archived"]["orders"][0] - int(found["sales_per_minute"][0])
        case.notes.append(
            f"Spark archives {rows_archived:,} rows and has {found['files']} Parquet files: it keeps and counts repetitions and what its "
            f"schema lets through, and drops {dropped:,} late orders from sales per minute. Without repetitions and invalid rows its orders, "
            "revenue, carts and views are those of headrace"
        )


# Sales per minute alone.

def orders_only(shop: Shop, rows: int) -> tuple[str, int]:
    """Topics of which only that of orders has messages: each order once, valid and in time, so that all can be right."""
    prefix = shop.simulate("sales", int(rows / ORDERS_SHARE), USERS, "--late", "0", "--duplicates", "0", "--malformed", "0")
    shop.topics("empty", f"{prefix}.page_views", f"{prefix}.cart_events")
    return prefix, shop.topics("count", f"{prefix}.orders")[f"{prefix}.orders"]


def python_sales(shop: Shop, peer: str, job: str, words: tuple[str, ...], minutes: dict[str, list[int]], whole: bool) -> Run:
    python, out = Path(shop.stack.peer(peer)) / "bin/python", SCRATCH / shop.stack.name("minutes")
    run, output = shop.stack.measured([python, PEERS / job, *words, out])
    run.told = json.loads(output.splitlines()[-1])
    run.rows, run.seconds = run.told["rows"], run.told["seconds"]
    same_minutes(json.loads(out.read_text()), minutes, whole)
    return run


def spark_sales(shop: Shop, prefix: str, minutes: dict[str, list[int]]) -> Run:
    scratch = SCRATCH / shop.stack.name("sales")
    scratch.mkdir()
    run = shop.stack.spark("commerce.py", "sales", shop.brokers, prefix, scratch)
    same_minutes(json.loads((scratch / "minutes.json").read_text()), minutes, whole=True)
    shutil.rmtree(scratch)
    return run


def same_minutes(theirs: dict[str, list[int]], ours: dict[str, list[int]], whole: bool) -> None:
    """All minutes are the same; of one that leaves the last ones open, those that it has, and most."""
    differing = {minute: (sums, ours.get(minute)) for minute, sums in theirs.items() if sums != ours.get(minute)}
    if differing:
        raise ValueError(f"{len(differing)} of {len(theirs)} minutes differ, such as {next(iter(differing.items()))}")
    if len(theirs) < (len(ours) if whole else max(1, len(ours) - 6)):
        raise ValueError(f"only {len(theirs)} of {len(ours)} minutes")


def sales_alone(case: Case, shop: Shop, rows: int, runs: int, everything: bool) -> str:
    """So many orders alone; gives what stands before the names of the variants."""
    prefix, orders = orders_only(shop, rows)
    topic, what = f"{prefix}.orders", f"{orders:,} orders only"
    keeps = ((SALES_ALL, "everything"), (SALES, "sales")) if everything else ((SALES, "sales"),)
    for _ in range(runs):
        for variant, keep in keeps:
            run, ours, _ = shop.stream(prefix, "embedded", archive=False, keep=keep)
            if ours.orders != orders:
                raise ValueError(f"{ours.orders} of {orders} orders are in the tables")
            case.add(f"{what}: {variant}", run)
        minutes = ours.minutes
        words = (shop.brokers, topic)
        attempt(case, f"{what}: {BYTEWAX}", lambda: python_sales(shop, "bytewax", "bytewax_peer.py", words, minutes, whole=True))
        attempt(case, f"{what}: {QUIX}", lambda: python_sales(shop, "quix", "quix_peer.py", (*words, str(orders)), minutes, whole=False))
        attempt(case, f"{what}: {SPARK_SALES}", lambda: spark_sales(shop, prefix, minutes))
    if everything:
        case.notes.append(
            f"orders only: {orders:,} orders in {len(minutes)} minutes, the same sums from all; headrace also keeps ids, what came late, when "
            "each minute closed, dead letters and positions, the others a sum and a count by minute; Quix leaves the last minutes open"
        )
    return what


# Latency.

def latency(shop: Shop, rows: int) -> Run:
    """Follows topics while events come at an even rate; percentiles are in `told`."""
    stack, prefix, database = shop.stack, shop.stack.name("latency"), shop.stack.database()
    store, folder = stack.url("mariadb", database), SCRATCH / stack.name("commerce")
    lake = f"file:{folder}"
    shop.step("create", "--log", shop.log(prefix), "--store", store, "--archive", lake)
    shop.step("simulate", "--to", shop.log(prefix), "--events", "100", "--duplicates", "0", "--seed", "5")
    # The archive is written during the measurement, not only after it.
    words = ["stream", "--from", shop.log(prefix), "--store", store, "--archive", lake, "--archive-every", "15s", "--follow"]
    result, log = SCRATCH / "follow.json", FOLDER / "follow.log"
    measure = [sys.executable, ROOT / "bench/measure.py", result]
    line = [*measure, stack.headrace, "commerce", *words, "--json", "--log-level", "warn"]
    events = RATE * (65 if rows >= 300_000 else 20)
    with log.open("w") as errors:
        following = subprocess.Popen(list(map(str, line)), stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            wait_for(shop, database, following, log)
            python = Path(stack.peer("commerce")) / "bin/python"
            places = (shop.brokers, prefix, stack.addresses["mariadb"], database)
            told = json.loads(script(python, PEERS / "latency.py", *places, str(RATE), str(events), stack.headrace))
        finally:
            following.send_signal(signal.SIGTERM)
            output = following.communicate(timeout=120)[0]
    measured, report = json.loads(result.read_text()), json.loads(output)
    stack.drop(database)
    shutil.rmtree(folder, ignore_errors=True)
    if told["missing"]:
        raise ValueError(f"{told['missing']} events did not become visible")
    cpu = measured["user_s"] + measured["system_s"]
    return Run(rows=report["read"], seconds=told["seconds"], process_seconds=measured["seconds"], cpu_seconds=cpu,
               peak_bytes=measured["peak_bytes"], told=told)


def wait_for(shop: Shop, database: str, following: subprocess.Popen[str], log: Path) -> None:
    """Until the first events are counted: the follower is up."""
    for _ in range(300):
        if shop.stack.sql(f"SELECT COALESCE(SUM(`count`), 0) FROM {database}.quality_per_minute WHERE `class` = 'read'") == "100":
            return
        if following.poll() is not None:
            break
        time.sleep(0.2)
    raise Failed(f"stream --follow did not begin: {log.read_text()[-2000:]}")


# Memory.

def memory(case: Case, shop: Shop, rows: int, big: int) -> tuple[str, str]:
    """Streams over many hours with many users, one ten times as long as the other."""
    names = []
    for events in (rows, big):
        prefix = shop.simulate("users", events, MANY_USERS, "--spread", "20h")
        names.append(f"headrace stream, embedded store, {events:,} events of {MANY_USERS:,} users over 20 h")
        case.add(names[-1], shop.stream(prefix, "embedded")[0])
        shop.topics("empty", *(f"{prefix}.{topic}" for topic in ("page_views", "cart_events", "orders")))
    return names[0], names[1]


def commerce(stack: Stack, size: Any) -> Case:
    case = Case("commerce", "`commerce stream`: Kafka to sales, tickets, views, funnel, alerts and archive, each event once")
    stack.serve("kafka", "mariadb")
    shop, rows, runs = Shop(stack), size.rows, size.runs
    all_outputs(case, shop, rows, runs)
    # As many orders as the events above have, where the start of a program counts, and as many orders as events.
    sales = [sales_alone(case, shop, int(rows * ORDERS_SHARE), runs, everything=False), sales_alone(case, shop, rows, runs, everything=True)]
    for _ in range(runs):
        case.add(ALONE, stack.half("window", str(rows), str(USERS), str(PRODUCTS)))
    waits = [latency(shop, rows) for _ in range(runs)]
    for run in waits:
        case.add(FOLLOW, run)
    small, big = memory(case, shop, rows, size.big)
    held(case, sales, waits, small, big)
    return case


def held(case: Case, sales: list[str], waits: list[Run], small: str, big: str) -> None:
    """Holds the results against the targets."""
    for ours in (EMBEDDED, MARIADB):
        if case.has(SPARK):
            case.target(f"CPU of {SPARK} ÷ CPU of {ours}, per event", case.cpu(SPARK) / case.cpu(ours), 10, "×")
            case.target(f"events/s of {ours} ÷ {SPARK}", case.rate(ours) / case.rate(SPARK), 5, "×")
    if case.has(SPARK_OWN):
        cpu, rate = case.cpu(SPARK_OWN) / case.cpu(EMBEDDED), case.rate(EMBEDDED) / case.rate(SPARK_OWN)
        case.notes.append(
            f"Spark with each query on its own topic, which the original does not do, takes {cpu:.1f}× the CPU of {EMBEDDED}, which takes in "
            f"{rate:.1f}× its events/s"
        )
    for what in sales:
        for peer, bound in SALES_PEERS:
            if case.has(f"{what}: {peer}"):
                ratio = case.cpu(f"{what}: {peer}") / case.cpu(f"{what}: {SALES}")
                case.target(f"{what}, CPU of {peer} ÷ CPU of headrace, per order", ratio, bound, "×")
    case.target(f"{ALONE}, events a second", case.rate(ALONE), 300_000, "/s")
    worst, middle = max(run.told["p99"] for run in waits) / 1000, max(run.told["p50"] for run in waits) / 1000
    case.target("from the event to its row in MariaDB at 5,000/s, the worst p99", worst, 2, " s", least=False)
    lag, slowest = max(run.told["lag"]["p99"] for run in waits) / 1000, max(run.told["max"] for run in waits) / 1000
    case.notes.append(
        f"from the event to its row in MariaDB: half within {middle:.2f} s, the slowest of all {slowest:.2f} s; the newest visible event was at "
        f"most {lag:.2f} s old in 99 % of the looks"
    )
    case.target("peak memory of ten times the events ÷ of one, a million users", case.peak(big) / case.peak(small), 1.25, "×", least=False)
