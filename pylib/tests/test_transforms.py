"""Windows, joins and de-duplication on pandas, Polars and PyArrow tables: the same rows from all of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import headrace
from headrace.transforms import attribute, deduplicate, interval_join, session_window, sliding_window, tumbling_window

MINUTE = timedelta(minutes=1)
START = datetime(2025, 3, 9, 23, 59)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


# The purchase at 240 s closes the minute that begins at 59 s before midnight, so the one at 30 s is late.
PURCHASES: dict[str, list[Any]] = {
    "time": [at(0), at(70), at(240), at(30), at(59.999999), at(60)],
    "shop": ["a", "b", "a", "a", None, "b"],
    "price": [1.5, 2.5, 4.0, 8.0, 16.0, None],
    "cents": [150, 250, 400, 800, 1600, None],
}
MINUTES = [
    (at(0), at(60), 1, 150, 2, 2400, True),
    (at(60), at(120), 1, 250, 1, 0, True),
    (at(240), at(300), 1, 400, 0, 0, False),
]
AGGREGATE: headrace.transforms.Aggregate = {"orders": "count", "sales": ("cents", "sum")}

FRAMES: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "pyarrow": pa.table,
    "polars": pl.DataFrame,
    "pandas": pd.DataFrame,
    "pandas-arrow": lambda rows: pd.DataFrame(rows).convert_dtypes(dtype_backend="pyarrow"),
    "chunks": lambda rows: pa.concat_tables([pa.table(rows).slice(0, 2), pa.table(rows).slice(2)]),
}


def rows(table: Any) -> list[tuple[Any, ...]]:
    return pl.DataFrame(table).rows()


@pytest.fixture(params=FRAMES)
def frame(request: pytest.FixtureRequest) -> Callable[[dict[str, list[Any]]], Any]:
    return FRAMES[request.param]


def test_tumbling_windows(frame: Callable[..., Any]) -> None:
    table = tumbling_window(frame(PURCHASES), "time", MINUTE, aggregate=AGGREGATE, delay=2 * MINUTE)
    assert table.column_names == ["window_start", "window_end", "orders", "sales", "late_orders", "late_sales", "final"]
    # pandas has made floats of the integers, since one is missing.
    assert rows(table) == MINUTES
    table = tumbling_window(frame(PURCHASES), "time", timedelta(hours=1), keys="shop", offset=timedelta(minutes=59))
    assert rows(table) == [(at(0), at(3600), None, 1), (at(0), at(3600), "a", 3), (at(0), at(3600), "b", 2)]


def test_sliding_windows(frame: Callable[..., Any]) -> None:
    table = sliding_window(frame(PURCHASES), "time", 2 * MINUTE, MINUTE, aggregate={"most": ("price", "max")}, delay=timedelta(0))
    assert table.column_names == ["window_start", "window_end", "most", "late_most", "final"]
    # 30 s and 59.999999 s come when both of their windows are closed.
    expected = [
        (at(-60), at(60), 1.5, 16.0, True),
        (at(0), at(120), 2.5, 16.0, True),
        (at(60), at(180), 2.5, None, True),
        (at(180), at(300), 4.0, None, False),
        (at(240), at(360), 4.0, None, False),
    ]
    assert rows(table) == expected


def test_session_windows(frame: Callable[..., Any]) -> None:
    table = session_window(frame(PURCHASES), "time", MINUTE, aggregate={"mean": ("price", "mean"), "orders": "count"})
    assert rows(table) == [(at(0), at(130), 7.0, 5), (at(240), at(300), 4.0, 1)]
    table = session_window(frame(PURCHASES), "time", MINUTE, keys=["shop"])
    expected = [
        (at(0), at(90), "a", 2),
        (at(59.999999), at(119.999999), None, 1),
        (at(60), at(130), "b", 2),
        (at(240), at(300), "a", 1),
    ]
    assert rows(table) == expected


CARTS = {"user": [7, 7, 8], "product": ["x", "x", "x"], "time": [at(0), at(60), at(0)], "cart": ["c1", "c2", "c3"]}
SALES = {
    "user": [7, 7, 7, 8, 9],
    "product": ["x"] * 5,
    "time": [at(300), at(120), at(1200), at(1200.000001), at(0)],
    "sale": ["s3", "s1", "s2", "s4", "s5"],
}


def test_joins(frame: Callable[..., Any]) -> None:
    options: dict[str, Any] = {"time": "time", "keys": ["user", "product"], "upper": timedelta(minutes=20)}
    table = interval_join(frame(CARTS), frame(SALES), **options)
    assert table.column_names == ["user", "product", "time", "cart", "time_right", "sale"]
    pairs = [(row[3], row[5]) for row in rows(table)]
    # The purchase of 8 is one microsecond too late.
    assert pairs == [("c1", "s3"), ("c2", "s3"), ("c1", "s1"), ("c2", "s1"), ("c1", "s2"), ("c2", "s2")]
    attributed = attribute(frame(CARTS), frame(SALES), id=("cart", "sale"), **options)
    assert [(row[3], row[5]) for row in rows(attributed)] == [("c1", "s3"), ("c2", "s1")]
    assert rows(attribute(frame(CARTS), frame(SALES), **options)) == rows(attributed)
    # The other way round: a cart up to 20 minutes before a sale.
    backwards: dict[str, Any] = options | {"time": ("bought", "time"), "lower": timedelta(minutes=-20), "upper": timedelta(0)}
    sales = pa.table(SALES).rename_columns(["user", "product", "bought", "sale"])
    table = interval_join(sales, frame(CARTS), **backwards)
    assert table.column_names == ["user", "product", "bought", "sale", "time", "cart"]
    assert sorted((row[5], row[3]) for row in rows(table)) == sorted(pairs)


def test_duplicates(frame: Callable[..., Any]) -> None:
    events = {"id": ["a", "b", "a", None, "a", None], "price": [1.0, None, 1.0, 3.0, 2.0, 3.0], "seen": [1, 2, 3, 4, 5, 6]}
    given = deduplicate(frame(events), "id", content="price")
    seen = [[row[2] for row in rows(table)] for table in given]
    assert seen == [[1, 2, 4, 6], [3], [5]]
    assert len(given.kept) == 4 and given.conflicts.column_names == ["id", "price", "seen"]
    assert [len(table) for table in deduplicate(frame(events), "id")] == [4, 0, 2]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_and_zone(unit: str) -> None:
    times = [at(0), at(70), at(240)]
    expected = [(at(0), 1), (at(60), 1), (at(240), 1)]
    table = tumbling_window(pa.table({"time": pa.array(times, pa.timestamp(unit))}), "time", MINUTE)
    assert [(row[0], row[2]) for row in rows(table)] == expected
    zoned = pa.table({"time": pa.array(times, pa.timestamp(unit, "America/Guayaquil"))})
    table = tumbling_window(zoned, "time", MINUTE)
    assert pa.table(table).schema.field("window_start").type == pa.timestamp("us", "America/Guayaquil")
    assert [row[0].astimezone(timezone.utc).replace(tzinfo=None) for row in rows(table)] == [row[0] for row in expected]


def test_times_that_are_numbers_or_days() -> None:
    micros = [0, 59_999_999, -1]
    assert rows(tumbling_window(pl.DataFrame({"time": micros}), "time", MINUTE)) == [(-60_000_000, 0, 1), (0, 60_000_000, 2)]
    days = tumbling_window(pl.DataFrame({"day": [date(1970, 1, 2)]}), "day", timedelta(days=7))
    assert rows(days) == [(datetime(1970, 1, 1), datetime(1970, 1, 8), 1)]


def test_columns_of_many_types_go_through_a_join() -> None:
    types: dict[str, Any] = {
        "time": pa.array([at(0)]),
        "small": pa.array([1], pa.int8()),
        "short": pa.array([-2], pa.int16()),
        "byte": pa.array([200], pa.uint8()),
        "long": pa.array([2**64 - 1], pa.uint64()),
        "true": pa.array([True]),
        "raw": pa.array([b"\x00"]),
        "day": pa.array([date(2025, 1, 1)]),
        "span": pa.array([timedelta(seconds=1)]),
        "none": pa.array([None], pa.string()),
    }
    left = pa.table(types)
    row = rows(interval_join(left, left, time="time", upper=MINUTE, keys=[name for name in types if name not in ("time", "none")]))
    assert row == [(at(0), 1, -2, 200, 2**64 - 1, True, b"\x00", date(2025, 1, 1), timedelta(seconds=1), None, at(0), None)]
    indexed = pd.DataFrame({"time": [at(0)]}, index=["row"])
    assert interval_join(indexed, indexed, time="time", upper=MINUTE).column_names == ["time", "time_right"]


def test_what_cannot_be_done_is_said() -> None:
    frame = pa.table(PURCHASES)
    with pytest.raises(headrace.ConfigError, match="size of a window is 0"):
        tumbling_window(frame, "time", timedelta(0))
    with pytest.raises(headrace.ConfigError, match="leave gaps"):
        sliding_window(frame, "time", MINUTE, 2 * MINUTE)
    with pytest.raises(headrace.ConfigError, match="no aggregation median"):
        session_window(frame, "time", MINUTE, aggregate={"median": ("price", "median")})
    with pytest.raises(headrace.ConfigError, match="lower bound"):
        interval_join(frame, frame, time="time", upper=-MINUTE)
    with pytest.raises(headrace.DataError, match="no column when in the table; it has"):
        tumbling_window(frame, "when", MINUTE)
    with pytest.raises(headrace.DataError, match="column shop have type"):
        tumbling_window(frame, "shop", MINUTE)
    with pytest.raises(headrace.DataError, match="right table: there is no column user"):
        interval_join(pa.table(CARTS), frame, time="time", upper=MINUTE, keys="user")
    with pytest.raises(headrace.DataError, match="list has type .* leave it out"):
        deduplicate(pa.table({"id": ["a"], "list": [[1]]}), "id")
