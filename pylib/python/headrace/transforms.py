"""Pure transforms for data frames: Arrow in, Arrow out, nothing read and nothing stored.

They take any table with ``__arrow_c_stream__`` (pandas 2.2 or newer, Polars, PyArrow and more) and return an
:class:`ArrowTable`, which all of them read: ``polars.DataFrame(table)``, ``pyarrow.table(table)``,
``pyarrow.table(table).to_pandas()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from headrace._native import ArrowTable

__all__ = ["ArrowStream", "recruitment_hourly"]


class ArrowStream(Protocol):
    """A table that can be read through Arrow's C stream interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Gives a capsule named ``arrow_array_stream``."""


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
