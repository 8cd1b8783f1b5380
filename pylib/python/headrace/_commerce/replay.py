"""Another try for dead letters that a visitor asks for: one at a time for all visitors, in a thread of its own.

A letter counts at most once, whatever becomes of this process: see the step `dead-letters replay`.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from headrace.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.report import Report

__all__ = ["Fix", "Outcome", "Replays", "archive_of"]

_LOG = logging.getLogger("headrace.dashboard")
_CLASS = "dead_letter:"


@dataclass(frozen=True)
class Fix:
    """A letter, and the text to replay in the place of its own."""

    source: str
    position: str
    raw: str


@dataclass(frozen=True)
class Outcome:
    """What became of the letters that were replayed."""

    ended: datetime
    read: int = 0
    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Why letters were refused again."""
    error: BaseException | None = None


Step = Callable[..., "Report"]


def _step() -> Step:
    from headrace import commerce

    return commerce.dead_letters_replay


def archive_of(store: str) -> str | None:
    """The archive that the demo and the defaults keep inside an embedded store's directory; none where there is no such folder."""
    scheme, _, rest = store.partition("?")[0].partition(":")
    folder = Path(unquote(rest.removeprefix("//"))) / "ecommerce"
    return f"file:{quote(str(folder))}" if scheme == "embedded" and folder.is_dir() else None


class Replays:
    """The replays of one store."""

    def __init__(self, store: str, archive: str, done: Callable[[], None], step: Callable[[], Step] = _step) -> None:
        self._store, self._archive, self._done, self._step = store, archive, done, step
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ended.set()
        self._last: Outcome | None = None

    @property
    def is_running(self) -> bool:
        """Whether a replay is on its way, whoever has asked for it."""
        return not self._ended.is_set()

    def wait(self, seconds: float) -> None:
        """Waits until it has ended, but no longer than that."""
        self._ended.wait(seconds)

    @property
    def last(self) -> Outcome | None:
        """How the last one ended."""
        return self._last

    def start(self, reason: str | None = None, fix: Fix | None = None) -> bool:
        """Starts a replay of all letters, of those with a reason, or of a corrected one; not while there is another."""
        with self._lock:
            if self.is_running:
                return False
            self._ended.clear()
        # The process does not wait for it: what is not committed then was not done.
        threading.Thread(target=self._run, args=(reason, fix), name="headrace-replay", daemon=True).start()
        return True

    def _run(self, reason: str | None, fix: Fix | None) -> None:
        try:
            report = self._replayed(reason, fix)
            reasons = {name.removeprefix(_CLASS): count for name, count in report.classes.items() if name.startswith(_CLASS)}
            ended = Outcome(_now(), report.read, report.written, report.duplicate, report.dead_lettered, reasons)
        except HeadraceError as error:
            ended = Outcome(_now(), error=error)
        except BaseException as error:  # the page tells it; a thread that dies would leave it waiting
            _LOG.exception("replay of dead letters")
            ended = Outcome(_now(), error=error)
        self._done()
        self._last = ended
        self._ended.set()

    def _replayed(self, reason: str | None, fix: Fix | None) -> Report:
        step = self._step()
        if fix is None:
            return step(store=self._store, archive=self._archive, reason=reason)
        # Only this user can read it.
        number, name = tempfile.mkstemp(prefix="headrace-letter-", suffix=".jsonl")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                json.dump({"source": fix.source, "position": fix.position, "raw": fix.raw}, file)
            return step(store=self._store, archive=self._archive, fixed=name)
        finally:
            Path(name).unlink()


def _now() -> datetime:
    return datetime.now(timezone.utc)
