"""What a step may raise. Which class it is says what helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.report import Report


class HeadraceError(Exception):
    """A step could not go on."""


class ConfigError(HeadraceError):
    """The set-up is wrong (URL, password, table, option): mend it, trying again does not help."""


class DataError(HeadraceError):
    """The input cannot be used at all: mend it, trying again does not help."""


class ExternalError(HeadraceError):
    """A server, network or disk did not do its part, or another run has taken over: try again."""


class Stopped(HeadraceError):
    """The step was stopped; its position is committed and the same call goes on from there."""

    report: Report | None
    """What was done before the stop; none when the step did not end in time."""

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message, report)
        self.report = report

    def __str__(self) -> str:
        return str(self.args[0])
