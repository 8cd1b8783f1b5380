"""Triggers that watch how far a stream step is behind. They run in the triggerer, ask in a thread, and keep references, never passwords."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from headrace.airflow.lag import Lag, look_aside, without_password
from headrace.errors import ExternalError, HeadraceError


class LagTrigger(BaseTrigger):
    """Ends when more than ``above`` messages wait, or when none does.

    Args:
        from_: The log: a URL without password, or ``conn:ID/TOPIC``.
        to: The result that is kept from it: the same.
        above: The number of waiting messages that is still too few.
        drained: Wait until no message waits, instead.
        interval: Seconds between two looks.
        system: The system whose step ``lag`` is asked.
    """

    def __init__(
        self, from_: str, to: str, above: int = 0, drained: bool = False, interval: float = 60.0, system: str = "recruitment"
    ) -> None:
        super().__init__()
        self.from_, self.to = without_password(from_), without_password(to)
        self.above, self.drained, self.interval, self.system = above, drained, interval, system

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, as they are kept in the database."""
        names = ("from_", "to", "above", "drained", "interval", "system")
        return "headrace.airflow.triggers.LagTrigger", {name: getattr(self, name) for name in names}

    def is_reached(self, lag: Lag) -> bool:
        """Whether the wait is over."""
        return lag.behind == 0 if self.drained else lag.behind > self.above

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks until it is reached; gives the lag, or the error of a look that failed."""
        while True:
            try:
                lag = await look_aside(self.from_, self.to, self.system)
            except (HeadraceError, AirflowFailException) as error:
                yield TriggerEvent({"error": str(error), "is_final": not isinstance(error, ExternalError)})
                return
            self.log.info("%s", lag)
            if self.is_reached(lag):
                yield TriggerEvent(lag.values())
                return
            await asyncio.sleep(self.interval)


class DoorbellTrigger(BaseEventTrigger):
    """Rings when messages have come that are not cleaned yet: for an ``AssetWatcher`` whose asset schedules a DAG.

    It only wakes the DAG: the run takes the topic's end after its start and drains to it. It rings once for what it has seen, and
    again when that was committed and more has come. When nothing at all is committed after a ring, because the run failed or its
    event was lost, it rings once more after ``again`` seconds. A server that does not answer is asked again at the next look.

    Args:
        from_: The log: a URL without password, or ``conn:ID/TOPIC``.
        to: The result that is kept from it: the same.
        at_least: Ring only for so many messages.
        interval: Seconds between two looks.
        again: Seconds without any commit after which it rings once more.
        system: The system whose step ``lag`` is asked.
    """

    def __init__(
        self,
        from_: str,
        to: str,
        at_least: int = 1,
        interval: float = 30.0,
        again: float = 600.0,
        system: str = "recruitment",
    ) -> None:
        super().__init__()
        self.from_, self.to = without_password(from_), without_password(to)
        self.at_least, self.interval, self.again, self.system = at_least, interval, again, system
        self._rung: Lag | None = None
        self._moved: tuple[dict[str, int], float] = ({}, 0.0)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, as they are kept in the database."""
        names = ("from_", "to", "at_least", "interval", "again", "system")
        return "headrace.airflow.triggers.DoorbellTrigger", {name: getattr(self, name) for name in names}

    def hears(self, lag: Lag, now: float) -> bool:
        """Whether to ring, at a time in seconds."""
        if self._rung is None or dict(lag.positions) != self._moved[0]:
            self._moved = (dict(lag.positions), now)
        is_answered = self._rung is None or all(lag.positions.get(name, 0) >= end for name, end in self._rung.ends.items())
        is_forgotten = now - self._moved[1] >= self.again
        if lag.behind < max(1, self.at_least) or not (is_answered or is_forgotten):
            return False
        self._rung, self._moved = lag, (dict(lag.positions), now)
        return True

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks for ever; gives an event for each ring."""
        while True:
            try:
                lag = await look_aside(self.from_, self.to, self.system)
            except Exception as error:
                # A watcher that ends is started again at once: better to wait here for the server, or for a mended connection.
                self.log.warning("cannot look for messages, trying again in %.0f s: %s", self.interval, error)
            else:
                if self.hears(lag, time.monotonic()):
                    self.log.info("%s: ringing", lag)
                    yield TriggerEvent(lag.values())
            await asyncio.sleep(self.interval)
