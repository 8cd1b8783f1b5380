"""Runs a step as an Airflow task does: progress told, errors sorted, the report as a small XCom."""

from __future__ import annotations

import logging
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from headrace.airflow.connections import store_url
from headrace.control import CancellationToken, Progress
from headrace.errors import ConfigError, DataError, Stopped

if TYPE_CHECKING:
    from headrace.report import Report

TELL_SECONDS = 10.0
"""How often progress goes into the task state store; the task log has it as often."""
MOST_POSITIONS = 64
"""More positions than these stay out of the XCom."""

_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "none": False, "": False}
_STORE = re.compile(r"conn:|embedded:|[a-z]+://")
_LOG = logging.getLogger("headrace.airflow")


def run(step: Callable[..., Report], /, *arguments: Any, **values: Any) -> dict[str, Any]:
    """Runs a step inside a ``@task`` function, and gives its report as the XCom.

    Values such as ``conn:ID/PATH`` become store URLs. Mark-failed and clear stop the step with its position committed, wrong set-up and
    unusable data fail the task at once, and a difference found by ``verify`` fails it too::

        @task
        def load(file: str) -> dict:
            from headrace import airflow, recruitment

            return airflow.run(recruitment.load, file, to="conn:cassandra_default/kafka_stream/tracking")
    """
    from airflow.sdk import get_current_context

    token = CancellationToken()
    context = get_current_context()
    stores = {key: value for key, value in values.items() if is_store(value)}
    urls = {key: store_url(value) for key, value in stores.items()}

    def call(on_progress: Callable[[Progress], None]) -> Report:
        return step(*arguments, **(values | urls), token=token, on_progress=on_progress)

    with _terminated(token):
        report = outcome(call, context)
    tell_outlets(context, getattr(context.get("task"), "outlets", ()), report, stores)
    return report


def is_store(value: object) -> bool:
    """Whether a text names a store or a connection."""
    return isinstance(value, str) and _STORE.match(value) is not None


def outcome(call: Callable[[Callable[[Progress], None]], Report], context: Mapping[str, Any]) -> dict[str, Any]:
    """The XCom of a step that ``call`` runs with a listener for its progress; raises what Airflow acts on rightly.

    Errors from outside (:class:`headrace.ExternalError`) pass, so that Airflow tries again.
    """
    from airflow.sdk.exceptions import AirflowFailException

    teller = Teller(context.get("task_state_store"))
    with sorted_errors():
        report = call(teller.tell)
    values = summary(report)
    teller.end(report)
    _LOG.info("%s", report)
    for note in report.notes:
        _LOG.info("%s", note)
    if report.outcome == "different":
        facts = ", ".join(f"{name} = {value}" for name, value in report.facts.items())
        raise AirflowFailException(f"{report.step} found differences: {' '.join(report.notes)} {facts}")
    return values


def tell_outlets(context: Mapping[str, Any], outlets: Iterable[Any], report: Mapping[str, Any], stores: Mapping[str, Any]) -> None:
    """Gives the events of the task's assets, which come after the commit, the range that was committed and where it is."""
    counts = {key: report[key] for key in ("step", "read", "written", "dead_lettered", "positions")}
    moved = {name: [report["begun"].get(name), at] for name, at in report["positions"].items()}
    committed = {name: ends for name, ends in moved.items() if ends[0] != ends[1]}
    # Assets are seen by many: a URL's login stays out.
    public = {key: str(value) for key, value in stores.items() if "@" not in str(value)}
    for outlet in outlets:
        context["outlet_events"][outlet].extra.update(counts | {"range": committed, "stores": public})


@contextmanager
def sorted_errors() -> Iterator[None]:
    """Errors of the set-up and of the data fail the task at once, a stop is retried, errors from outside pass as they are.

    The text says everything, so that the log shows one traceback instead of two.
    """
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    try:
        yield
    except (ConfigError, DataError) as error:
        raise AirflowFailException(str(error)) from None
    except Stopped as stopped:
        raise AirflowException(str(stopped)) from None


def flag(name: str, value: bool | str) -> bool:
    """A truth value that a template may have written as a word."""
    from airflow.sdk.exceptions import AirflowFailException

    if isinstance(value, bool):
        return value
    try:
        return _WORDS[value.strip().lower()]
    except KeyError:
        raise AirflowFailException(f"{name} is true or false, not {value!r}") from None


def summary(report: Report) -> dict[str, Any]:
    """The report as plain values, without its table, and without positions and lists when they are very long."""
    values = report.to_dict()
    for name in ("positions", "begun"):
        values[name] = dict(values[name]) if len(values[name]) <= MOST_POSITIONS else {}
    is_short = {name: not isinstance(fact, list) or len(fact) <= MOST_POSITIONS for name, fact in values["facts"].items()}
    values["facts"] = {name: fact for name, fact in values["facts"].items() if is_short[name]}
    return values


class Teller:
    """Writes progress into the task state store of Airflow 3.3 and newer; does nothing where there is none."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._told = time.monotonic() - TELL_SECONDS

    def tell(self, progress: Progress) -> None:
        """Writes it, when the last time is long enough ago."""
        if self._store is None or time.monotonic() - self._told < TELL_SECONDS:
            return
        self._told = time.monotonic()
        values = {
            "rows": progress.rows,
            "rejected": progress.dead_lettered,
            "rows_per_second": round(progress.rows_per_second, 1),
            "text": progress.text,
        }
        if progress.remaining is not None:
            values["bytes_left" if progress.remaining_is_bytes else "rows_left"] = progress.remaining
        if progress.seconds_left is not None:
            values["seconds_left"] = round(progress.seconds_left)
        self._write(values)

    def end(self, report: Report) -> None:
        """Writes what the report says, so that nothing old is left standing."""
        values = {"rows": report.read, "rejected": report.dead_lettered, "rows_per_second": round(report.rows_per_second, 1)}
        self._write(values | {"text": str(report)})

    def _write(self, values: dict[str, Any]) -> None:
        if self._store is None:
            return
        try:
            self._store.set("progress", values)
        except Exception as error:
            # To show progress is not worth a failed step.
            _LOG.warning("progress is no longer written to the task state store: %s", error)
            self._store = None


@contextmanager
def _terminated(token: CancellationToken) -> Iterator[None]:
    """Makes SIGTERM cancel the token; Airflow's own handler would only reach an operator's ``on_kill``."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: token.cancel())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
