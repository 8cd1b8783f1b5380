"""The tables of commerce, read as they are committed: without a lock, beside any writer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, TypedDict

from headrace._run import StoreUrl, word

if TYPE_CHECKING:
    from headrace._native import ArrowTable

__all__ = ["Counters", "counters", "read_table"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


class Counters(TypedDict):
    """What became of all events of a stream; ``read = accepted + duplicate + dead_letter``."""

    read: int
    accepted: int
    duplicate: int
    dead_letter: int
    classes: dict[str, int]
    """Counts by class, such as ``misrouted``, ``late:sales`` or ``dead_letter:bad_json``."""
    committed_at: datetime | None
    """When the stream committed last, in UTC."""
    newest_minute: datetime | None
    """The latest minute of event time with an event, in UTC."""


def read_table(
    store: StoreUrl, name: str, since: datetime | None = None, *, columns: Sequence[str] | None = None, newest: int | None = None
) -> ArrowTable:
    """Reads a table of commerce as it is committed.

    Nothing is locked or claimed: no writer waits for this, and this waits for none. A table that no stream has made yet is empty.

    Args:
        store: The URL or directory of the store: ``embedded:DIRECTORY``, ``mysql://USER@HOST/DATABASE``. It is kept open.
        name: The table: ``sales_per_minute``, ``sales_by_product``, ``orders_avg_ticket``, ``views_by_category``,
            ``views_by_product``, ``conversion_pairs``, ``conversion_attributed``, ``funnel``, ``activity_per_minute``,
            ``late_events``, ``window_closings``, ``abandoned_carts``, ``demand_peaks``, ``quality_per_minute`` or
            ``commerce_dead_letters``.
        since: Only rows of this time or later, by the minute, purchase, cart, event or refusal that the row is about. UTC if it has no zone.
        columns: Only these columns.
        newest: Only so many rows, the newest first; in the order of the keys otherwise.

    Returns:
        A table for ``polars.DataFrame(table)`` or ``pyarrow.table(table)``; amounts are decimals with four digits, times are in UTC.

    Raises:
        headrace.ConfigError: There is no such store, table or column, or the table has no time to choose rows by.
        headrace.ExternalError: The store cannot be reached.
    """
    from headrace import _native

    since_us = None if since is None else _microseconds(since)
    return _native.commerce_table(_url(store), name, since_us=since_us, columns=list(columns) if columns else None, newest=newest)


def counters(store: StoreUrl) -> Counters:
    """Reads the counters of commerce's stream as they are committed.

    Args:
        store: The URL or directory of the store, as for :func:`read_table`.

    Returns:
        Counts of events by fate, the time of the last commit and the latest minute; zeros and none before the first event.

    Raises:
        headrace.ConfigError: There is no such store.
        headrace.ExternalError: The store cannot be reached.
    """
    from headrace import _native

    found = json.loads(_native.commerce_counters(_url(store)))
    counts = found["counts"]
    return Counters(
        read=counts["read"],
        accepted=counts["written"],
        duplicate=counts["duplicate"],
        dead_letter=counts["dead_lettered"],
        classes=counts["classes"],
        committed_at=_time(found["committed_at_us"]),
        newest_minute=_time(found["newest_minute_us"]),
    )


def _url(store: StoreUrl) -> str:
    return str(word(store, True))


def _microseconds(time: datetime) -> int:
    time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    return (time - _EPOCH) // _MICROSECOND


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
