"""The panels of the page. Each says what its figures cover, and shows the others while its own table is still being read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone

import polars as pl
import streamlit as st

from headrace._commerce import charts, figures, letters
from headrace._commerce.figures import View
from headrace._commerce.live import Live, Pending
from headrace._commerce.markup import amount, bars, count, duration, note, paragraph, share, shortened, table, tiles, time, title
from headrace._commerce.tables import Counters
from headrace.errors import HeadraceError

__all__ = ["draw"]

_LOG = logging.getLogger("headrace.dashboard")

FOREVER = datetime(9999, 1, 1, tzinfo=timezone.utc)
NO_PLACES = "filters cannot apply"
MINUTE = "%m-%d %H:%M"


class Page:
    """One refresh: the tables and what the visitor wants to see of them."""

    def __init__(self, tables: Live, counters: Counters, view: View, length: timedelta, can_replay: bool) -> None:
        self.tables, self.counters, self.view, self.length, self.can_replay = tables, counters, view, length, can_replay
        self.range = f"{time(view.since, '%Y-%m-%d %H:%M')} to {time(view.until, '%Y-%m-%d %H:%M')} UTC"
        self.activity = tables.since("activity_per_minute", "minute", view.since, key=True)

    def covered(self) -> str:
        """What panels say that filters apply to."""
        chosen = [*self.view.cities, *self.view.stores, *self.view.categories]
        return "In this range, " + (f"only {', '.join(chosen)}." if chosen else "all cities, stores and categories.")

    def conversions(self) -> pl.DataFrame:
        """Attributed purchases whose cart is in the range; no purchase comes before its cart."""
        columns = ["category", "city", "store_id", "cart_timestamp", "purchase_timestamp"]
        return self.tables.since("conversion_attributed", "cart_timestamp", self.view.since, key=False, columns=columns)


def draw(tables: Live, counters: Counters, view: View, length: timedelta, can_replay: bool) -> None:
    """Draws all panels."""
    try:
        page = Page(tables, counters, view, length, can_replay)
    except (HeadraceError, Pending):
        st.html(note("Reading the minutes of this range…"))
        return
    _panel(page, _numbers, border=False)
    _panel(page, _sales)
    for column, stack in zip(
        st.columns(2), ((_funnel, _times, _tickets, _peaks), (_categories, _top, _abandoned, _quality)), strict=True
    ):
        with column:
            for panel in stack:
                _panel(page, panel)


def _panel(page: Page, draws: Callable[[Page], None], border: bool = True) -> None:
    with st.container(border=border):
        try:
            draws(page)
        except Pending:
            st.html(note("Reading a large table; it appears here in a moment…"))
        except HeadraceError:
            st.html(note("This cannot be read at the moment."))
        except Exception:  # a fault of one panel must not take the others along
            _LOG.exception("panel %s", draws.__name__)
            st.html(note("Internal error in this panel; please report what the dashboard's terminal says."))


def _numbers(page: Page) -> None:
    sums = figures.totals(page.activity, page.view)
    found = figures.funnel(page.activity, page.conversions(), page.view)
    late = f"{amount(sums.late_revenue)} of it late" if sums.late_orders else "none of it late"
    each = [
        ("Revenue", amount(sums.revenue), late),
        ("Orders", count(sums.orders), f"{count(sums.late_orders)} late"),
        ("Average ticket", amount(sums.average_ticket), "revenue by order"),
        ("Views", count(sums.views), "of product pages"),
        ("Carts", count(sums.carts), "additions to a cart"),
        ("Carts bought", share(found.conversion_rate), f"{count(found.converted)} within 20 min"),
    ]
    st.html(tiles(each))
    st.html(paragraph(f"{page.range}, by the time of the events. {page.covered()} Amounts are exact, their currency is unstated."))


def _sales(page: Page) -> None:
    bar = figures.bucket_minutes(page.view)
    st.html(
        title(
            "Sales per minute" if bar == 1 else f"Sales per {bar} minutes",
            f"{page.covered()} Light: provisional, the minute is still open. Amber: came after its minute was closed, and is added to it.",
        )
    )
    shown = st.segmented_control("Shown", ["Revenue", "Orders"], default="Revenue", key="sales_of", label_visibility="collapsed")
    minutes = page.tables.since("sales_per_minute", "window_start", page.view.since, key=True)
    rows = figures.sales(page.activity, minutes, page.view)
    if rows.is_empty():
        st.html(note("No orders in this range."))
        return
    field, spec = ("orders", charts.orders_per_minute()) if shown == "Orders" else ("revenue", charts.sales_per_minute())
    _chart(
        _over_time(rows, field, page.view, bar, charts.COLOURS),
        spec,
        f"sales_{field}",
        "Bars of sales by minute: on time, provisional and late",
    )


def _funnel(page: Page) -> None:
    found = figures.funnel(page.activity, page.conversions(), page.view)
    st.html(title("From view to purchase", page.covered()))
    of_views = f"{share(found.carts / found.views)} of views" if found.views else ""
    rows = [
        ("Views", found.views, count(found.views), ""),
        ("Carts", found.carts, count(found.carts), of_views),
        (
            "Carts bought",
            found.converted,
            count(found.converted),
            f"{share(found.conversion_rate)} of carts" if found.carts else "",
        ),
        ("All orders", found.purchases, count(found.purchases), "with or without a cart"),
    ]
    st.html(bars((label, float(length), value, remark) for label, length, value, remark in rows))
    whole = figures.funnel_by_category(page.tables.whole("funnel"))
    if whole.is_empty():
        return
    heads = ("Category", "Views", "Carts", "after a view", "bought", "Rate", "Purchases")
    lines = [
        (
            "all" if row["category"] == "*" else row["category"],
            *(count(row[name]) for name in ("views", "carts", "carts_after_view", "carts_converted")),
            share(row["rate"]),
            count(row["purchases"]),
        )
        for row in whole.head(12).to_dicts()
    ]
    st.html(paragraph(f"Since the beginning, by category; {NO_PLACES}: carts after a view are not kept by place."))
    st.html(table(heads, lines, numbers=range(1, 7)))


def _times(page: Page) -> None:
    found = figures.times_to_purchase(page.conversions(), page.view)
    st.html(title("Time to purchase", f"From a cart to the purchase it became. {page.covered()}"))
    each = [
        ("Half within", duration(found.p50), "p50"),
        ("9 of 10 within", duration(found.p90), "p90"),
        ("99 of 100 within", duration(found.p99), "p99"),
    ]
    st.html(tiles(each))
    if not found.count:
        st.html(note("No cart of this range was bought yet."))
        return
    rows = found.bars.with_columns((pl.col("minute") + 1).alias("end"))
    _chart(rows, charts.times_to_purchase(), "times", "Bars of purchases by minutes after the cart")


def _categories(page: Page) -> None:
    st.html(title("Views by category", page.covered()))
    rows = figures.by_category(page.activity, page.view)
    if rows.is_empty():
        st.html(note("No views in this range."))
        return
    st.html(bars((row["category"], float(row["views"]), count(row["views"]), "") for row in rows.to_dicts()))


def _top(page: Page) -> None:
    st.html(
        title(
            "Top five products",
            f"By views since the beginning, and by revenue in this range; {NO_PLACES}: products are not kept by place.",
        )
    )
    viewed = figures.top_by_views(page.tables.whole("views_by_product")).to_dicts()
    products = page.tables.since("sales_by_product", "window_start", page.view.since, key=True)
    sold = figures.top_by_revenue(products, page.view).to_dicts()
    if not viewed and not sold:
        st.html(note("No product was viewed or sold yet."))
        return
    st.html(paragraph("Views"))
    st.html(bars((f"Product {row['product_id']}", float(row["views_count"]), count(row["views_count"]), "") for row in viewed))
    st.html(paragraph("Revenue"))
    lines = ((f"Product {r['product_id']}", float(r["revenue"]), amount(r["revenue"]), _orders(r["orders"])) for r in sold)
    st.html(bars(lines, charts.COLOURS["on time"]) if sold else note("No orders in this range."))


def _tickets(page: Page) -> None:
    st.html(title("Average ticket", f"All users and orders since the beginning; {NO_PLACES}: users are not kept by place."))
    found = figures.tickets(page.tables.whole("orders_avg_ticket"))
    if not found.users:
        st.html(note("Nobody has ordered yet."))
        return
    each = [("Average ticket", amount(found.average), "of all orders"), ("Users", count(found.users), "with an order")]
    st.html(tiles([*each, ("Orders", count(found.orders), f"{found.orders / found.users:.1f} by user")]))
    _chart(found.bars, charts.tickets(), "tickets", "Bars of users by their average ticket")
    lines = [
        (row["user_id"], count(row["orders"]), amount(row["total"]), amount(row["ticket"])) for row in found.top.head(5).to_dicts()
    ]
    st.html(paragraph("Users who spent most"))
    st.html(table(("User", "Orders", "Total", "Average ticket"), lines, numbers=(1, 2, 3)))


def _abandoned(page: Page) -> None:
    st.html(title("Abandoned carts", f"No purchase within 20 minutes. {page.covered()}"))
    columns = ["user_id", "product_id", "category", "city", "store_id", "price", "cart_timestamp"]
    carts = page.tables.since("abandoned_carts", "cart_timestamp", page.view.since, key=False, columns=columns)
    number, value, newest = figures.abandoned(carts, page.view)
    st.html(
        tiles([("Abandoned carts", count(number), "in this range"), ("Their value", amount(value), "at the price in the cart")])
    )
    if not number:
        st.html(
            note(
                "None in this range. A cart counts as abandoned when no purchase can come any more: "
                "20 minutes after it was filled, and 30 more for late events."
            )
        )
        return
    lines = [
        (
            time(row["cart_timestamp"], MINUTE),
            row["user_id"],
            row["product_id"],
            row["category"],
            row["city"],
            row["store_id"],
            amount(row["price"]),
        )
        for row in newest.to_dicts()
    ]
    st.html(table(("Cart (UTC)", "User", "Product", "Category", "City", "Store", "Value"), lines, numbers=(6,)))


def _peaks(page: Page) -> None:
    st.html(
        title(
            "Demand peaks",
            f"Minutes in which a product sold above mean + 3 σ of its last 30 minutes. In this range; {NO_PLACES}.",
        )
    )
    rows = figures.peaks(page.tables.since("demand_peaks", "window_start", page.view.since, key=True), page.view)
    if rows.is_empty():
        st.html(note("No peak in this range."))
        return

    def usual(row: dict[str, object], name: str, value: str) -> str:
        sigmas = row[f"{name}_sigmas"]
        return value if sigmas is None else f"{value} ({sigmas:+.1f} σ)"

    lines = [
        (
            time(row["window_start"], MINUTE),
            row["product_id"],
            usual(row, "revenue", amount(row["revenue"])),
            amount(row["revenue_mean"]),
            usual(row, "orders", count(row["orders"])),
            amount(row["orders_mean"]),
        )
        for row in rows.to_dicts()
    ]
    heads = ("Minute (UTC)", "Product", "Revenue", "usual", "Orders", "usual")
    st.html(table(heads, lines, numbers=(2, 3, 4, 5)))


def _quality(page: Page) -> None:
    counters, classes = page.counters, page.counters["classes"]
    st.html(title("Data quality", f"Counters since the beginning; {NO_PLACES}: events that were refused may have no place."))
    balanced = counters["read"] == counters["accepted"] + counters["duplicate"] + counters["dead_letter"]
    each = [
        ("Read", count(counters["read"]), "all accounted for" if balanced else "does not add up"),
        ("Accepted", count(counters["accepted"]), f"{count(classes.get('misrouted', 0))} misrouted"),
        ("Duplicates", count(counters["duplicate"]), "ignored"),
        ("Dead letters", count(counters["dead_letter"]), "refused and kept"),
        ("Late", count(classes.get("late:sales", 0)), "for sales, counted apart"),
        ("Late", count(classes.get("late:funnel", 0)), "for the funnel, not joined"),
    ]
    st.html(tiles(each))
    arrivals = page.tables.since("quality_per_minute", "minute", page.view.since, key=True)
    if arrivals.height:
        latest: datetime = arrivals.select(pl.col("minute").max()).item()
        end = latest + timedelta(minutes=1)
        view = View(max(end - page.length, page.view.since), end)
        rows = figures.quality_over_time(arrivals, view)
        bar = figures.bucket_minutes(view)
        st.html(paragraph(f"By minute of arrival (UTC), {bar} minute{'' if bar == 1 else 's'} a bar"))
        if rows.is_empty():
            st.html(note("Nothing refused, late, doubled or misrouted in this range."))
        else:
            _chart(
                _over_time(rows, "count", view, bar, charts.QUALITY),
                charts.quality(),
                "quality",
                "Bars of dead letters, duplicates, late and misrouted events",
            )
    reasons = figures.dead_letter_reasons(classes)
    if not reasons:
        return
    st.html(paragraph("Dead letters by reason, each with its newest example"))
    newest = figures.newest_by_reason(letters.newest(page.tables))
    lines = []
    for reason, number in reasons:
        letter = newest.get(reason)
        at = f"{letter['source']} {letter['position']}, {time(letter['failed_at'], MINUTE)}" if letter else "older"
        lines.append((reason, count(number), at, shortened(letter["raw"]) if letter else ""))
    st.html(table(("Reason", "Count", "Newest at (UTC)", "Message"), lines, numbers=(1,), wide=(3,)))
    if st.button("Review and replay" if page.can_replay else "Review", icon=":material/mail:", key="letters"):
        letters.ask()
        st.rerun(scope="app")


def _orders(number: int) -> str:
    return f"{count(number)} order{'' if number == 1 else 's'}"


def _over_time(rows: pl.DataFrame, field: str, view: View, bar: int, kinds: Iterable[str]) -> pl.DataFrame:
    """Rows as bars on top of each other in the order of kinds, with two of no height that hold the axis at the range."""
    end = (pl.col("start") + timedelta(seconds=52 * bar)).alias("end")
    label = pl.col("start").dt.strftime("%Y-%m-%d %H:%M").alias("label")
    high = pl.col(field).cum_sum().over("start").alias("high")
    places = {kind: place for place, kind in enumerate(kinds)}
    stacked = rows.sort(pl.col("kind").replace_strict(places, default=len(places)), maintain_order=True)
    shown = stacked.select("start", end, "kind", field, (high - pl.col(field)).alias("low"), high, label)
    edges = pl.DataFrame({"start": [view.since, view.until]}, schema={"start": shown.schema["start"]})
    zero = (pl.lit(0).cast(shown.schema[field]).alias(name) for name in (field, "low", "high"))
    kind = pl.lit(shown.get_column("kind")[0]).alias("kind")
    edges = edges.select("start", pl.col("start").alias("end"), kind, *zero, pl.lit("").alias("label"))
    return pl.concat([shown, edges.select(shown.columns)])


def _chart(rows: pl.DataFrame, spec: charts.Spec, key: str, alt: str) -> None:
    st.vega_lite_chart(rows.to_arrow(), spec, width="stretch", key=f"chart_{key}", alt=alt)
