"""What the pages show, read in the background and shared by all of them.

A page never waits for a table that is slow to read: it gets what was read last, and asks for a newer state. A table is read
again when its pause is over, which is at least four times as long as its last reading took: one large table neither slows the
others down nor keeps the store busy. Nothing is read while nobody looks. Memory: one state of each table.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from headrace._commerce import tables
from headrace._commerce.tables import Counters

__all__ = ["CORRECTED", "Live", "Pending"]

THREADS = 3
FIRST_WAIT_SECONDS = 4.0
"""How long a page waits for the very first state of a table."""
PAUSE_FACTOR = 4
"""A table is left alone for so many times as long as its last reading took."""
CORRECTED = timedelta(minutes=10)
"""Rows of minutes that are older change seldom; they are read again every `WHOLE_SECONDS`."""
WHOLE_SECONDS = 20.0

Read = Callable[..., Any]


class Pending(Exception):
    """Nothing has been read yet; the reading goes on."""


class _Entry:
    """One table or number, as it was read last."""

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.reading: Future[None] | None = None
        self.next_at = 0.0
        self.since: datetime | None = None
        self.asked: datetime | None = None
        self.is_wanted_whole = True
        self.whole_at = 0.0


class Live:
    """The tables of one store."""

    def __init__(self, store: str, read: Read = tables.read_table, count: Callable[[str], Counters] = tables.counters) -> None:
        self.store = store
        self._read, self._count = read, count
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, "headrace-dashboard")

    def counters(self) -> Counters:
        """What became of all events, and when the stream committed last."""
        found: Counters = self._state("counters", lambda _: self._count(self.store), 0.5)
        return found

    def problem(self) -> BaseException | None:
        """Why what is shown may be old: the error of a last reading; none when all is well."""
        with self._lock:
            return next((entry.error for entry in self._entries.values() if entry.error is not None), None)

    def again(self, *names: str) -> None:
        """Reads everything again when it is asked for next, and waits for these: something has changed."""
        with self._lock:
            for entry in self._entries.values():
                entry.next_at = 0.0
            # A reading that is under way began before the change: it fills an entry that nobody looks at any more.
            self._entries.update({name: _Entry() for name in names if name in self._entries})

    def whole(self, name: str, every: float = 2.0, **choice: Any) -> pl.DataFrame:
        """A table without times, or its newest rows."""
        found: pl.DataFrame = self._state(name, lambda _: pl.DataFrame(self._read(self.store, name, **choice)), every)
        return found

    def since(self, name: str, time_column: str, since: datetime, *, key: bool, every: float = 0.8, **choice: Any) -> pl.DataFrame:
        """The rows of a table from a time on; where the time leads the key, only its newest minutes are read every time."""
        with self._lock:
            entry = self._entries.setdefault(name, _Entry())
            entry.asked = since if entry.asked is None else min(entry.asked, since)
            if entry.since is None or since < entry.since:
                # Somebody looks further back than anybody before.
                entry.since, entry.is_wanted_whole, entry.next_at = since, True, 0.0

        def load(entry: _Entry) -> pl.DataFrame:
            began = time.monotonic()
            if key and entry.value is not None and entry.value.height and began < entry.whole_at and not entry.is_wanted_whole:
                kept: pl.DataFrame = entry.value
                cut = kept.select(pl.col(time_column).max()).item() - CORRECTED
                fresh = pl.DataFrame(self._read(self.store, name, cut, **choice))
                return kept.filter(pl.col(time_column) < cut).vstack(fresh)
            with self._lock:
                # No further back than anybody has looked since the last whole reading.
                entry.since, entry.asked, entry.is_wanted_whole = entry.asked or entry.since, None, False
                start, entry.whole_at = entry.since, 0.0
            read = pl.DataFrame(self._read(self.store, name, start, **choice))
            ended = time.monotonic()
            entry.whole_at = ended + max(WHOLE_SECONDS, 5 * PAUSE_FACTOR * (ended - began))
            return read

        found: pl.DataFrame = self._state(name, load, every)
        return found.filter(pl.col(time_column) >= since)

    def _state(self, name: str, load: Callable[[_Entry], Any], every: float) -> Any:
        with self._lock:
            entry = self._entries.setdefault(name, _Entry())
            if entry.reading is None and time.monotonic() >= entry.next_at:
                entry.reading = self._threads.submit(self._reload, entry, load, every)
            reading = entry.reading if entry.value is None else None
        if reading is not None:
            try:
                reading.result(FIRST_WAIT_SECONDS)
            except TooSlow:
                raise Pending(name) from None
        value, error = entry.value, entry.error
        if value is None and error is not None:
            raise error
        return value

    def _reload(self, entry: _Entry, load: Callable[[_Entry], Any], every: float) -> None:
        began = time.monotonic()
        try:
            entry.value, entry.error = load(entry), None
        except Exception as error:  # whatever it is, the page that asks next is told
            entry.error = error
        ended = time.monotonic()
        with self._lock:
            # Somebody may have asked for more meanwhile; a table without times never waits for that.
            entry.next_at = 0.0 if entry.since and entry.is_wanted_whole else ended + max(every, PAUSE_FACTOR * (ended - began))
            entry.reading = None
