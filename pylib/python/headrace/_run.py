"""Runs a step: values to JSON, logs to ``logging``, SIGTERM to a stop with the position committed."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import TypeAlias

from headrace.control import CancellationToken, Progress
from headrace.errors import Stopped
from headrace.report import Report

StoreUrl: TypeAlias = "str | os.PathLike[str]"
"""A store's URL; a path means the embedded store in that directory."""
File: TypeAlias = "str | os.PathLike[str]"
"""A file or directory."""
Duration: TypeAlias = "str | float | timedelta"
"""A length of time: ``"500ms"``, ``"5s"``, ``"2m"``, a number of seconds, or a timedelta."""
Date: TypeAlias = "str | date"
"""A day, or with a datetime an hour, in UTC; as text ``YYYY-MM-DD`` or ``YYYY-MM-DD HH``."""
OnProgress: TypeAlias = "Callable[[Progress], None]"
"""Called once a second in the calling thread; an exception of it stops the step."""

Numbers: TypeAlias = "tuple[int, int, float, int | None, bool, float | None]"
"""The fields of :class:`headrace.Progress` but the text."""

_LOG = logging.getLogger("headrace")
_LOG_LINE_SECONDS = 10.0


def run(
    system: str,
    name: str,
    values: Mapping[str, object],
    urls: Sequence[str],
    token: CancellationToken | None,
    on_progress: OnProgress | None,
) -> Report:
    """Runs a step with values by parameter name; ``urls`` names those that are store URLs."""
    from headrace import _native

    words = {key: word(value, key in urls) for key, value in values.items() if value is not None}
    token = token or CancellationToken()
    with _terminable(token):
        text = _native.run_step(
            system,
            name,
            json.dumps(words),
            token=token,
            log=_log,
            log_level=max(0, min(255, _LOG.getEffectiveLevel())),
            progress=_progress(f"{system} {name}", on_progress),
        )
        report = Report.from_json(text)
        if report.outcome == "stopped":
            raise Stopped(f"{report.step} was stopped; its position is committed, run it again to go on", report)
    return report


def word(value: object, is_url: bool) -> object:
    """A value as the step's parser takes it; a path that stands for a store becomes its URL."""
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
        if not is_url:
            return path
        from urllib.parse import quote

        return f"embedded:{quote(path)}"
    if isinstance(value, timedelta):
        return f"{value.total_seconds()}s"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [word(part, is_url) for part in value]
    return value


def _log(level: int, target: str, text: str) -> None:
    _LOG.log(level, "%s", text, extra={"rust_target": target})


def _progress(step: str, on_progress: OnProgress | None) -> Callable[[Numbers, str], None]:
    told = time.monotonic()

    def tell(numbers: Numbers, text: str) -> None:
        nonlocal told
        if time.monotonic() - told >= _LOG_LINE_SECONDS:
            told = time.monotonic()
            _LOG.info("%s: %s", step, text)
        if on_progress is not None:
            on_progress(Progress(*numbers, text))

    return tell


@contextmanager
def _terminable(token: CancellationToken) -> Iterator[None]:
    """Makes SIGTERM stop the step, then exit with 143, where nobody else handles it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    came = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal came
        came = True
        token.cancel()

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if came:
            raise SystemExit(128 + signal.SIGTERM)
