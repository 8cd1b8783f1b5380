"""How a running step is stopped and watched."""

from __future__ import annotations

from dataclasses import dataclass


class CancellationToken:
    """Stops a step from a signal handler or another thread: ``step(..., token=token)``, then ``token.cancel()``.

    The step ends at its next batch boundary, within four seconds, and raises :class:`headrace.Stopped`.
    """

    __slots__ = ("_cancelled",)

    def __init__(self) -> None:
        self._cancelled = False

    def cancel(self) -> None:
        """Asks every step that has this token to stop. Takes no lock, so signal handlers may call it."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether a stop was asked for."""
        return self._cancelled

    def __repr__(self) -> str:
        return f"CancellationToken(cancelled={self._cancelled})"


@dataclass(frozen=True)
class Progress:
    """How far a step is; given to ``on_progress`` once a second, in the calling thread."""

    rows: int
    """Rows read and committed."""
    dead_lettered: int
    """Rows refused and kept as dead letters."""
    rows_per_second: float
    """Rows per second, in the last seconds."""
    remaining: int | None
    """What is left, in rows or bytes, when known."""
    remaining_is_bytes: bool
    """Whether ``remaining`` counts bytes."""
    seconds_left: float | None
    """Time left at the present rate, when known."""
    text: str
    """All of it as a sentence."""

    def __str__(self) -> str:
        return self.text
