"""The compiled half, private to this package except for :class:`ArrowTable`."""

from collections.abc import Callable
from typing import final

from headrace._run import Numbers
from headrace.control import CancellationToken
from headrace.transforms import ArrowStream

version: str

@final
class ArrowTable:
    """A table that pandas, Polars, PyArrow and anything else that knows ``__arrow_c_stream__`` can read, many times."""

    @property
    def column_names(self) -> list[str]: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __len__(self) -> int: ...

def describe() -> str: ...
def recruitment_hourly(frame: ArrowStream) -> ArrowTable: ...
def recruitment_hourly_part(frame: ArrowStream) -> ArrowTable: ...
def recruitment_hourly_whole(parts: ArrowStream) -> ArrowTable: ...
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
