"""The steps of commerce. Written by pylib/generate.py from the steps themselves; do not edit."""

from __future__ import annotations

from typing import Literal

from headrace._commerce.tables import counters, read_table
from headrace._run import Date, Duration, File, OnProgress, StoreUrl, run
from headrace.control import CancellationToken
from headrace.report import Report

__all__ = [
    "demo",
    "create",
    "simulate",
    "stream",
    "compact",
    "recompute",
    "export",
    "verify",
    "dead_letters_list",
    "dead_letters_show",
    "dead_letters_replay",
    "counters",
    "read_table",
]


def demo(
    *,
    dir: File = "headrace-commerce-demo",
    events: int = 20_000,
    seed: int = 1,
    live: float | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Run the whole job on the embedded store: simulate, stream, verify, and show the newest minutes.

    Args:
        dir: The directory for store and archive.
        events: Events to simulate, over the last forty minutes.
        seed: Seed of the simulation.
        live: Then go on with so many events per second until stopped, for the dashboard to show.
        token: Stops the step from elsewhere.
        on_progress: Called once a second with how far the step is.

    Returns:
        The report: counts of rows by fate, positions, facts.

    Raises:
        headrace.ConfigError: The set-up is wrong.
        headrace.DataError: The input cannot be used.
        headrace.ExternalError: Something outside failed; trying again can help.
        headrace.Stopped: It was stopped, with its position committed.
    """
    values = {
        "dir": dir,
        "events": events,
        "seed": seed,
        "live": live,
    }
    return run("commerce", "demo", values, [], token, on_progress)


def create(
    *,
    log: str = "embedded:headrace-data",
    partitions: int = 3,
    store: StoreUrl = "embedded:headrace-data",
    archive: str = "file:headrace-data/ecommerce",
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Create topics, tables and the archive's folder where they are missing.

    Args:
        log: The log of the events: kafka://HOST or embedded:DIRECTORY.
        partitions: Partitions of each topic of events, if it has to be created.
        store: Tables, state and positions: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
        archive: The archive: file:DIRECTORY, hdfs://HOST/PATH, s3://BUCKET/PREFIX, or `none`.
        token: Stops the step from elsewhere.
        on_progress: Called once a second with how far the step is.

    Returns:
        The report: counts of rows by fate, positions, facts.

    Raises:
        headrace.ConfigError: The set-up is wrong.
        headrace.DataError: The input cannot be used.
        headrace.ExternalError: Something outside failed; trying again can help.
        headrace.Stopped: It was stopped, with its position committed.
    """
    values = {
        "log": log,
        "partitions": partitions,
        "store": store,
        "archive": archive,
    }
    return run("commerce", "create", values, ["store"], token, on_progress)


def simulate(
    *,
    to: str = "embedded:headrace-data",
    events: int = 10_000,
    rate: float | None = None,
    duration: Duration | None = None,
    spread: Duration = "40m",
    start: Date | None = None,
    seed: int = 1,
    users: int = 100,
    products: int = 20,
    late: float = 0.03,
    duplicates: float = 0.02,
    malformed: float = 0.01,
    partitions: int = 3,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Send simulated shop events to topics or a file, with any share of late, repeated and broken ones.

    Args:
        to: The log, kafka://HOST or embedded:DIRECTORY; or file:PATH. A topic in the URL is put before the names
            of the three topics.
        events: Events to send; 0 goes on until stopped or until the duration is over.
        rate: Events per second, happening as they are sent; as fast as possible if not given.
        duration: End after a time.
        spread: Without a rate: the time over which the events are spread, up to now.
        start: Without a rate: when the first event happens, "YYYY-MM-DD HH:MM:SS"; so that the last one happens
            now if not given.
        seed: The same seed gives the same events.
        users: Users.
        products: Products.
        late: The share of events that come minutes late, 0 to 1.
        duplicates: The share of events that come twice.
        malformed: The share of broken events.
        partitions: Partitions of the topics, if they have to be created.
        token: Stops the step from elsewhere.
        on_progress: Called once a second with how far the step is.

    Returns:
        The report: counts of rows by fate, positions, facts.

    Raises:
        headrace.ConfigError: The set-up is wrong.
        headrace.DataError: The input cannot be used.
        headrace.ExternalError: Something outside failed; trying again can help.
        headrace.Stopped: It was stopped, with its position committed.
    """
    values = {
        "to": to,
        "events": events,
        "rate": rate,
        "duration": duration,
        "spread": spread,
        "start": start,
        "seed": seed,
        "users": users,
        "products": products,
        "late": late,
        "duplicates": duplicates,
        "malformed": malformed,
        "partitions": partitions,
    }
    return run("commerce", "simulate", values, [], token, on_progress)


def stream(
    *,
    from_: str = "embedded:headrace-data",
    store: StoreUrl = "embedded:headrace-data",
    archive: str = "file:headrace-data/ecommerce",
    keep: Literal["everything", "sales"] = "everything",
    follow: bool = False,
    interval: Duration = "500ms",
    archive_every: Duration = "5m",
    batch_rows: int | None = None,
    close_windows: bool = False,
    group: str = "headrace-commerce",
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Keep sales, tickets, views, funnel and archive of a stream of events, each counted once.

    Args:
        from_: The events: kafka://HOST, embedded:DIRECTORY, or file:PATH with recorded ones. A topic in the URL
            is put before the names of the three topics, with a point.
        store: Tables, state and positions: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
        archive: Raw events by day, as Parquet: file:DIRECTORY, hdfs://HOST/PATH, s3://BUCKET/PREFIX, or `none`.
        keep: What to keep. With `sales` the topic of orders alone is read, for far less work; a store's stream
            keeps the same for all time.
        follow: Go on forever, instead of ending when the events found at the start are done.
        interval: Longest wait for a batch to fill, when following.
        archive_every: Longest wait of raw events for the archive, when following.
        batch_rows: Events per batch: the unit of commit; 20,000 when following and 50,000 otherwise if not given.
        close_windows: Close the minutes that are open when the events are done: nothing is on time for them any
            more.
        group: The group of workers that share the topics.
        token: Stops the step from elsewhere.
        on_progress: Called once a second with how far the step is.

    Returns:
        The report: counts of rows by fate, positions, facts.

    Raises:
        headrace.ConfigError: The set-up is wrong.
        headrace.DataError: The input cannot be used.
        headrace.ExternalError: Something outside failed; trying again can help.
        headrace.Stopped: It was stopped, with its position committed.
    """
    values = {
        "from": from_,
        "store": store,
        "archive": archive,
        "keep": keep,
        "follow": follow,
        "interval": interval,
        "archive_every": archive_every,
        "batch_rows": batch_rows,
        "close_windows": close_windows,
        "group": group,
    }
    return run("commerce", "stream", values, ["store"], token, on_progress)


def compact(
    *,
    store: StoreUrl = "embedded:headrace-data",
    archive: str = "file:headrace-data/ecommerce",
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Bring waiting events and the tables into the lake, and clear up after dead writers.

    Args:
        store: Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
        archive: The archive: file:DIRECTORY, hdfs://HOST/PATH or s3://BUCKET/PREFIX.
        token: Stops the step from elsewhere.
        on_progress: Called once a second with how far the step is.

    Returns:
        The report: counts of rows by fate, positions, facts.

    Raises:
        headrace.ConfigError: The set-up is wrong.
        headrace.DataError: The input cannot be used.
        headrace.ExternalError: Something outside failed; trying again can help.
        headrace.Stopped: It was stopped, with its position committed.
    """
    values = {
        "store": store,
        "archive": archive,
    }
    return run("commerce", "compact", values, ["store"], token, on_progress)


def recompute(
    *,
    date: Date,
    store: StoreUrl = "embedded:headrace-data",
    archive: str = "file:headrace-data/ecommerce",
    apply: bool = False,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Count a day again from the archive, show what differs from the tables, and correct it if wanted.

    Args:
        date: The day, YYYY-MM-DD (UTC).
        store: Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
        archive: The archive: file:DIRECTORY, hdfs://HOST/PATH or s3://BUCKET/PREFIX.
        apply: Correct the stored tables. Run `compact` first, and not beside a stream that writes the same day.
        token: Stops the step from elsewhere.
        on_progress: Called once a second with how far the step is.

    Returns:
        The report: counts of rows by fate, positions, facts.

    Raises:
        headrace.ConfigError: The set-up is wrong.
        headrace.DataError: The input cannot be used.
        headrace.ExternalError: Something outside failed; trying again can help.
        headrace.Stopped: It was stopped, with its position committed.
    """
    values = {
        "date": date,
        "store": store,
        "archive": archive,
        "apply": apply,
    }
    return run("commerce", "recompute", values, ["store"], token, on_progress)


def export(
    *,
    out: File,
    store: StoreUrl = "embedded:headrace-data",
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Export all tables as CSV, with late events, dead letters and counters.

    Args:
        out: The directory for the files; each appears when it is whole.
        store: Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
        token: Stops the step from elsewhere.
        on_progress: Called once a second with how far the step is.

    Returns:
        The report: counts of rows by fate, positions, facts.

    Raises:
        headrace.ConfigError: The set-up is wrong.
        headrace.DataError: The input cannot be used.
        headrace.ExternalError: Something outside failed; trying again can help.
        headrace.Stopped: It was stopped, with its position committed.
    """
    values = {
        "out": out,
        "store": store,
    }
    return run("commerce", "export", values, ["store"], token, on_progress)


def verify(
    *,
    store: StoreUrl = "embedded:headrace-data",
    archive: str = "file:headrace-data/ecommerce",
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Compare tables, counters and archive: whatever is counted twice must be the same.

    Args:
        store: Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
        archive: The archive of this stream: file:DIRECTORY, hdfs://HOST/PATH, s3://BUCKET/PREFIX, or `none`.
        token: Stops the step from elsewhere.
        on_progress: Called once a second with how far the step is.

    Returns:
        The report: counts of rows by fate, positions, facts.

    Raises:
        headrace.ConfigError: The set-up is wrong.
        headrace.DataError: The input cannot be used.
        headrace.ExternalError: Something outside failed; trying again can help.
        headrace.Stopped: It was stopped, with its position committed.
    """
    values = {
        "store": store,
        "archive": archive,
    }
    return run("commerce", "verify", values, ["store"], token, on_progress)


def dead_letters_list(
    *,
    store: StoreUrl = "embedded:headrace-data",
    reason: str | None = None,
    limit: int = 100,
    all: bool = False,
    out: File | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """List refused events: their place in their topic and why they were refused.

    Args:
        store: Where the tables are, and with them the letters: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
        reason: Only letters with this reason, such as `bad_price`.
        limit: At most so many.
        all: Settled ones too.
        out: Also write them as JSON lines, for correcting the raw text and `replay --fixed`.
        token: Stops the step from elsewhere.
        on_progress: Called once a second with how far the step is.

    Returns:
        The report: counts of rows by fate, positions, facts.

    Raises:
        headrace.ConfigError: The set-up is wrong.
        headrace.DataError: The input cannot be used.
        headrace.ExternalError: Something outside failed; trying again can help.
        headrace.Stopped: It was stopped, with its position committed.
    """
    values = {
        "store": store,
        "reason": reason,
        "limit": limit,
        "all": all,
        "out": out,
    }
    return run("commerce", "dead-letters list", values, ["store"], token, on_progress)


def dead_letters_show(
    position: str,
    *,
    store: StoreUrl = "embedded:headrace-data",
    reason: str | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Show refused events with their raw text.

    Args:
        position: The position, as listed: a record number, or partition-offset, where each topic may have a
            letter.
        store: Where the tables are, and with them the letters: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
        reason: Only letters with this reason, such as `bad_price`.
        token: Stops the step from elsewhere.
        on_progress: Called once a second with how far the step is.

    Returns:
        The report: counts of rows by fate, positions, facts.

    Raises:
        headrace.ConfigError: The set-up is wrong.
        headrace.DataError: The input cannot be used.
        headrace.ExternalError: Something outside failed; trying again can help.
        headrace.Stopped: It was stopped, with its position committed.
    """
    values = {
        "position": position,
        "store": store,
        "reason": reason,
    }
    return run("commerce", "dead-letters show", values, ["store"], token, on_progress)


def dead_letters_replay(
    *,
    store: StoreUrl = "embedded:headrace-data",
    reason: str | None = None,
    archive: str = "file:headrace-data/ecommerce",
    fixed: File | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Stream refused events again, as they are or corrected; a settled one is never replayed twice.

    Args:
        store: Where the tables are, and with them the letters: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
        reason: Only letters with this reason, such as `bad_price`.
        archive: The archive, as in `commerce stream`: file:DIRECTORY, hdfs://HOST/PATH, s3://BUCKET/PREFIX, or
            `none`.
        fixed: Corrected letters as JSON lines with `source`, `position` and `raw` (as `list --out` writes them);
            only these are replayed.
        token: Stops the step from elsewhere.
        on_progress: Called once a second with how far the step is.

    Returns:
        The report: counts of rows by fate, positions, facts.

    Raises:
        headrace.ConfigError: The set-up is wrong.
        headrace.DataError: The input cannot be used.
        headrace.ExternalError: Something outside failed; trying again can help.
        headrace.Stopped: It was stopped, with its position committed.
    """
    values = {
        "store": store,
        "reason": reason,
        "archive": archive,
        "fixed": fixed,
    }
    return run("commerce", "dead-letters replay", values, ["store"], token, on_progress)
