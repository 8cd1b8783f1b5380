"""The case of scoring: registrations from Kafka, through a model, into ClickHouse and Redis, by Headrace and by what teams use instead.

All variants read the same topic into a database of their own and an empty cache; the tables are compared afterwards. The ledger of
Headrace is the embedded store, so what it costs counts as the client's.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from results import Case
from stack import FOLDER, ROOT, SCRATCH, Failed, Run, Stack, say, script

MODELS = FOLDER / "scoring-models-2"
CACHE = "13"
"""The number of the cache in the test server's Redis: emptied before every run."""
BATCH = 5_000
SMALL = 500
RATE, LATENCY_ROWS = 1_000, 30_000
LINEAR, TREES = "headrace score, linear", "headrace score, trees"
PYTHON, SMALL_PYTHON = "Python, ONNX Runtime, linear", "Python, ONNX Runtime, linear, batches of 500"
SKLEARN, ONNX_TREES, SKLEARN_TREES = "Python, scikit-learn, linear", "Python, ONNX Runtime, trees", "Python, scikit-learn, boosted trees"
SPARK = "PySpark ML, linear, foreachBatch"
SMALL_LINEAR = "headrace score, linear, batches of 500"
ALONE, ALONE_TREES = "parse, check and score alone, one core, linear", "parse, check and score alone, one core, trees"
FOLLOW = "headrace score --follow at 1,000 registrations/s"


class Sinks:
    """Names of databases, made and dropped; the cache, emptied."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.databases = stack, []
        self.clickhouse, self.redis = stack.addresses["clickhouse"], stack.addresses["redis"]

    def database(self) -> str:
        script(ROOT / "servers/redis.sh", "client", "-n", CACHE, "flushdb")
        self.databases.append(self.stack.name("offers"))
        return self.databases[-1]

    def query(self, text: str) -> str:
        return script(ROOT / "servers/clickhouse.sh", "query", text).strip()

    def offers(self, database: str) -> tuple[int, int, float, int]:
        """Users, their versions, what they pay, and rows of the history; the cache must have as many users."""
        sums = self.query(f"SELECT count(), sum(version), sum(predicted_cost) FROM {database}.personal_offer FINAL")
        users, versions, cost = sums.split()
        history = self.query(f"SELECT count() FROM {database}.personal_offer_history FINAL")
        cached = script(ROOT / "servers/redis.sh", "client", "-n", CACHE, "dbsize").strip()
        if int(cached) != int(users):
            raise ValueError(f"{cached} users in the cache, {users} in {database}")
        return int(users), int(versions), float(cost), int(history)

    def drop(self) -> None:
        for database in self.databases:
            self.query(f"DROP DATABASE IF EXISTS {database}")
        self.databases.clear()
        script(ROOT / "servers/redis.sh", "client", "-n", CACHE, "flushdb")


def models(stack: Stack, python: Path) -> Path:
    """The models of all variants, trained on the same simulated file; made once."""
    if not (MODELS / "made").exists():
        say("training the models")
        MODELS.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "pylib/python")}
        script(python, "-m", "headrace.scoring_train", "--simulate", "4000", "--out", MODELS, env=environment)
        script(python, ROOT / "bench/scoring_peers/fit.py", MODELS / "training.csv", MODELS / "linear.joblib", MODELS / "boosted.joblib")
        (MODELS / "made").touch()
    return MODELS


def targets(sinks: Sinks, database: str) -> list[str]:
    """The stores of Headrace."""
    ledger = SCRATCH / sinks.stack.name("ledger")
    return [
        *("--offers", f"clickhouse://lab:lab-secret@{sinks.clickhouse}/{database}"),
        *("--cache", f"redis://{sinks.redis}/{CACHE}", "--ledger", f"embedded:{ledger}"),
    ]


def step(stack: Stack, *words: str | Path) -> Run:
    run, output = stack.measured([stack.headrace, "scoring", *words, "--json", "--log-level", "warn"], good=(0, 3))
    run.told = json.loads(output)
    run.rows, run.seconds = run.told["read"], run.told["seconds"]
    return run


def headrace(stack: Stack, sinks: Sinks, topic: str, model: Path, batch: int) -> tuple[Run, str]:
    database = sinks.database()
    words = ("--from", stack.url("kafka", topic), "--model", model, "--batch-rows", str(batch))
    return step(stack, "score", *words, *targets(sinks, database)), database


def in_python(stack: Stack, sinks: Sinks, topic: str, model: Path, batch: int) -> tuple[Run, str]:
    database, python = sinks.database(), Path(stack.peer("scoring")) / "bin/python"
    words = (model, stack.addresses["kafka"], topic, sinks.clickhouse, database, sinks.redis, CACHE, str(batch))
    run, output = stack.measured([python, ROOT / "bench/scoring_peers/python_peer.py", *words])
    run.told = json.loads(output.splitlines()[-1])
    run.rows, run.seconds = run.told["rows"], run.told["seconds"]
    return run, database


def in_spark(stack: Stack, sinks: Sinks, topic: str, model: Path) -> tuple[Run, str]:
    packages = Path(stack.peer("scoring-spark")) / "packages"
    os.environ["PYTHONPATH"] = str(packages)
    try:
        fitted = MODELS / "spark"
        if not fitted.exists():
            say("training Spark's model")
            stack.spark("score.py", "fit", model, fitted)
        database = sinks.database()
        scratch = SCRATCH / stack.name("checkpoint")
        words = (stack.addresses["kafka"], topic, sinks.clickhouse, database, sinks.redis, CACHE, scratch)
        return stack.spark("score.py", "score", fitted, *words), database
    finally:
        del os.environ["PYTHONPATH"]


def latency(stack: Stack, sinks: Sinks, python: Path, model: Path) -> Run:
    """Follows a topic while registrations come at an even rate; percentiles are in `told`."""
    topic, database = stack.name("latency"), sinks.database()
    # The topic exists before the first registration.
    step(stack, "send", "--to", stack.url("kafka", topic), "--count", "1")
    words = ["score", "--from", stack.url("kafka", topic), "--model", model, *targets(sinks, database), "--follow", "--json"]
    result, log = SCRATCH / "follow.json", FOLDER / "follow.log"
    line = [sys.executable, ROOT / "bench/measure.py", result, stack.headrace, "scoring", *words]
    with log.open("w") as errors:
        following = subprocess.Popen(list(map(str, line)), stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            wait_for_offer(following, log)
            sender = [python, ROOT / "bench/scoring_peers/latency.py", stack.addresses["kafka"], topic, sinks.redis, CACHE, str(RATE)]
            told = json.loads(script(*sender, str(LATENCY_ROWS)))
        finally:
            following.send_signal(signal.SIGTERM)
            output = following.communicate(timeout=60)[0]
    measured, report = json.loads(result.read_text()), json.loads(output)
    if told["missing"]:
        raise ValueError(f"{told['missing']} registrations got no offer")
    cpu = measured["user_s"] + measured["system_s"]
    return Run(rows=report["read"], seconds=told["seconds"], process_seconds=measured["seconds"], cpu_seconds=cpu,
               peak_bytes=measured["peak_bytes"], told=told)


def wait_for_offer(following: subprocess.Popen[str], log: Path) -> None:
    """Until the first registration has its offer: the follower is up."""
    for _ in range(600):
        if script(ROOT / "servers/redis.sh", "client", "-n", CACHE, "dbsize").strip() != "0":
            return
        if following.poll() is not None:
            break
        time.sleep(0.1)
    raise Failed(f"score --follow did not begin: {log.read_text()[-2000:]}")


def agree(found: dict[str, tuple[int, int, float, int]], rows: int) -> str:
    """All have the same users, versions and history; those with the same model the same prices."""
    for variant, (users, _, _, history) in found.items():
        if (users, history) != (rows, rows):
            raise ValueError(f"{variant}: {users} offers and {history} rows of the history, of {rows} registrations")
    if len({versions for _, versions, _, _ in found.values()}) > 1:
        raise ValueError(f"the versions differ: {found}")
    for group in ((LINEAR, PYTHON, SKLEARN), (TREES, ONNX_TREES)):
        costs = [found[variant][2] for variant in group if variant in found]
        if costs and max(costs) - min(costs) > 1e-4 * max(costs):
            raise ValueError(f"the prices differ: {found}")
    same = "prices the same from those with one model"
    return f"{rows:,} offers, as many rows of the history and keys of the cache, the same from all; {same}"


def scoring(stack: Stack, size: object) -> Case:
    rows, runs = size.load, size.runs  # type: ignore[attr-defined]
    case = Case("scoring", "`scoring score`: Kafka through a model into ClickHouse and Redis")
    stack.serve("kafka", "redis", "clickhouse")
    python = Path(stack.peer("scoring")) / "bin/python"
    trained, sinks, found = models(stack, python), Sinks(stack), {}
    linear, trees, topic = trained / "tariff-linear.json", trained / "tariff-trees.onnx", stack.name("registrations")
    step(stack, "send", "--to", stack.url("kafka", topic), "--count", str(rows), "--varied", "--start", "2025-01-16 04:00:00")
    variants = {
        LINEAR: lambda: headrace(stack, sinks, topic, linear, BATCH),
        SMALL_LINEAR: lambda: headrace(stack, sinks, topic, linear, SMALL),
        PYTHON: lambda: in_python(stack, sinks, topic, linear, BATCH),
        SMALL_PYTHON: lambda: in_python(stack, sinks, topic, linear, SMALL),
        SKLEARN: lambda: in_python(stack, sinks, topic, trained / "linear.joblib", BATCH),
        SPARK: lambda: in_spark(stack, sinks, topic, trained / "training.csv"),
        TREES: lambda: headrace(stack, sinks, topic, trees, BATCH),
        ONNX_TREES: lambda: in_python(stack, sinks, topic, trees, BATCH),
        SKLEARN_TREES: lambda: in_python(stack, sinks, topic, trained / "boosted.joblib", BATCH),
    }
    try:
        for _ in range(runs):
            for variant, work in variants.items():
                measure(case, sinks, found, variant, work)
            case.add(ALONE, stack.half("score", str(rows), linear))
            case.add(ALONE_TREES, stack.half("score", str(rows), trees))
        case.notes.append(agree(found, rows))
        case.notes.append("CPU of *alone* has the making of the registrations in it, its rate has not")
        waits = [latency(stack, sinks, python, linear) for _ in range(runs)]
        for run in waits:
            case.add(FOLLOW, run)
    finally:
        sinks.drop()
    held(case, waits)
    return case


def measure(case: Case, sinks: Sinks, found: dict[str, tuple[int, int, float, int]], variant: str, work: object) -> None:
    """One run of a variant; a peer that fails is told, and the others go on."""
    try:
        run, database = work()  # type: ignore[operator]
        case.add(variant, run)
        found[variant] = sinks.offers(database)
    except (Failed, ValueError, OSError) as error:
        if variant.startswith("headrace"):
            raise
        say(f"   {variant}: {error}")
        case.notes.append(f"{variant} was not measured: {re.sub(chr(10), ' ', str(error).strip())[:300]}")
    finally:
        sinks.drop()


def held(case: Case, waits: list[Run]) -> None:
    """Holds the results against the targets."""
    best = [variant for variant in (PYTHON, SMALL_PYTHON, SKLEARN) if case.has(variant)]
    if best:
        least = min(best, key=case.cpu)
        case.target(f"CPU of {least} ÷ CPU of {LINEAR}", case.cpu(least) / case.cpu(LINEAR), 10, "×")
    best = [variant for variant in (ONNX_TREES, SKLEARN_TREES) if case.has(variant)]
    if best:
        least = min(best, key=case.cpu)
        case.target(f"CPU of {least} ÷ CPU of {TREES}", case.cpu(least) / case.cpu(TREES), 5, "×")
    if case.has(PYTHON):
        case.target(f"CPU of {PYTHON} ÷ CPU of {TREES}", case.cpu(PYTHON) / case.cpu(TREES), 5, "×")
    if case.has(SPARK):
        case.target(f"CPU of {SPARK} ÷ CPU of {LINEAR}", case.cpu(SPARK) / case.cpu(LINEAR), 30, "×")
    case.target(f"{ALONE}, registrations a second", case.rate(ALONE), 200_000, "/s")
    worst = max(run.told["p99"] for run in waits)
    middle = max(run.told["p50"] for run in waits)
    case.target("from produce to readable in Redis at 1,000/s, the worst p99", worst, 100, " ms", least=False)
    slowest = max(run.told["max"] for run in waits)
    case.notes.append(f"from produce to readable: half of the registrations within {middle:.0f} ms, the slowest of all {slowest:.0f} ms")
