"""How far a stream step is behind its topic, asked from sensors and triggers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.airflow.connections import store_url
from headrace.airflow.execution import MOST_POSITIONS
from headrace.airflow.secrets import has_password
from headrace.control import CancellationToken

if TYPE_CHECKING:
    from headrace.report import Report


@dataclass(frozen=True)
class Lag:
    """Messages that are not committed yet."""

    behind: int
    """How many, in all partitions."""
    ends: Mapping[str, int]
    """The high watermark of each partition: the offset of its next message."""
    positions: Mapping[str, int]
    """Where each partition is read on: its committed position, or its first message before the first commit."""
    last_commit: str | None = None
    """When something was committed last, in UTC."""

    @classmethod
    def of(cls, report: Report) -> Lag:
        """Takes it from the report of a step named ``lag``."""
        partitions = report.facts["partitions"]
        ends = {each["partition"]: each["high_watermark"] for each in partitions}
        positions = {each["partition"]: each["high_watermark"] - each["messages_behind"] for each in partitions}
        return cls(report.facts["messages behind"], ends, positions, report.facts["last commit"])

    def values(self) -> dict[str, Any]:
        """Plain values for XComs and events; without the partitions when there are very many."""
        values: dict[str, Any] = {"behind": self.behind, "last_commit": self.last_commit}
        if len(self.ends) <= MOST_POSITIONS:
            values |= {"high_watermarks": dict(self.ends), "positions": dict(self.positions)}
        return values

    def __str__(self) -> str:
        return f"{self.behind:,} messages behind, last commit {self.last_commit or 'none'}"


def look(from_: str, to: str, system: str = "recruitment", token: CancellationToken | None = None) -> Lag:
    """Asks now. ``from_`` is the log, ``to`` the result; both are URLs or ``conn:ID/PATH``."""
    from headrace import _run

    values = {"from": store_url(from_), "to": store_url(to)}
    return Lag.of(_run.run(system, "lag", values, ["from", "to"], token, None))


async def look_aside(from_: str, to: str, system: str = "recruitment") -> Lag:
    """Asks in a thread, so that the event loop goes on meanwhile. When the caller is cancelled, the question is given up as well."""
    token = CancellationToken()
    try:
        return await asyncio.to_thread(look, from_, to, system, token)
    finally:
        token.cancel()


def without_password(reference: str) -> str:
    """A reference to a store that may be kept in Airflow's database.

    Raises:
        ValueError: It has a password in it.
    """
    if has_password(reference):
        raise ValueError("a store's URL has a password in it, which a trigger must not keep: use a connection, conn:ID/PATH")
    return reference
