"""The report of a step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal


@dataclass(frozen=True)
class Table:
    """Rows of text under headings."""

    title: str
    """What the rows are."""
    columns: tuple[str, ...]
    """The headings."""
    rows: tuple[tuple[str, ...], ...]
    """The rows, each as long as the headings."""


@dataclass(frozen=True)
class Report:
    """What a step did. ``read = written + duplicate + dead_lettered + ignored`` for every step that moves rows."""

    step: str
    """The step, such as ``recruitment load``."""
    outcome: Literal["complete", "stopped", "different"]
    """``complete``; ``stopped`` when it was asked to; ``different`` when a comparison found differences."""
    read: int
    """Rows read from the source."""
    written: int
    """Rows stored, sent or counted into a result."""
    duplicate: int
    """Rows that had been there before."""
    dead_lettered: int
    """Rows refused and kept as dead letters."""
    ignored: int
    """Rows that a rule leaves out."""
    bytes: int
    """Bytes read."""
    classes: Mapping[str, int]
    """The same rows by class, such as ``dead_letter:bad_number``."""
    seconds: float
    """How long it took."""
    rows_per_second: float
    """Rows read per second."""
    positions: Mapping[str, int]
    """Where each partition stands."""
    facts: Mapping[str, Any]
    """Named facts beside the counts: files written, rows by table, differences found."""
    notes: tuple[str, ...]
    """Sentences for the reader."""
    begun: Mapping[str, int | None] = field(default_factory=dict)
    """Where each partition stood before; none for one that had never been committed."""
    table: Table | None = None
    """Rows to show: the top of a result, a list of dead letters."""

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Makes a report of what ``headrace --json`` prints."""
        values = json.loads(text)
        values["notes"] = tuple(values["notes"])
        if table := values.get("table"):
            rows = tuple(tuple(row) for row in table["rows"])
            values["table"] = Table(table["title"], tuple(table["columns"]), rows)
        names = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, as they go into JSON or an XCom; without the table."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "table"}
        return values | {"notes": list(self.notes)}

    def __str__(self) -> str:
        counts = f"{self.read:,} read, {self.written:,} written, {self.duplicate:,} duplicate, "
        counts += f"{self.dead_lettered:,} dead-lettered, {self.ignored:,} ignored"
        return f"{self.step} {self.outcome}: {counts}, in {self.seconds:.1f} s"
