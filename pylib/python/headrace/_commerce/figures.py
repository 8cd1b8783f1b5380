"""The figures of the dashboard: pure functions of the tables, from data frames to small data frames and numbers.

Amounts stay decimals until they are shown. Every function gives few rows, whatever the table holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

__all__ = [
    "BUCKETS",
    "Funnel",
    "Tickets",
    "Times",
    "Totals",
    "View",
    "abandoned",
    "bucket_minutes",
    "by_category",
    "choices",
    "dead_letter_reasons",
    "funnel",
    "funnel_by_category",
    "newest_by_reason",
    "peaks",
    "quality_over_time",
    "sales",
    "tickets",
    "times_to_purchase",
    "top_by_revenue",
    "top_by_views",
    "totals",
]

BUCKETS = (1, 2, 5, 10, 15, 30, 60)
"""Minutes that one bar may stand for."""
MOST_BARS = 120
PLACES = ("city", "store_id", "category")
TICKET_BARS = 24
WINDOW_MINUTES = 20
"""How long after the cart a purchase still counts as its own."""


@dataclass(frozen=True)
class View:
    """What the visitor wants to see: a range of event time and some places. An empty choice means all."""

    since: datetime
    until: datetime
    cities: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def is_filtered(self) -> bool:
        """Whether only some places are wanted."""
        return bool(self.cities or self.stores or self.categories)

    def of(self, frame: pl.DataFrame, time: str) -> pl.DataFrame:
        """The rows of a table with places that are wanted."""
        wanted = zip(PLACES, (self.cities, self.stores, self.categories), strict=True)
        keep = (pl.col(time) >= self.since) & (pl.col(time) < self.until)
        return frame.filter(keep, *(pl.col(name).is_in(values) for name, values in wanted if values))

    def of_time(self, frame: pl.DataFrame, time: str) -> pl.DataFrame:
        """The rows of a table without places."""
        return frame.filter((pl.col(time) >= self.since) & (pl.col(time) < self.until))


@dataclass(frozen=True)
class Totals:
    """The sums of a range."""

    revenue: Decimal
    late_revenue: Decimal
    orders: int
    late_orders: int
    views: int
    carts: int

    @property
    def average_ticket(self) -> Decimal | None:
        """Revenue by order, none without orders."""
        return self.revenue / self.orders if self.orders else None


@dataclass(frozen=True)
class Funnel:
    """How many go on to the next stage; carts and what became of them are those put in the range."""

    views: int
    carts: int
    converted: int
    purchases: int

    @property
    def conversion_rate(self) -> float | None:
        """The share of carts that a purchase followed in time; none without carts."""
        return self.converted / self.carts if self.carts else None


@dataclass(frozen=True)
class Times:
    """How long it took from cart to purchase, in seconds; the bars count purchases by minute."""

    count: int
    p50: float | None
    p90: float | None
    p99: float | None
    bars: pl.DataFrame


@dataclass(frozen=True)
class Tickets:
    """Average tickets of all users since the beginning."""

    users: int
    orders: int
    total: Decimal
    bars: pl.DataFrame
    top: pl.DataFrame

    @property
    def average(self) -> Decimal | None:
        """Of all orders, none without any."""
        return self.total / self.orders if self.orders else None


def choices(activity: pl.DataFrame) -> dict[str, list[str]]:
    """The places that occur, for the filters."""
    return {name: activity.get_column(name).unique().sort().to_list() for name in PLACES}


def bucket_minutes(view: View) -> int:
    """How many minutes one bar stands for, so that there are not too many of them."""
    minutes = (view.until - view.since) / timedelta(minutes=1)
    return next((bucket for bucket in BUCKETS if minutes / bucket <= MOST_BARS), BUCKETS[-1])


def sales(activity: pl.DataFrame, minutes: pl.DataFrame, view: View) -> pl.DataFrame:
    """Revenue and orders by bar and kind: `on time`, `provisional` (the minute is still open) and `late`."""
    by_minute = view.of(activity, "minute").group_by("minute").agg(pl.col("revenue", "orders", "late_revenue", "late_orders").sum())
    final = minutes.select(pl.col("window_start").alias("minute"), pl.col("final") != 0)
    told = by_minute.join(final, on="minute", how="left").with_columns(pl.col("final").fill_null(False))
    on_time = told.select(
        "minute",
        pl.when("final").then(pl.lit("on time")).otherwise(pl.lit("provisional")).alias("kind"),
        "revenue",
        "orders",
    )
    late = told.select(
        "minute", pl.lit("late").alias("kind"), pl.col("late_revenue").alias("revenue"), pl.col("late_orders").alias("orders")
    )
    bars = pl.concat([on_time, late]).filter(pl.col("orders") > 0)
    bars = bars.group_by(pl.col("minute").dt.truncate(f"{bucket_minutes(view)}m").alias("start"), "kind").agg(
        pl.col("revenue", "orders").sum()
    )
    return bars.with_columns(pl.col("revenue").cast(pl.Float64)).sort("start", "kind")


def totals(activity: pl.DataFrame, view: View) -> Totals:
    """The sums of the range and the places."""
    names = ("revenue", "late_revenue", "orders", "late_orders", "views", "carts")
    sums = view.of(activity, "minute").select(pl.col(*names).sum()).row(0, named=True)
    revenue, late = (sums[name] or Decimal(0) for name in names[:2])
    counts = {name: int(sums[name] or 0) for name in names[2:]}
    return Totals(
        revenue + late, late, counts["orders"] + counts["late_orders"], counts["late_orders"], counts["views"], counts["carts"]
    )


def by_category(activity: pl.DataFrame, view: View, most: int = 10) -> pl.DataFrame:
    """Views by category, the most viewed first; what does not fit is added up."""
    found = view.of(activity, "minute").group_by("category").agg(pl.col("views").sum()).filter(pl.col("views") > 0)
    found = found.sort(["views", "category"], descending=[True, False])
    if found.height <= most:
        return found
    rest = found.slice(most - 1)
    other = pl.DataFrame({"category": [f"{rest.height} others"], "views": [rest.get_column("views").sum()]}, schema=found.schema)
    return found.head(most - 1).vstack(other)


def top_by_views(products: pl.DataFrame, most: int = 5) -> pl.DataFrame:
    """The most viewed products; ties by the text of the product."""
    return products.select("product_id", "views_count").sort(["views_count", "product_id"], descending=[True, False]).head(most)


def top_by_revenue(products: pl.DataFrame, view: View, most: int = 5) -> pl.DataFrame:
    """The products that sold most in the range."""
    rows = (
        view.of_time(products, "window_start")
        .group_by("product_id")
        .agg(
            (pl.col("product_revenue").sum() + pl.col("late_revenue").sum()).alias("revenue"),
            (pl.col("orders_count").sum() + pl.col("late_orders").sum()).alias("orders"),
        )
    )
    return rows.filter(pl.col("orders") > 0).sort(["revenue", "product_id"], descending=[True, False]).head(most)


def tickets(users: pl.DataFrame, most: int = 10) -> Tickets:
    """The average ticket of all orders, of each user as a distribution, and the users who spent most."""
    users = users.filter(pl.col("orders") > 0)
    sums = users.select(pl.col("orders").sum(), pl.col("total").sum()).row(0, named=True)
    top = users.sort(["total", "user_id"], descending=[True, False]).head(most)
    average = (pl.col("total").cast(pl.Float64) / pl.col("orders")).alias("ticket")
    each = users.select(average)
    width = _step(float(each.select(pl.col("ticket").max()).item()) / TICKET_BARS) if users.height else 1.0
    bars = each.group_by((pl.col("ticket") / width).floor().alias("bar")).agg(pl.len().alias("users"))
    bars = bars.select((pl.col("bar") * width).alias("from"), ((pl.col("bar") + 1) * width).alias("to"), "users").sort("from")
    top = top.select("user_id", "orders", "total", average)
    return Tickets(users.height, int(sums["orders"] or 0), sums["total"] or Decimal(0), bars, top)


def funnel(activity: pl.DataFrame, conversions: pl.DataFrame, view: View) -> Funnel:
    """Views, carts and the carts that became a purchase within 20 minutes."""
    found = totals(activity, view)
    return Funnel(found.views, found.carts, view.of(conversions, "cart_timestamp").height, found.orders)


def times_to_purchase(conversions: pl.DataFrame, view: View) -> Times:
    """Percentiles (nearest rank) and distribution of the time from a cart to its purchase."""
    seconds = (pl.col("purchase_timestamp") - pl.col("cart_timestamp")).dt.total_microseconds() / 1_000_000
    times = view.of(conversions, "cart_timestamp").select(seconds.alias("seconds"))
    at = [times.get_column("seconds").quantile(share, "nearest") for share in (0.5, 0.9, 0.99)]
    minute = (pl.col("seconds") / 60).floor().clip(0, WINDOW_MINUTES - 1).cast(pl.Int64).alias("minute")
    bars = times.group_by(minute).agg(pl.len().alias("purchases"))
    every = pl.DataFrame({"minute": range(WINDOW_MINUTES)}, schema={"minute": pl.Int64})
    bars = every.join(bars, on="minute", how="left").with_columns(pl.col("purchases").fill_null(0)).sort("minute")
    return Times(times.height, at[0], at[1], at[2], bars)


def funnel_by_category(table: pl.DataFrame) -> pl.DataFrame:
    """The funnel of each category since the beginning, and of all of them in the first row, called `*`."""
    counts = ("views", "carts", "carts_after_view", "purchases", "carts_converted")
    rows = table.select("category", *(pl.col(name).fill_null(0) for name in counts)).sort("category")
    if rows.is_empty():
        return rows.with_columns(pl.lit(None, pl.Float64).alias("rate"))
    whole = rows.select(pl.lit("*").alias("category"), pl.col(*counts).sum())
    rate = pl.when(pl.col("carts") > 0).then(pl.col("carts_converted") / pl.col("carts")).alias("rate")
    return pl.concat([whole, rows]).with_columns(rate)


def abandoned(carts: pl.DataFrame, view: View, most: int = 8) -> tuple[int, Decimal, pl.DataFrame]:
    """How many carts no purchase followed, what was in them, and the newest of them."""
    found = view.of(carts, "cart_timestamp")
    value: Decimal | None = found.select(pl.col("price").sum()).item()
    return found.height, value or Decimal(0), found.sort("cart_timestamp", descending=True).head(most)


def peaks(table: pl.DataFrame, view: View, most: int = 8) -> pl.DataFrame:
    """The newest minutes in which a product sold far more than before, and by how many deviations."""

    def above(name: str) -> pl.Expr:
        deviation = pl.col(f"{name}_deviation").cast(pl.Float64)
        over = pl.col(name).cast(pl.Float64) - pl.col(f"{name}_mean").cast(pl.Float64)
        return pl.when(deviation > 0).then(over / deviation).alias(f"{name}_sigmas")

    rows = view.of_time(table, "window_start").sort(["window_start", "product_id"], descending=[True, False]).head(most)
    return rows.with_columns(above("revenue"), above("orders"))


def quality_over_time(table: pl.DataFrame, view: View) -> pl.DataFrame:
    """Events that needed attention, by bar of their arrival and class; those accepted on time are left out."""
    word = pl.col("class")
    kind = (
        pl.when(word.str.starts_with("dead_letter:"))
        .then(pl.lit("dead letter"))
        .when(word.str.starts_with("late:"))
        .then(pl.lit("late"))
        .otherwise(word)
    )
    rows = view.of_time(table, "minute").select("minute", kind.alias("kind"), "count")
    rows = rows.filter(pl.col("kind").is_in(["dead letter", "late", "duplicate", "misrouted"]))
    start = pl.col("minute").dt.truncate(f"{bucket_minutes(view)}m").alias("start")
    return rows.group_by(start, "kind").agg(pl.col("count").sum()).sort("start", "kind")


def dead_letter_reasons(classes: Mapping[str, int]) -> list[tuple[str, int]]:
    """Reasons of refused events with their counts, the most frequent first."""
    found = [(name.removeprefix("dead_letter:"), count) for name, count in classes.items() if name.startswith("dead_letter:")]
    return sorted(found, key=lambda each: (-each[1], each[0]))


def newest_by_reason(letters: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """The newest refused event of each reason, among those given with the newest first."""
    return {str(row["reason"]): row for row in reversed(letters.to_dicts())}


def _step(least: float, steps: Sequence[float] = (1, 2, 2.5, 5, 10)) -> float:
    """A round width that is not smaller."""
    power = 1.0
    while power * 10 <= least:
        power *= 10
    return next((step * power for step in steps if step * power >= least), 10 * power)
