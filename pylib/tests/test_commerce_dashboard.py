"""The dashboard's figures on small tables, what it reads in the background, and the page itself without a browser."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from headrace import ConfigError, ExternalError, _native
from headrace._commerce import charts, figures, markup
from headrace._commerce import tables as commerce
from headrace._commerce.figures import View
from headrace._commerce.live import CORRECTED, Live, Pending

AMOUNT, TIME = pl.Decimal(18, 4), pl.Datetime("us", "UTC")
NOON = datetime(2026, 3, 9, 12, tzinfo=timezone.utc)
HOUR = View(NOON - timedelta(minutes=59), NOON + timedelta(minutes=1))
ACTIVITY: dict[str, Any] = {
    "minute": TIME,
    "category": pl.String,
    "city": pl.String,
    "store_id": pl.String,
    "views": pl.Int64,
    "carts": pl.Int64,
    "orders": pl.Int64,
    "revenue": AMOUNT,
    "late_orders": pl.Int64,
    "late_revenue": AMOUNT,
}
CONVERSIONS: dict[str, Any] = {
    "category": pl.String,
    "city": pl.String,
    "store_id": pl.String,
    "cart_timestamp": TIME,
    "purchase_timestamp": TIME,
}


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def frame(schema: dict[str, Any], *rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema, orient="row")


@pytest.fixture
def activity() -> pl.DataFrame:
    return frame(
        ACTIVITY,
        (minute(-90), "Tech", "Quito", "ST1", 100, 100, 100, Decimal(100), 100, Decimal(100)),
        (minute(-1), "Tech", "Quito", "ST1", 5, 4, 2, Decimal("30.0050"), 1, Decimal("7.5")),
        (minute(-1), "Home", "Cuenca", "ST2", 3, 0, 1, Decimal("10"), 0, Decimal(0)),
        (minute(0), "Tech", "Cuenca", "ST2", 2, 2, 1, Decimal("0.0050"), 0, Decimal(0)),
    )


def test_totals_are_exact_and_of_the_range_and_the_places(activity: pl.DataFrame) -> None:
    sums = figures.totals(activity, HOUR)
    assert (sums.revenue, sums.late_revenue) == (Decimal("47.5100"), Decimal("7.5"))
    assert (sums.orders, sums.late_orders, sums.views, sums.carts) == (5, 1, 10, 6)
    assert markup.amount(sums.average_ticket) == "9.50"
    cuenca = View(HOUR.since, HOUR.until, cities=("Cuenca",), categories=("Tech",))
    assert figures.totals(activity, cuenca).revenue == Decimal("0.0050")
    nothing = figures.totals(activity, View(HOUR.since, HOUR.until, stores=("ST9",)))
    assert nothing.revenue == 0 and nothing.average_ticket is None


def test_open_minutes_are_provisional_and_late_orders_stay_apart(activity: pl.DataFrame) -> None:
    minutes = frame({"window_start": TIME, "final": pl.Int64}, (minute(-1), 1), (minute(0), 0))
    bars = figures.sales(activity, minutes, HOUR).rows()
    assert bars == [
        (minute(-1), "late", 7.5, 1),
        (minute(-1), "on time", 40.005, 3),
        (minute(0), "provisional", 0.005, 1),
    ]
    # A minute that sales have not reached yet is open.
    assert set(figures.sales(activity, minutes.clear(), HOUR).get_column("kind")) == {"provisional", "late"}


@pytest.mark.parametrize(("hours", "bucket"), [(0.25, 1), (1, 1), (2, 1), (6, 5), (24, 15), (24 * 7, 60)])
def test_bars_are_never_too_many(hours: float, bucket: int, activity: pl.DataFrame) -> None:
    view = View(HOUR.until - timedelta(hours=hours), HOUR.until)
    assert figures.bucket_minutes(view) == bucket
    starts = figures.sales(activity, frame({"window_start": TIME, "final": pl.Int64}), view).get_column("start")
    assert all(start.minute % bucket == 0 for start in starts.to_list())


def test_products_and_categories_have_a_certain_order(activity: pl.DataFrame) -> None:
    viewed = pl.DataFrame({"product_id": ["109", "102", "11", "101", "100", "117"], "views_count": [70, 70, 3, 70, 74, 71]})
    assert figures.top_by_views(viewed).get_column("product_id").to_list() == ["100", "117", "101", "102", "109"]
    schema: dict[str, Any] = {"window_start": TIME, "product_id": pl.String, "product_revenue": AMOUNT, "orders_count": pl.Int64}
    schema |= {"late_revenue": AMOUNT, "late_orders": pl.Int64}
    sold = frame(
        schema,
        (minute(-90), "1", Decimal(999), 9, Decimal(0), 0),
        (minute(-2), "1", Decimal(5), 1, Decimal(5), 1),
        (minute(-1), "2", Decimal(10), 1, Decimal(0), 0),
        (minute(-1), "3", Decimal(0), 0, Decimal(0), 0),
    )
    assert figures.top_by_revenue(sold, HOUR).rows() == [("1", Decimal(10), 2), ("2", Decimal(10), 1)]
    assert figures.by_category(activity, HOUR).rows() == [("Tech", 7), ("Home", 3)]
    assert figures.by_category(activity, HOUR, most=1).rows() == [("2 others", 10)]


def test_average_tickets_of_all_and_of_each() -> None:
    users = frame(
        {"user_id": pl.String, "orders": pl.Int64, "total": AMOUNT},
        *((str(number), 2, Decimal(20 + 2 * number)) for number in range(100)),
        ("919", 1, Decimal("18.0050")),
    )
    found = figures.tickets(users, most=2)
    assert (found.users, found.orders, found.total) == (101, 201, Decimal("11918.0050"))
    assert markup.amount(found.average) == "59.29"
    assert found.bars.get_column("users").sum() == 101 and found.bars.height <= 2 * figures.TICKET_BARS
    assert found.bars.select((pl.col("to") - pl.col("from")).n_unique()).item() == 1
    assert found.top.rows() == [("99", 2, Decimal(218), 109.0), ("98", 2, Decimal(216), 108.0)]
    assert figures.tickets(users.clear()).average is None


def test_the_funnel_and_its_times(activity: pl.DataFrame) -> None:
    seconds = [0, 1, 59, 60, 1200]
    rows = (("Tech", "Quito", "ST1", minute(-30), minute(-30) + timedelta(seconds=each)) for each in seconds)
    conversions = frame(CONVERSIONS, *rows, ("Home", "Cuenca", "ST2", minute(-80), minute(-70)))
    found = figures.funnel(activity, conversions, HOUR)
    assert (found.views, found.carts, found.converted, found.purchases) == (10, 6, 5, 5)
    assert markup.share(found.conversion_rate) == "83.3%"
    times = figures.times_to_purchase(conversions, HOUR)
    assert (times.count, times.p50, times.p90, times.p99) == (5, 59.0, 1200.0, 1200.0)
    assert times.bars.height == figures.WINDOW_MINUTES and times.bars.get_column("purchases").to_list()[:2] == [3, 1]
    # Exactly twenty minutes still belong to the last bar.
    assert times.bars.get_column("purchases").to_list()[-1] == 1
    none = figures.times_to_purchase(conversions, View(HOUR.since, HOUR.until, cities=("Quito",), categories=("Home",)))
    assert (none.count, none.p50) == (0, None) and markup.duration(none.p50) == "–"


def test_the_funnel_by_category_has_a_row_for_all() -> None:
    counts = ["views", "carts", "carts_after_view", "purchases", "carts_converted"]
    table = pl.DataFrame({"category": ["unknown", "Tech"], **{name: [0, number] for number, name in enumerate(counts, 3)}})
    assert figures.funnel_by_category(table).rows() == [
        ("*", 3, 4, 5, 6, 7, 1.75),
        ("Tech", 3, 4, 5, 6, 7, 1.75),
        ("unknown", 0, 0, 0, 0, 0, None),
    ]
    assert figures.funnel_by_category(table.clear()).is_empty()


def test_abandoned_carts_and_peaks() -> None:
    schema: dict[str, Any] = {
        "category": pl.String,
        "city": pl.String,
        "store_id": pl.String,
        "price": AMOUNT,
        "cart_timestamp": TIME,
    }
    rows = (
        ("Tech", "Quito", "ST1", price, minute(-number)) for number, price in enumerate([Decimal("1.5"), None, Decimal("2.25")])
    )
    number, value, newest = figures.abandoned(frame(schema, *rows), HOUR, most=2)
    assert (number, value, newest.get_column("cart_timestamp").to_list()) == (3, Decimal("3.75"), [minute(0), minute(-1)])
    assert figures.abandoned(frame(schema), HOUR)[:2] == (0, Decimal(0))
    names = ["revenue_mean", "revenue_deviation", "orders_mean", "orders_deviation"]
    schema = {"window_start": TIME, "product_id": pl.String, "revenue": AMOUNT, "orders": pl.Int64, **dict.fromkeys(names, AMOUNT)}
    peak = (minute(-1), "104", Decimal(100), 9, Decimal(40), Decimal(20), Decimal(9), Decimal(0))
    (row,) = figures.peaks(frame(schema, peak), HOUR).to_dicts()
    assert (row["revenue_sigmas"], row["orders_sigmas"]) == (3.0, None)


def test_quality_by_minute_and_reason() -> None:
    table = frame(
        {"minute": TIME, "class": pl.String, "count": pl.Int64},
        (minute(0), "accepted", 100),
        (minute(0), "dead_letter:bad_json", 2),
        (minute(0), "dead_letter:missing_price", 1),
        (minute(0), "late:sales", 4),
        (minute(-1), "late:funnel", 5),
        (minute(-1), "duplicate", 6),
    )
    found = figures.quality_over_time(table, HOUR).rows()
    assert found == [(minute(-1), "duplicate", 6), (minute(-1), "late", 5), (minute(0), "dead letter", 3), (minute(0), "late", 4)]
    classes = {"dead_letter:a": 1, "dead_letter:c": 7, "dead_letter:b": 7, "misrouted": 1}
    assert figures.dead_letter_reasons(classes) == [("b", 7), ("c", 7), ("a", 1)]
    letters = pl.DataFrame({"reason": ["a", "b", "a"], "position": ["9", "8", "7"]})
    assert figures.newest_by_reason(letters)["a"]["position"] == "9"


def test_everything_from_a_message_is_escaped() -> None:
    bad = "<script>alert('1')</script>"
    shown = markup.table(("Head",), [(bad,)], wide=(0,)) + markup.tiles([(bad, bad, bad)]) + markup.bars([(bad, 1, bad, bad)])
    shown += markup.note(bad) + markup.title(bad, bad) + markup.status(bad, bad, True, bad)
    assert "<script" not in shown and "alert(&#x27;1&#x27;)" in shown
    assert markup.shortened(b"\xff\x00a" + b"b" * 500).startswith("\\xff�ab") and len(markup.shortened(b"b" * 500)) == 121
    assert markup.shortened(None) == "(no value)"


def test_numbers_are_written_for_people() -> None:
    assert markup.amount(Decimal("1234567.005")) == "1,234,567.01" and markup.amount(Decimal("-0.005")) == "-0.01"
    assert markup.amount(None) == "–" and markup.count(1_234_567) == "1,234,567"
    assert [markup.duration(seconds) for seconds in (0.4, 59, 61.9, 1200)] == ["0 s", "59 s", "1 min 01 s", "20 min 00 s"]
    assert markup.time(datetime(2026, 3, 9, 7, tzinfo=timezone(timedelta(hours=-5)))) == "2026-03-09 12:00:00"


def test_specifications_stay_the_same_and_name_what_rows_have() -> None:
    assert charts.sales_per_minute() == charts.sales_per_minute()
    assert charts.sales_per_minute()["encoding"]["x"]["scale"] == {"type": "utc"}
    assert list(charts.COLOURS) == ["on time", "provisional", "late"] and len(set(charts.COLOURS.values())) == 3


class Store:
    """Tables in memory that count how they are read."""

    def __init__(self) -> None:
        self.rows = pl.DataFrame({"minute": [minute(number) for number in range(-120, 1)]}, schema={"minute": TIME})
        self.asked: list[datetime | None] = []
        self.error: Exception | None = None
        self.open = threading.Event()
        self.open.set()

    def read(self, _store: str, _name: str, since: datetime | None = None, **_choice: Any) -> pl.DataFrame:
        self.open.wait(10)
        self.asked.append(since)
        if self.error:
            raise self.error
        return self.rows if since is None else self.rows.filter(pl.col("minute") >= since)

    def live(self) -> Live:
        counters = commerce.Counters(
            read=0, accepted=0, duplicate=0, dead_letter=0, classes={}, committed_at=None, newest_minute=None
        )
        return Live("embedded:none", self.read, lambda _store: counters)


def until(live: Live, since: datetime, rows: int) -> None:
    """Asks as a page does, until as many rows are there."""
    for _ in range(500):
        if live.since("t", "minute", since, key=True, every=0.0).height == rows:
            return
        time.sleep(0.01)
    raise AssertionError(f"not {rows} rows")


def test_only_new_minutes_are_read_again_and_more_when_somebody_looks_further_back() -> None:
    store = Store()
    live = store.live()
    until(live, minute(-30), 31)
    store.rows = store.rows.vstack(pl.DataFrame({"minute": [minute(1)]}, schema={"minute": TIME}))
    until(live, minute(-30), 32)
    assert store.asked[0] == minute(-30) and set(store.asked[1:]) <= {minute(0) - CORRECTED, minute(1) - CORRECTED}
    until(live, minute(-60), 62)
    assert minute(-60) in store.asked
    # A narrower range costs no other reading.
    until(live, minute(-5), 7)
    assert minute(-5) not in store.asked


def test_what_nobody_looks_at_any_more_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace._commerce.live.WHOLE_SECONDS", 0.0)
    monkeypatch.setattr("headrace._commerce.live.PAUSE_FACTOR", 0)
    store = Store()
    live = store.live()
    until(live, minute(-60), 61)
    for _ in range(500):
        live.since("t", "minute", minute(-5), key=True, every=0.0)
        if live._entries["t"].value.height == 6:
            return
        time.sleep(0.01)
    raise AssertionError("the hour stays in memory")


def test_a_slow_table_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace._commerce.live.FIRST_WAIT_SECONDS", 0.05)
    store = Store()
    live = store.live()
    store.open.clear()
    with pytest.raises(Pending):
        live.whole("t")
    began = time.monotonic()
    assert live.counters()["read"] == 0
    assert time.monotonic() - began < 1
    store.open.set()
    for _ in range(500):
        try:
            assert live.whole("t").height == 121
            break
        except Pending:
            time.sleep(0.01)
    assert len(store.asked) == 1


def test_an_error_leaves_what_was_read_before() -> None:
    store = Store()
    live = store.live()
    until(live, minute(-30), 31)
    assert live.problem() is None
    store.error = ExternalError("cannot reach the store")
    for _ in range(500):
        assert live.since("t", "minute", minute(-30), key=True, every=0.0).height == 31
        if live.problem() is not None:
            break
        time.sleep(0.01)
    assert live.problem() is store.error
    with pytest.raises(ExternalError):
        live.whole("other")
    store.error = None
    until(live, minute(-30), 31)
    for _ in range(500):
        live.since("t", "minute", minute(-30), key=True, every=0.0)
        if live._entries["t"].error is None:
            return
        time.sleep(0.01)
    raise AssertionError("the error stays")


def test_a_million_users_are_summed_up_at_once() -> None:
    users = pl.DataFrame({"user_id": pl.int_range(1_000_000, eager=True).cast(pl.String)})
    users = users.with_columns(pl.lit(3, pl.Int64).alias("orders"), pl.lit(Decimal("99.9"), AMOUNT).alias("total"))
    began = time.monotonic()
    assert figures.tickets(users).users == 1_000_000
    assert time.monotonic() - began < 5


def test_a_store_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no store"):
        commerce.counters(tmp_path / "none")
    with pytest.raises(ConfigError, match="there is no store"):
        commerce.read_table(tmp_path / "none", "funnel")
    assert not (tmp_path / "none").exists()


def test_tables_without_rows_have_decimals_and_times_in_utc(tmp_path: Path) -> None:
    (tmp_path / "headrace.sqlite").touch()
    counters = commerce.counters(tmp_path)
    assert counters["read"] == 0 and counters["committed_at"] is None and counters["newest_minute"] is None
    table = pa.table(commerce.read_table(tmp_path, "activity_per_minute", NOON))
    assert table.num_rows == 0
    assert table.schema.field("minute").type == pa.timestamp("us", "UTC")
    assert table.schema.field("revenue").type == pa.decimal128(18, 4)
    with pytest.raises(ConfigError, match="abandoned_carts"):
        commerce.read_table(tmp_path, "carts")
    with pytest.raises(ConfigError, match="no time"):
        commerce.read_table(tmp_path, "funnel", NOON)
    with pytest.raises(ConfigError, match="cost"):
        commerce.read_table(tmp_path, "funnel", columns=["cost"])
    assert _native.commerce_table.__doc__ and commerce.read_table.__doc__


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The page of a store in a directory, as Streamlit runs it."""
    testing = pytest.importorskip("streamlit.testing.v1", reason="headrace[dashboard] is not installed: no Streamlit")
    from headrace._commerce import app

    monkeypatch.setenv("HEADRACE_DASHBOARD_STORE", f"embedded:{tmp_path}/shop")
    yield testing.AppTest.from_file(str(Path(app.__file__).with_name("page.py")), default_timeout=30)
    app._live.clear()


def test_the_page_tells_of_a_missing_store_and_of_an_empty_one(page: Any, tmp_path: Path) -> None:
    page.run()
    assert not page.exception
    assert [error.value for error in page.error] and "There is no store" in page.error[0].value
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/headrace.sqlite").touch()
    for _ in range(50):
        page.run()
        if not page.error:
            break
        time.sleep(0.1)
    assert not page.exception and not page.error
    assert "No events yet" in page.info[0].value and "headrace commerce demo" in page.info[0].value


def test_the_program_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    def told(*words: str, flags: tuple[str, ...] = ()) -> tuple[int, str]:
        line = [sys.executable, *flags, "-m", "headrace.dashboard", *words]
        run = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        return run.returncode, run.stderr

    pytest.importorskip("streamlit", reason="headrace[dashboard] is not installed: no Streamlit")
    code, text = told("commerce", "--address", "192.0.2.1", "--port", "8599")
    assert code == 2 and text.count("\n") == 1 and "192.0.2.1" in text and "--port" in text
    code, text = told("recruitment")
    assert code == 2 and "invalid choice" in text


def test_without_streamlit_the_program_says_how_to_install_it(tmp_path: Path) -> None:
    program = "import sys; sys.modules['streamlit'] = None\nfrom headrace.dashboard import main\nsys.exit(main(['commerce']))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and "pip install 'headrace[dashboard]'" in run.stderr and "Traceback" not in run.stderr
