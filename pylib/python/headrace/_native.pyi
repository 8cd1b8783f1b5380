"""The compiled half, private to this package except for :class:`ArrowTable`."""

from collections.abc import Callable
from typing import TypeAlias, final

from headrace._run import Numbers
from headrace.control import CancellationToken
from headrace.transforms import ArrowStream

version: str

_Windowing: TypeAlias = "tuple[str, list[str], list[tuple[str, str | None, str]], int | None, str | None]"
"""The time, the keys, the aggregations (name, column, function), the delay in microseconds, the partition."""

@final
class ArrowTable:
    """A table that pandas, Polars, PyArrow and anything else that knows ``__arrow_c_stream__`` can read, many times."""

    @property
    def column_names(self) -> list[str]: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __len__(self) -> int: ...

def commerce_counters(store: str) -> str: ...
def commerce_table(
    store: str, name: str, *, since_us: int | None, columns: list[str] | None, newest: int | None
) -> ArrowTable: ...
def describe() -> str: ...
def recruitment_hourly(frame: ArrowStream) -> ArrowTable: ...
def recruitment_hourly_part(frame: ArrowStream) -> ArrowTable: ...
def recruitment_hourly_whole(parts: ArrowStream) -> ArrowTable: ...
def tumbling_window(frame: ArrowStream, size_us: int, offset_us: int, of: _Windowing) -> ArrowTable: ...
def sliding_window(frame: ArrowStream, size_us: int, slide_us: int, of: _Windowing) -> ArrowTable: ...
def session_window(frame: ArrowStream, gap_us: int, of: _Windowing) -> ArrowTable: ...
def interval_join(
    left: ArrowStream,
    right: ArrowStream,
    bounds_us: tuple[int, int],
    keys: list[str],
    times: tuple[str, str],
    suffix: str,
) -> ArrowTable: ...
def attribute(
    left: ArrowStream,
    right: ArrowStream,
    bounds_us: tuple[int, int],
    keys: list[str],
    times: tuple[str, str],
    suffix: str,
    ids: tuple[str | None, str | None],
) -> ArrowTable: ...
def deduplicate(frame: ArrowStream, id: str, content: list[str] | None) -> tuple[ArrowTable, ArrowTable, ArrowTable]: ...
def run_step(
    system: str,
    name: str,
    values: str,
    *,
    token: CancellationToken | None,
    log: Callable[[int, str, str], None] | None,
    log_level: int,
    progress: Callable[[Numbers, str], None] | None,
) -> str: ...
