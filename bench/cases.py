"""The cases: what is run, on what, against whom, and what it is held against."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from commerce import commerce
from results import Case
from scoring import scoring
from stack import FOLDER, HOME, ROOT, SCRATCH, Run, Stack, say, script

REAL_ROWS, REAL_DAYS = 6_766, 190


@dataclass
class Size:
    """How much of everything."""

    rows: int
    runs: int

    @property
    def big(self) -> int:
        return 10 * self.rows

    @property
    def load(self) -> int:
        return max(5_000, 3 * self.rows // 10)

    @property
    def peer(self) -> int:
        """For those that load some thousand rows a second."""
        return max(5_000, self.rows // 10)


def attempt(case: Case, variant: str, work: Callable[[], Run]) -> None:
    """Runs a peer; one that cannot be had or fails is told, and the others go on."""
    try:
        case.add(variant, work())
    except Exception as error:  # noqa: BLE001 whatever it is, it is theirs
        reason = str(error).strip().splitlines()[0][:300]
        say(f"   {variant}: {error}")
        case.notes.append(f"{variant} was not measured: {reason}")


# Load.

def tables(stack: Stack) -> str:
    """A keyspace with Headrace's tables and no rows."""
    header = (stack.files(5_000) / "tracking.csv").open().readline()
    empty = SCRATCH / "empty.csv"
    empty.write_text(header)
    keyspace = stack.keyspace()
    stack.step("load", empty, "--to", stack.url("cassandra", keyspace, "tracking"))
    return keyspace


def rows_in(stack: Stack, keyspace: str) -> int:
    return stack.half("scan", stack.url("cassandra", keyspace, "tracking")).rows


def load_headrace(stack: Stack, file: Path, keep: bool = False) -> tuple[Run, str]:
    keyspace = stack.keyspace()
    run = stack.step("load", file, "--to", stack.url("cassandra", keyspace, "tracking"))
    if not keep:
        stack.drop(keyspace)
    return run, keyspace


def load_alone(stack: Stack, file: Path) -> Run:
    keyspace = tables(stack)
    run = stack.half("write", file, stack.url("cassandra", keyspace, "tracking"))
    stack.drop(keyspace)
    return run


def load_dsbulk(stack: Stack, file: Path, rows: int) -> Run:
    keyspace, jars = tables(stack), stack.peer("dsbulk")
    host, _, port = stack.addresses["cassandra"].partition(":")
    names = file.open().readline().strip().split(",")
    mapping = ", ".join(f"{place}={name}" for place, name in enumerate(names) if name)
    run, output = stack.measured([
        "java", "-Xmx512m", "-cp", f"{jars}/*", "com.datastax.oss.dsbulk.runner.DataStaxBulkLoader", "load",
        "-h", host, "-port", port, "-dc", "datacenter1", "-url", file, "-k", keyspace, "-t", "tracking", "-m", mapping,
        "-header", "false", "-skipRecords", "1", "--connector.csv.escape", r'"\""', "-logDir", SCRATCH / "dsbulk",
    ], rows)
    text = output + (FOLDER / "last.log").read_text()
    rates = re.findall(r"^\s*[\d,]+ \|\s*\d+ \|\s*([\d,]+) \|", text, re.MULTILINE)
    if rates:
        run.seconds = rows / float(rates[-1].replace(",", ""))
    return checked(stack, keyspace, rows, run)


def load_spark(stack: Stack, file: Path, rows: int) -> Run:
    keyspace = tables(stack)
    run = stack.spark("load.py", file, str(rows), keyspace, "tracking", *stack.addresses["cassandra"].split(":"))
    return checked(stack, keyspace, rows, run)


# What a tracking record usually has filled, of about the same bytes: name and length of texts, and the numbers.
STRESS_TEXTS = {"bn": 10, "custom_track": 8, "de": 5, "dl": 60, "dt": 15, "ed": 90, "md": 4, "sr": 9, "ts": 23, "ua": 110, "uid": 20, "vp": 8}
STRESS_NUMBERS = ("cd", "ev", "tz", "v")


def load_stress(stack: Stack, rows: int) -> Run:
    """The server's own tool, making rows up."""
    keyspace, folder = stack.keyspace(), stack.peer("stress")
    host, _, port = stack.addresses["cassandra"].partition(":")
    columns = [f"{name} text" for name in STRESS_TEXTS] + [f"{name} double" for name in STRESS_NUMBERS]
    specification = [{"name": "create_time", "population": "uniform(1..100B)"}]
    specification += [{"name": name, "size": f"fixed({length})"} for name, length in STRESS_TEXTS.items()]
    profile = {
        "keyspace": keyspace,
        "keyspace_definition": f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}};",
        "table": "tracking",
        "table_definition": f"CREATE TABLE tracking (create_time timeuuid PRIMARY KEY, {', '.join(columns)});",
        "columnspec": specification,
        "insert": {"partitions": "fixed(1)", "batchtype": "UNLOGGED"},
        "queries": {"one": {"cql": "SELECT * FROM tracking WHERE create_time = ?", "fields": "samerow"}},
    }
    file = SCRATCH / "stress.yaml"
    file.write_text(json.dumps(profile))  # JSON is YAML
    run, output = stack.measured([
        # It is from the times of Java 8.
        "java", "-Xmx512m", *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.io", "sun.nio.ch", "java.nio")),
        f"-Dlogback.configurationFile={folder}/conf/logback-tools.xml", "-cp", f"{folder}/tools/lib/stress.jar:{folder}/lib/*",
        "org.apache.cassandra.stress.Stress",
        "user", f"profile={file}", "ops(insert=1)", f"n={rows}", "no-warmup", "cl=ONE",
        "-mode", "native", "cql3", "-rate", "threads=64", "-node", host, "-port", f"native={port}",
    ], rows)
    stack.drop(keyspace)
    rate = re.search(r"Op rate\s*:\s*([\d,]+) op/s", output)
    if rate is None or rate.group(1) == "0":
        raise ValueError(f"cassandra-stress told no rate: {output[-300:]}")
    run.seconds = rows / float(rate.group(1).replace(",", ""))
    return run


def checked(stack: Stack, keyspace: str, rows: int, run: Run) -> Run:
    found = rows_in(stack, keyspace)
    stack.drop(keyspace)
    if found != rows:
        raise ValueError(f"loaded {found} of {rows} rows")
    return run


def load(stack: Stack, size: Size) -> Case:
    case = Case("load", "`load`: CSV of 30 columns into Cassandra")
    stack.serve("cassandra")
    ours, theirs = stack.files(size.load) / "tracking.csv", stack.files(size.peer) / "tracking.csv"
    for _ in range(size.runs):
        case.add("headrace load", load_headrace(stack, ours)[0])
        case.add("headrace, the raw table alone", load_alone(stack, theirs))
        attempt(case, "DSBulk 1.10", lambda: load_dsbulk(stack, theirs, size.peer))
        attempt(case, "Spark 3.5 connector", lambda: load_spark(stack, theirs, size.peer))
        attempt(case, "cassandra-stress", lambda: load_stress(stack, size.peer))
    for peer in ("DSBulk 1.10", "Spark 3.5 connector"):
        if case.has(peer):
            case.target(f"CPU of {peer} ÷ CPU of headrace load, per row", case.cpu(peer) / case.cpu("headrace load"), 10, "×")
    if case.has("DSBulk 1.10"):
        case.target("rows/s of headrace load ÷ DSBulk", case.rate("headrace load") / case.rate("DSBulk 1.10"), 2, "×")
    case.notes.append(
        "`headrace load` writes every row twice, to `tracking` and to the index by hour that makes replay incremental, and keeps ids and "
        "positions; the others write `tracking` alone and keep nothing"
    )
    return case


# Replay.

def replay(stack: Stack, size: Size) -> Case:
    case = Case("replay", "`replay`: Cassandra to Kafka, every row once")
    stack.serve("cassandra", "kafka")
    _, keyspace = load_headrace(stack, stack.files(size.load) / "tracking.csv", keep=True)
    raw = stack.url("cassandra", keyspace, "tracking")

    def topic() -> str:
        return stack.url("kafka", stack.name("replay"))

    stack.half("scan", raw)
    for _ in range(size.runs):
        case.add("headrace replay", stack.step("replay", "--from", raw, "--to", topic()))
        case.add("headrace replay --order token", stack.step("replay", "--from", raw, "--to", topic(), "--order", "token"))
        case.add("scan only, by token", stack.half("scan", raw))
        case.add("scan only, by hour", stack.half("scan-hours", raw))
        case.add("produce only", stack.half("produce", raw, topic()))
    slower = min(case.rate("scan only, by token"), case.rate("produce only"))
    case.target("slower of scan and produce ÷ replay", slower / case.rate("headrace replay"), 1.5, "×", least=False)
    case.target("the same, --order token", slower / case.rate("headrace replay --order token"), 1.5, "×", least=False)
    stack.drop(keyspace)
    return case


# Clean.

def store_with(stack: Stack, rows: int) -> Path:
    """An embedded store that holds simulated rows; made once."""
    folder = FOLDER / "stores" / str(rows)
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        files = stack.files(rows)
        say(f"loading {rows:,} rows into an embedded store")
        stack.step("load", files / "tracking.csv", "--to", f"embedded:{folder}")
        (folder / "made").touch()
    return folder


def topic_with(stack: Stack, rows: int) -> str:
    """The URL of a new topic that holds the messages of simulated rows."""
    url = stack.url("kafka", stack.name(f"messages{rows}"))
    stack.step("replay", "--from", f"embedded:{store_with(stack, rows)}", "--to", url)
    return url


def database_with_jobs(stack: Stack, rows: int) -> str:
    database = stack.database()
    stack.step("jobs", stack.files(rows) / "job.csv", "--to", stack.url("mariadb", database, "job"))
    return database


def clean_headrace(stack: Stack, topic: str, rows: int, sums: dict[str, str]) -> Run:
    database = database_with_jobs(stack, rows)
    run = stack.step("clean", "--from", topic, "--to", stack.url("mariadb", database, "result"))
    sums["headrace"] = summed(stack, database)
    stack.drop(database)
    return run


def clean_without(stack: Stack, topic: str, rows: int, sums: dict[str, str]) -> Run:
    database = database_with_jobs(stack, rows)
    run = stack.half("clean", topic, stack.url("mariadb", database, "result"))
    sums["without"] = summed(stack, database)
    stack.drop(database)
    return run


def clean_spark(stack: Stack, topic: str, rows: int, sums: dict[str, str]) -> Run:
    database = database_with_jobs(stack, rows)
    brokers, name = topic.removeprefix("kafka://").split("/")
    options = "rewriteBatchedStatements=true&connectionTimeZone=UTC&useSSL=false&allowPublicKeyRetrieval=true"
    scratch = SCRATCH / stack.name("checkpoint")
    jdbc = f"jdbc:mysql://{stack.addresses['mariadb']}/{database}?{options}"
    run = stack.spark("clean.py", brokers, name, jdbc, database, scratch)
    sums["Spark"] = summed(stack, database)
    stack.drop(database)
    return run


def summed(stack: Stack, database: str) -> str:
    columns = ("clicks", "spend_hour", "conversion", "qualified_application", "disqualified_application", "company_id")
    sums = ", ".join(f"SUM({column})" for column in columns)
    keys = "job_id, DATE_FORMAT(ts, '%Y-%m-%d %H'), publisher_id, campaign_id, group_id"
    return stack.sql(f"SELECT COUNT(*), SUM(CRC32(CONCAT_WS('/', {keys}))), {sums} FROM {database}.result")


def agree(sums: dict[str, str]) -> None:
    if len(set(sums.values())) > 1:
        raise ValueError(f"the tables differ: {sums}")


def clean(stack: Stack, size: Size) -> Case:
    case = Case("clean", "`clean`: Kafka to the hourly table in MariaDB")
    stack.serve("kafka", "mariadb")
    topic, sums = topic_with(stack, size.rows), {}
    spark, big = "Spark 3.5 Structured Streaming", f"headrace clean, {size.big:,} messages"
    for _ in range(size.runs):
        case.add("headrace clean", clean_headrace(stack, topic, size.rows, sums))
        attempt(case, spark, lambda: clean_spark(stack, topic, size.rows, sums))
        case.add("bare rdkafka consumer, counting", stack.half("count", topic))
    agree(sums)
    case.notes.append(f"{sums['headrace'].split()[0]} result rows, the same from all")
    case.add(big, clean_headrace(stack, topic_with(stack, size.big), size.big, {}))
    if case.has(spark):
        case.target("CPU of Spark ÷ CPU of headrace, per message", case.cpu(spark) / case.cpu("headrace clean"), 20, "×")
        case.target("messages/s of headrace ÷ Spark", case.rate("headrace clean") / case.rate(spark), 6, "×")
    share = case.rate("headrace clean") / case.rate("bare rdkafka consumer, counting")
    case.target("messages/s of headrace ÷ the bare consumer", share, 0.5, "×")
    for rows, variant in ((size.rows, "headrace clean"), (size.big, big)):
        case.target(f"peak memory at {rows:,} messages", case.peak(variant) * 2**20 / 1e6, 250, " MB", least=False)
    return case


# The price of exactly-once.

def exactly_once(stack: Stack, size: Size) -> Case:
    case = Case("exactly-once", "The price of exactly-once: `clean` with and without positions and ids in the transaction")
    stack.serve("kafka", "mariadb")
    topic, sums = topic_with(stack, size.rows), {}
    ours, without = "headrace clean", "without positions, ids and claims"
    # Twice as many as elsewhere, in turns: the difference is small.
    for _ in range(2 * size.runs):
        case.add(ours, clean_headrace(stack, topic, size.rows, sums))
        case.add(without, clean_without(stack, topic, size.rows, sums))
    agree(sums)
    case.target("more time with exactly-once", (case.rate(without) / case.rate(ours) - 1) * 100, 5, " %", least=False)
    case.target("more CPU of the client", (case.cpu(ours) / case.cpu(without) - 1) * 100, 5, " %", least=False)
    return case


# Embedded.

def embedded_steps(stack: Stack, case: Case, rows: int, keep: bool) -> None:
    folder = FOLDER / "stores" / str(rows) if keep else SCRATCH / stack.name("store")
    shutil.rmtree(folder, ignore_errors=True)
    files, url = stack.files(rows), f"embedded:{folder}"
    case.add(f"load, {rows:,} rows", stack.step("load", files / "tracking.csv", "--to", url))
    stack.step("jobs", files / "job.csv", "--to", url)
    case.add(f"replay, {rows:,} rows", stack.step("replay", "--from", url, "--to", url))
    case.add(f"clean, {rows:,} rows", stack.step("clean", "--from", url, "--jobs", url, "--to", url))
    if keep:
        (folder / "made").touch()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def embedded(stack: Stack, size: Size) -> Case:
    case = Case("embedded", "Embedded: all steps with nothing installed")
    small = stack.files(REAL_ROWS, REAL_DAYS)
    demo = f"demo, {REAL_ROWS:,} rows over {REAL_DAYS} days"
    for _ in range(max(5, size.runs)):
        folder = SCRATCH / stack.name("demo")
        words = ("--tracking", small / "tracking.csv", "--jobs", small / "job.csv", "--dir", folder)
        run = stack.step("demo", *words)
        run.seconds = run.process_seconds
        case.add(demo, run)
        shutil.rmtree(folder, ignore_errors=True)
    for _ in range(size.runs):
        embedded_steps(stack, case, size.rows, keep=False)
    embedded_steps(stack, case, size.big, keep=True)
    case.target(f"seconds of {demo}", REAL_ROWS / case.rate(demo), 0.5, " s", least=False)
    for step in ("load", "replay", "clean"):
        one, ten = f"{step}, {size.rows:,} rows", f"{step}, {size.big:,} rows"
        text = f"{step}: time per row at {size.big:,} ÷ at {size.rows:,}"
        case.target(text, case.rate(one) / case.rate(ten), 1.3, "×", least=False)
    return case


# Spark with our kernel.

def spark(stack: Stack, size: Size) -> Case:
    case = Case("spark", "`headrace.spark.recruitment_hourly`: the Rust transform in Spark, against Spark's own functions")
    store, messages = store_with(stack, size.rows), SCRATCH / "messages.jsonl"
    stack.step("export", "--from", f"embedded:{store}", "--out", messages, "--what", "messages")
    wheel(stack)
    parquet, results = SCRATCH / "messages.parquet", {}
    stack.spark("hourly.py", "prepare", messages, parquet)
    for _ in range(size.runs):
        for way, variant in (("kernel", "headrace.spark"), ("functions", "PySpark functions")):
            results[way] = SCRATCH / f"{way}.parquet"
            run = stack.spark("hourly.py", way, parquet, results[way])
            run.cpu_seconds = run.told["cpu_seconds"]
            case.add(variant, run)
    compared = stack.spark("hourly.py", "compare", results["kernel"], results["functions"]).told
    if compared["differing"]:
        raise ValueError(f"the tables differ in {compared['differing']} rows")
    case.notes.append(f"{compared['rows']:,} result rows, the same from both; time and CPU of the aggregation alone, in a warm session")
    case.target("rows/s of headrace.spark ÷ PySpark functions", case.rate("headrace.spark") / case.rate("PySpark functions"), 1, "×")
    case.target("CPU of PySpark functions ÷ headrace.spark", case.cpu("PySpark functions") / case.cpu("headrace.spark"), 1, "×")
    return case


def wheel(stack: Stack) -> None:
    """Puts this package into Spark's Python: as released, or the development build of `./run test`."""
    folder = HOME / "wheels"
    if stack.profile == "release":
        say("building the wheel")
        script(ROOT / "run", "wheel")
        folder = ROOT / "dist"
    newest = max(folder.glob("headrace-*.whl"), key=lambda file: file.stat().st_mtime)
    python = Path(stack.peer("spark")) / "venv/bin/python"
    script(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--force-reinstall", "--no-deps", newest)


CASES: dict[str, Callable[[Stack, Size], Case]] = {
    "load": load,
    "replay": replay,
    # Before clean, which uses the store that it leaves.
    "embedded": embedded,
    "clean": clean,
    "exactly-once": exactly_once,
    "spark": spark,
    "scoring": scoring,
    "commerce": commerce,
}
