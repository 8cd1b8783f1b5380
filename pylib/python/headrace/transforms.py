"""Pure transforms for data frames: Arrow in, Arrow out, nothing read and nothing stored.

They take any table with ``__arrow_c_stream__`` (pandas 2.2 or newer, Polars, PyArrow and more) and return an
:class:`ArrowTable`, which all of them read: ``polars.DataFrame(table)``, ``pyarrow.table(table)``,
``pyarrow.table(table).to_pandas()``.

For windows, joins and de-duplication the rows of a table are events in their order of arrival. Times are timestamps of any
unit, read to the microsecond, or integers in microseconds. Windows are aligned in UTC, in whatever zone times are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from headrace._native import ArrowTable

__all__ = [
    "Aggregate",
    "ArrowStream",
    "Deduplicated",
    "attribute",
    "deduplicate",
    "interval_join",
    "recruitment_hourly",
    "session_window",
    "sliding_window",
    "tumbling_window",
]

Aggregate: TypeAlias = "Mapping[str, str | tuple[str, str]]"
"""The columns to compute, by name: ``"count"`` counts rows, ``("price", "sum")`` sums a column up.

The functions are ``count`` (of values), ``sum``, ``min``, ``max`` and ``mean``. Nulls and NaN are no values.
Sums of integers are exact or an error; those of floats are taken in the order of the rows."""

_NONE = timedelta()
_COUNT: Aggregate = {"count": "count"}


class ArrowStream(Protocol):
    """A table that can be read through Arrow's C stream interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Gives a capsule named ``arrow_array_stream``."""


class Deduplicated(NamedTuple):
    """The rows of a table, each in one of three tables, in their order."""

    kept: ArrowTable
    """The first row of each id, and all rows without an id."""
    duplicates: ArrowTable
    """The later rows of an id that say the same as the first."""
    conflicts: ArrowTable
    """The later rows of an id that say something else than the first."""


def recruitment_hourly(frame: ArrowStream) -> ArrowTable:
    """Aggregates tracking events to the hourly table of clicks, spend and applications.

    Args:
        frame: One row for each event, with the columns ``event_id`` (text, a time UUID; the first row of an id counts, later ones
            are copies), ``ts`` (text ``YYYY-MM-DD HH:MM:SS`` in UTC, or null to take the event id's time), ``job_id``,
            ``campaign_id``, ``group_id``, ``publisher_id`` (integers or floats), ``custom_track`` (text) and ``bid`` (float).
            Other columns are not looked at.

    Returns:
        One row for each job, hour, publisher, campaign and group, in that order: ``job_id``, ``ts``, ``dates``, ``hours``,
        ``publisher_id``, ``campaign_id``, ``group_id``, ``bid_set``, ``clicks``, ``spend_hour``, ``conversion``,
        ``qualified_application``, ``disqualified_application``. A count that no event reached is null.

    Raises:
        headrace.DataError: A column is missing or of another type, or a row is not valid; the text names it.
    """
    from headrace import _native

    return _native.recruitment_hourly(frame)


def tumbling_window(
    frame: ArrowStream,
    time: str,
    size: timedelta,
    *,
    keys: str | Sequence[str] = (),
    aggregate: Aggregate = _COUNT,
    offset: timedelta = _NONE,
    delay: timedelta | None = None,
    partition: str | None = None,
) -> ArrowTable:
    """Aggregates events by windows of one size that follow each other.

    With a ``delay`` there is a watermark: the largest time so far minus the delay. It is taken before every single row. A row
    whose window ended at or before it is late; it is not dropped, but counted in the ``late_`` columns.

    Args:
        frame: One row for each event, in order of arrival.
        time: The column of event times.
        size: The length of a window, ``[start, start + size)``.
        keys: The columns that windows are kept apart by; null is a key like others.
        aggregate: The columns to compute; without it, ``count``.
        offset: How far the windows are shifted from 1970-01-01T00:00:00Z.
        delay: How far the watermark stays behind; without it, nothing is late.
        partition: The column that says from which partition a row came; the slowest of them holds the watermark back.

    Returns:
        One row for each window and key that has an event, by ``window_start`` and keys: ``window_start``, ``window_end``, the
        keys, the columns to compute and, with a delay, the same of the late rows with ``late_`` before their names, and
        ``final``: the window is closed behind the last row.

    Raises:
        headrace.ConfigError: The size is not positive, there is no such function, or a name would be used twice.
        headrace.DataError: A column is missing or of another type, a row has no time, or a sum does not fit into 64 bits.
    """
    from headrace import _native

    return _native.tumbling_window(frame, _micros(size), _micros(offset), _of(time, keys, aggregate, delay, partition))


def sliding_window(
    frame: ArrowStream,
    time: str,
    size: timedelta,
    slide: timedelta,
    *,
    keys: str | Sequence[str] = (),
    aggregate: Aggregate = _COUNT,
    delay: timedelta | None = None,
    partition: str | None = None,
) -> ArrowTable:
    """Aggregates events by windows of one size, one every ``slide``; an event counts in each of its windows.

    Args:
        frame: One row for each event, in order of arrival.
        time: The column of event times.
        size: The length of a window, ``[start, start + size)``.
        slide: How far apart the starts of windows are; not more than the size, so that no event is left out.
        keys: The columns that windows are kept apart by; null is a key like others.
        aggregate: The columns to compute; without it, ``count``.
        delay: How far the watermark stays behind; without it, nothing is late.
        partition: The column that says from which partition a row came; the slowest of them holds the watermark back.

    Returns:
        As :func:`tumbling_window`. A row may be late for some of its windows and in time for others.

    Raises:
        headrace.ConfigError: The size or the slide makes no sense, there is no such function, or a name would be used twice.
        headrace.DataError: A column is missing or of another type, a row has no time, or a sum does not fit into 64 bits.
    """
    from headrace import _native

    return _native.sliding_window(frame, _micros(size), _micros(slide), _of(time, keys, aggregate, delay, partition))


def session_window(
    frame: ArrowStream,
    time: str,
    gap: timedelta,
    *,
    keys: str | Sequence[str] = (),
    aggregate: Aggregate = _COUNT,
    delay: timedelta | None = None,
    partition: str | None = None,
) -> ArrowTable:
    """Aggregates events by sessions: events of a key less than a gap apart belong together.

    A session's window ends one gap after its last event, and an event at exactly that time begins a new one. An event that
    comes late may join two sessions.

    Args:
        frame: One row for each event, in order of arrival.
        time: The column of event times.
        gap: The silence that ends a session.
        keys: The columns that sessions are kept apart by, such as the user; null is a key like others.
        aggregate: The columns to compute; without it, ``count``.
        delay: How far the watermark stays behind; without it, nothing is late.
        partition: The column that says from which partition a row came; the slowest of them holds the watermark back.

    Returns:
        As :func:`tumbling_window`. A row is late if the session that it had joined when it came was closed already.

    Raises:
        headrace.ConfigError: The gap is not positive, there is no such function, or a name would be used twice.
        headrace.DataError: A column is missing or of another type, a row has no time, or a sum does not fit into 64 bits.
    """
    from headrace import _native

    return _native.session_window(frame, _micros(gap), _of(time, keys, aggregate, delay, partition))


def interval_join(
    left: ArrowStream,
    right: ArrowStream,
    *,
    time: str | tuple[str, str],
    upper: timedelta,
    lower: timedelta = _NONE,
    keys: str | Sequence[str] = (),
    suffix: str = "_right",
) -> ArrowTable:
    """Pairs the rows of two tables with equal keys and ``left + lower <= right <= left + upper``, both ends included.

    Args:
        left: The earlier events, such as additions to the cart.
        right: The later events, such as purchases.
        time: The column of event times; two names if the tables call it differently.
        upper: How much later than the left the right may be.
        lower: How much later it must be; if negative, how much earlier it may be.
        keys: The columns, of the same names in both tables, whose values must be equal; a row without one matches nothing.
        suffix: What is added to the name of a column of the right table that the left one has too.

    Returns:
        One row for each pair: the columns of the left table, then those of the right one but the keys. The pairs are in the order
        of the right rows, and those of a right row by the time of the left.

    Raises:
        headrace.ConfigError: The lower bound is above the upper one, or a name would be used twice.
        headrace.DataError: A column is missing or of another type, or a row has no time.
    """
    from headrace import _native

    bounds = (_micros(lower), _micros(upper))
    return _native.interval_join(left, right, bounds, _names(keys), _both(time), suffix)


def attribute(
    left: ArrowStream,
    right: ArrowStream,
    *,
    time: str | tuple[str, str],
    upper: timedelta,
    lower: timedelta = _NONE,
    keys: str | Sequence[str] = (),
    id: str | tuple[str, str] | None = None,
    suffix: str = "_right",
) -> ArrowTable:
    """Gives each right row at most one of the left rows that match it, and each left row to at most one right row.

    Right rows take their turn by (time, id). Each takes the matching left row with the greatest (time, id) that none has taken. So
    the answer does not depend on the order of the rows, if ids are given.

    Args:
        left: The earlier events, such as additions to the cart.
        right: The later events, such as purchases.
        time: The column of event times; two names if the tables call it differently.
        upper: How much later than the left the right may be.
        lower: How much later it must be; if negative, how much earlier it may be.
        keys: The columns, of the same names in both tables, whose values must be equal; a row without one matches nothing.
        id: The column of ids, text or integers; without it, rows of the same time are in the order of the table.
        suffix: What is added to the name of a column of the right table that the left one has too.

    Returns:
        One row for each right row that has taken a left row; otherwise as :func:`interval_join`.

    Raises:
        headrace.ConfigError: The lower bound is above the upper one, or a name would be used twice.
        headrace.DataError: A column is missing or of another type, or a row has no time or no id.
    """
    from headrace import _native

    bounds = (_micros(lower), _micros(upper))
    ids = (None, None) if id is None else _both(id)
    return _native.attribute(left, right, bounds, _names(keys), _both(time), suffix, ids)


def deduplicate(frame: ArrowStream, id: str, *, content: str | Sequence[str] | None = None) -> Deduplicated:
    """Keeps the first row of each id, and tells copies from contradictions.

    Args:
        frame: One row for each event, in order of arrival.
        id: The column of ids; a row without one is never a copy.
        content: The columns that two rows of an id must agree in to say the same; without it, all columns.

    Returns:
        Three tables with the columns of the given one: first rows, copies, contradictions.

    Raises:
        headrace.DataError: A column is missing or its values cannot be compared.
    """
    from headrace import _native

    return Deduplicated(*_native.deduplicate(frame, id, None if content is None else _names(content)))


def _micros(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def _names(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _both(names: str | tuple[str, str]) -> tuple[str, str]:
    return (names, names) if isinstance(names, str) else names


def _of(
    time: str, keys: str | Sequence[str], aggregate: Aggregate, delay: timedelta | None, partition: str | None
) -> tuple[str, list[str], list[tuple[str, str | None, str]], int | None, str | None]:
    asked: list[tuple[str, str | None, str]] = []
    for name, of in aggregate.items():
        asked.append((name, None, of) if isinstance(of, str) else (name, *of))
    return time, _names(keys), asked, None if delay is None else _micros(delay), partition
