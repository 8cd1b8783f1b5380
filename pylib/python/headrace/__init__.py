"""Batch and stream workers that a data team runs from Python, Airflow or a terminal.

Each system is a module of steps (``headrace.recruitment``); a step returns a :class:`Report` and raises a
:class:`HeadraceError`. ``headrace.transforms`` has the pure transforms for data frames. Importing this package starts
no thread and loads no compiled code; that happens with the first call.
"""

from headrace import recruitment, transforms
from headrace.control import CancellationToken, Progress
from headrace.errors import ConfigError, DataError, ExternalError, HeadraceError, Stopped
from headrace.report import Report, Table

__version__ = "0.1.0"

__all__ = [
    "CancellationToken",
    "ConfigError",
    "DataError",
    "ExternalError",
    "HeadraceError",
    "Progress",
    "Report",
    "Stopped",
    "Table",
    "recruitment",
    "transforms",
]
