"""An order as both Python peers read it: the same checks by the same means, so that what differs is the framework."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import orjson


def read(value: bytes | None) -> tuple[datetime, int] | None:
    """When an order happened, and its price in cents; none of what is no order."""
    try:
        order: dict[str, Any] = orjson.loads(value or b"")
        if order["event_type"] != "purchase" or not order["user_id"] or not order["product_id"]:
            return None
        return datetime.fromisoformat(order["timestamp"]).replace(tzinfo=timezone.utc), round(order["price"] * 100)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
