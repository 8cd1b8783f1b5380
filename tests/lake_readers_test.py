"""Files of the lake in the hands of others: pandas, Polars, DuckDB and Spark read what Headrace writes, also while it writes.

The files come from `writes_samples` in workers/connectors/tests/lake/; HEADRACE_LAKE_SAMPLES_COMMAND may name another command for it.
Each of the four opens a path more than once, so a file that is replaced meanwhile is read by the two recipes of docs/commerce.md:
opened once by the caller, or from a snapshot of hard links. Spark is only asked where PySpark is (`./run test` installs it).
"""

import datetime
import decimal
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

duckdb = pytest.importorskip("duckdb")
pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pytest.importorskip("pytz", reason="pytz is not installed: DuckDB needs it for times with a zone")

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("HEADRACE_HOME", ROOT / ".headrace"))
COMMAND = "cargo test --quiet --test connectors -- --ignored --exact lake::writes_samples"
MIDNIGHT = datetime.datetime(2025, 3, 10, tzinfo=datetime.timezone.utc)
ROWS = 160_010
GROWN = 100_000

Reading = tuple[list[int], list[int]]
"""The numbers of a day that grows, and of a table that is replaced."""


class Lake:
    """A lake that was written while others read it, and what they saw."""

    def __init__(self, folder: Path, snapshots: Path) -> None:
        self.folder, self.snapshots = folder, snapshots
        self.seen: dict[str, list[Reading]] = {}
        self.errors: list[BaseException] = []
        self.is_done = threading.Event()

    def read_on(self, name: str, read: Callable[["Lake"], Reading]) -> None:
        """Reads again and again until the writer is done."""
        seen = self.seen.setdefault(name, [])
        try:
            while not self.is_done.is_set():
                seen.append(read(self))
        except BaseException as error:  # the test of this reader shows it
            self.errors.append(error)


def opened_once(lake: Lake, read: Callable[..., list[int]]) -> Reading:
    """Lists first, then opens each file once; what is open stays as it is, whatever takes its place."""
    numbers = []
    for path in sorted(lake.folder.glob("grows/*/*.parquet")):
        with path.open("rb") as file:
            numbers += read(file)
    with (lake.folder / "tables" / "funnel.parquet").open("rb") as file:
        return numbers, read(file)


def pandas_once(lake: Lake) -> Reading:
    return opened_once(lake, lambda file: pandas.read_parquet(file)["number"].tolist())


def polars_once(lake: Lake) -> Reading:
    return opened_once(lake, lambda file: polars.read_parquet(file)["number"].to_list())


def duckdb_numbers(place: object) -> list[int]:
    return [number for (number,) in duckdb.connect().sql(f"SELECT number FROM read_parquet('{place}')").fetchall()]


def duckdb_snapshot(lake: Lake) -> Reading:
    """Hard links of the files as they are now; readers may open them as often as they like."""
    place = lake.snapshots / f"{len(lake.seen['duckdb']):04}"
    place.mkdir()
    for name in ("grows", "tables"):
        subprocess.run(["cp", "-rl", lake.folder / name, place / name], check=True)
    return duckdb_numbers(place / "grows" / "**" / "*.parquet"), duckdb_numbers(place / "tables" / "funnel.parquet")


READERS = {"pandas": pandas_once, "polars": polars_once, "duckdb": duckdb_snapshot}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Written once, and read all the while."""
    lake = Lake(tmp_path_factory.mktemp("lake"), tmp_path_factory.mktemp("snapshots"))
    command = shlex.split(os.environ.get("HEADRACE_LAKE_SAMPLES_COMMAND", COMMAND))
    environment = {**os.environ, "HEADRACE_LAKE_SAMPLES": str(lake.folder)}
    writer = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    threads = [threading.Thread(target=lake.read_on, args=reader) for reader in READERS.items()]
    try:
        while writer.poll() is None and not (lake.folder / "tables" / "funnel.parquet").exists():
            time.sleep(0.01)
        if writer.poll() is None:
            for thread in threads:
                thread.start()
        output = writer.communicate()[0]
    finally:
        lake.is_done.set()
        writer.kill()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    assert writer.returncode == 0, output
    return lake


def expected(row: int) -> dict:
    """The row as lake_support/mod.rs makes it."""
    gap = row % 97
    scaled = decimal.Decimal(row * 10_001 % 100_000_000_000 - 50_000)
    return {
        "event_id": None if gap == 1 else "" if row % 89 == 0 else f"event {row} — ü",
        "price": None if gap == 4 else scaled.scaleb(-4),
        "total": None if gap == 5 else decimal.Decimal(999_999_999_999_999_999 - row).scaleb(-2),
        "timestamp": None if gap == 6 else MIDNIGHT + datetime.timedelta(microseconds=row * 1_000 + 1),
        "lat": None if gap == 2 else -2.1708 + row / 1e6,
        "partition": None if gap == 7 else row % 3,
        "offset": row,
        "final": None if gap == 3 else row % 2 == 0,
        "fecha": "2025-03-09" if row < 160_000 else "2025-03-10",
    }


# All kinds of gaps, and the rows around the last one of each file.
LOOKED_AT = frozenset(row for row in range(ROWS) if row % 97 < 9 or row % 89 == 0 or 149_990 < row < 150_010 or row > ROWS - 100)


def check(offsets: list[int], rows: list[dict]) -> None:
    """All offsets, and the rows of `LOOKED_AT`, in any order."""
    assert sorted(offsets) == list(range(ROWS))
    assert {row["offset"] for row in rows} == LOOKED_AT
    for row in rows:
        row["fecha"] = str(row["fecha"])
        wanted = expected(row["offset"])
        assert {name: row[name] for name in wanted} == wanted


def test_pandas(lake: Lake) -> None:
    frame = pandas.read_parquet(lake.folder / "orders", dtype_backend="pyarrow")
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert types["price"] == "decimal128(18, 4)[pyarrow]" and types["total"] == "decimal128(18, 2)[pyarrow]"
    assert types["timestamp"] == "timestamp[us, tz=UTC][pyarrow]" and types["partition"] == "int32[pyarrow]"
    assert types["offset"] == "int64[pyarrow]" and types["final"] == "bool[pyarrow]" and types["event_id"] == "string[pyarrow]"
    rows = frame[frame["offset"].isin(LOOKED_AT)]
    check(frame["offset"].tolist(), rows.astype(object).where(rows.notna(), None).to_dict("records"))


def test_polars(lake: Lake) -> None:
    for place in (lake.folder / "orders" / "**" / "*.parquet", lake.folder / "orders"):
        frame = polars.read_parquet(place, hive_partitioning=True)
        types = frame.schema
        assert types["price"] == polars.Decimal(18, 4) and types["total"] == polars.Decimal(18, 2)
        assert types["timestamp"] == polars.Datetime("us", "UTC") and types["partition"] == polars.Int32
        check(frame["offset"].to_list(), frame.filter(polars.col("offset").is_in(sorted(LOOKED_AT))).to_dicts())


def test_duckdb(lake: Lake) -> None:
    session = duckdb.connect()
    session.execute("SET TimeZone = 'UTC'")
    found = session.sql(f"FROM read_parquet('{lake.folder}/orders/**/*.parquet', hive_partitioning = true)")
    types = dict(zip(found.columns, map(str, found.types), strict=True))
    assert types["price"] == "DECIMAL(18,4)" and types["timestamp"] == "TIMESTAMP WITH TIME ZONE" and types["partition"] == "INTEGER"
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    check([row["offset"] for row in rows], [row for row in rows if row["offset"] in LOOKED_AT])


AFTER = MIDNIGHT + datetime.timedelta(seconds=159)
CONDITIONS = {
    "price": ("price < 0", polars.col("price") < 0, lambda price: price < 0),
    "timestamp": ("timestamp >= TIMESTAMPTZ '2025-03-10 00:02:39Z'", polars.col("timestamp") >= AFTER, lambda time: time >= AFTER),
    "event_id": ("event_id = ''", polars.col("event_id") == "", lambda text: text == ""),
    "lat": ("lat > -2.0117", polars.col("lat") > -2.0117, lambda lat: lat > -2.0117),
}


@pytest.mark.parametrize("column", CONDITIONS)
def test_conditions_find_every_row(lake: Lake, column: str) -> None:
    """Readers skip what a file's statistics rule out."""
    sql, expression, holds = CONDITIONS[column]
    values = ((row["offset"], row[column]) for row in map(expected, range(ROWS)))
    wanted = [offset for offset, value in values if value is not None and holds(value)]
    assert 0 < len(wanted) < ROWS / 50
    files = f"{lake.folder}/orders/**/*.parquet"
    found = duckdb.connect().sql(f"""SELECT "offset" FROM read_parquet('{files}') WHERE {sql} ORDER BY 1""").fetchall()
    assert [offset for (offset,) in found] == wanted
    assert polars.scan_parquet(files).filter(expression).select("offset").collect()["offset"].sort().to_list() == wanted


def right(readings: list[Reading]) -> None:
    """Each reading is a whole version of the table and the beginning of the day, and no older than the one before."""
    for (day, table), (earlier, older) in zip(readings, [([], []), *readings], strict=False):
        assert sorted(day) == list(range(len(day))), "a row twice, or none"
        assert len(day) % 1_000 == 0 and len(day) >= len(earlier)
        assert set(table) == {table[0]} and len(table) == 200 + table[0] and len(table) >= len(older)


@pytest.mark.parametrize("name", READERS)
def test_reading_while_files_are_replaced(lake: Lake, name: str) -> None:
    """Read by its recipe a file is never a mixture of two versions, and never refused."""
    for error in lake.errors:
        raise error
    readings = lake.seen[name]
    right(readings)
    print(f"{name}: {len(readings)} readings", file=sys.stderr)
    assert len({len(table) for _, table in readings}) > 3 and len({len(day) for day, _ in readings}) > 3
    assert sorted(duckdb_numbers(lake.folder / "grows" / "*" / "*.parquet")) == list(range(GROWN))


SPARK = """
import sys
from pyspark.sql import SparkSession, functions as f
session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.driver.memory", "512m") \\
    .config("spark.sql.session.timeZone", "UTC").config("spark.driver.host", "127.0.0.1") \\
    .config("spark.sql.shuffle.partitions", "1").getOrCreate()
frame = session.read.parquet(sys.argv[1])
types = dict(frame.dtypes)
assert types["price"] == "decimal(18,4)" and types["total"] == "decimal(18,2)" and types["timestamp"] == "timestamp", types
assert types["partition"] == "int" and types["offset"] == "bigint" and types["final"] == "boolean" and types["fecha"] == "date", types
print("ORDERS", *frame.agg(
    f.count("*"), f.sum("offset"), f.sum("price"), f.sum("total"), f.count("event_id"), f.sum(f.length("event_id")),
    f.min(f.unix_micros("timestamp")), f.sum(f.col("final").cast("int")), f.countDistinct("fecha"),
).first())
print("AFTER", frame.where("timestamp >= '2025-03-10 00:02:39'").count())
for place in sys.argv[2:]:
    day, table = (session.read.parquet(f"{place}/{name}") for name in ("grows", "tables"))
    print("SNAPSHOT", *day.agg(f.count("*"), f.countDistinct("number"), f.max("number")).first(),
          *table.agg(f.count("*"), f.min("number"), f.max("number")).first())
"""


def test_spark(lake: Lake) -> None:
    found = sorted(HOME.glob("dist/pyspark-*/venv/bin/python"))
    if not found:
        pytest.skip("PySpark is not here: ./run test installs it")
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": str(found[-1])}
    environment.pop("SPARK_HOME", None)
    places = sorted(lake.snapshots.iterdir())
    places = [places[0], places[len(places) // 2], places[-1]]
    line = [found[-1], "-c", SPARK, lake.folder / "orders", *places]
    run = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr[-3000:]
    told = [line.split() for line in run.stdout.splitlines()]

    rows = [expected(number) for number in range(ROWS)]
    ids = [row["event_id"] for row in rows if row["event_id"] is not None]
    orders = (
        ROWS,
        sum(range(ROWS)),
        *(sum(row[name] for row in rows if row[name] is not None) for name in ("price", "total")),
        len(ids),
        sum(map(len, ids)),
        int(MIDNIGHT.timestamp()) * 1_000_000 + 1,
        sum(row["final"] is True for row in rows),
        2,
    )
    assert told[0] == ["ORDERS", *map(str, orders)]
    assert told[1] == ["AFTER", str(sum(row["timestamp"] is not None and row["timestamp"] >= AFTER for row in rows))]
    snapshots = []
    for place in places:
        day, table = lake.seen["duckdb"][int(place.name)]
        snapshots.append(["SNAPSHOT", *map(str, (len(day), len(day), max(day), len(table), table[0], table[0]))])
    assert told[2:] == snapshots
