"""The charts as Vega-Lite. A specification never changes while a page is open, only its rows do: nothing is drawn anew."""

from __future__ import annotations

from typing import Any

__all__ = ["COLOURS", "QUALITY", "orders_per_minute", "quality", "sales_per_minute", "tickets", "times_to_purchase"]

COLOURS = {"on time": "#2563eb", "provisional": "#93c5fd", "late": "#f59e0b"}
"""Provisional is the lighter shade of on time; late stands out."""
QUALITY = {"dead letter": "#dc2626", "duplicate": "#8b5cf6", "late": "#f59e0b", "misrouted": "#0891b2"}
PLAIN = "#2563eb"

Spec = dict[str, Any]


def sales_per_minute() -> Spec:
    """Revenue by bar of time, its kinds on top of each other."""
    return _by_time("revenue", "Revenue (currency unstated)", ",.2f", COLOURS, "Time of the event, UTC")


def orders_per_minute() -> Spec:
    """Orders by bar of time, its kinds on top of each other."""
    return _by_time("orders", "Orders", ",d", COLOURS, "Time of the event, UTC")


def quality() -> Spec:
    """Events that needed attention, by bar of arrival."""
    return _by_time("count", "Events", ",d", QUALITY, "Arrival, UTC")


def _by_time(field: str, title: str, number: str, colours: dict[str, str], below: str) -> Spec:
    kinds = list(colours)
    return {
        "height": 330,
        "mark": {"type": "rect", "tooltip": True},
        "encoding": {
            "x": {
                "field": "start",
                "type": "temporal",
                "scale": {"type": "utc"},
                "title": below,
                "axis": {"format": "%H:%M", "tickCount": 8, "grid": False, "labelOverlap": True},
            },
            "x2": {"field": "end"},
            # Stacked where the rows are made, since bars that begin and end somewhere are not stacked here.
            "y": {"field": "low", "type": "quantitative", "title": title, "axis": {"format": "~s", "tickCount": 5}},
            "y2": {"field": "high"},
            "color": {
                "field": "kind",
                "type": "nominal",
                "scale": {"domain": kinds, "range": list(colours.values())},
                # Side by side there would be no room for more than three on a phone.
                "legend": {"orient": "top", "title": None, "columns": len(kinds) if len(kinds) < 4 else 2},
            },
            "tooltip": [
                {"field": "label", "title": "From (UTC)"},
                {"field": "kind", "title": "Kind"},
                {"field": field, "type": "quantitative", "title": title, "format": number},
            ],
        },
    }


def tickets() -> Spec:
    """Users by their average ticket."""
    return _distribution("from", "to", "users", "Average ticket of a user (currency unstated)", "Users", "~s", ",.2f")


def times_to_purchase() -> Spec:
    """Purchases by minutes after the cart."""
    return _distribution("minute", "end", "purchases", "Minutes from cart to purchase", "Purchases", "d", "d")


def _distribution(start: str, end: str, field: str, below: str, beside: str, axis: str, number: str) -> Spec:
    return {
        "height": 220,
        "mark": {"type": "bar", "tooltip": True, "color": PLAIN, "binSpacing": 1},
        "encoding": {
            "x": {
                "field": start,
                "bin": {"binned": True},
                "type": "quantitative",
                "title": below,
                "axis": {"format": axis, "grid": False},
            },
            "x2": {"field": end},
            "y": {"field": field, "type": "quantitative", "title": beside, "axis": {"format": "~s", "tickCount": 4}},
            "tooltip": [
                {"field": start, "type": "quantitative", "title": "From", "format": number},
                {"field": end, "type": "quantitative", "title": "Below", "format": number},
                {"field": field, "type": "quantitative", "title": beside, "format": ",d"},
            ],
        },
    }
