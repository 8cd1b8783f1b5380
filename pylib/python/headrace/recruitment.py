"""The steps of recruitment. Written by pylib/generate.py from the steps themselves; do not edit."""

from __future__ import annotations

from typing import Literal

from headrace._run import Date, Duration, File, OnProgress, StoreUrl, run
from headrace.control import CancellationToken
from headrace.report import Report

__all__ = [
    "demo",
    "simulate",
    "load",
    "jobs",
    "replay",
    "clean",
    "lag",
    "export",
    "verify",
    "dead_letters_list",
    "dead_letters_show",
    "dead_letters_replay",
]


def demo(
    *,
    tracking: File | None = None,
    jobs: File | None = None,
    dir: File = "headrace-demo",
    export: File | None = None,
    rows: int = 100_000,
    defects: str = "0.0005",
    seed: int = 1,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Run the whole job on the embedded store: load, jobs, replay, clean, verify, export, report.

    Args:
        tracking: The tracking CSV; simulated if not given.
        jobs: The job CSV; simulated if not given.
        dir: The directory for the stores and everything made.
        export: The hourly table as CSV; DIR/hourly.csv if not given.
        rows: Records to simulate, if no files are given.
        defects: Shares of defects to simulate, as in `recruitment simulate`.
        seed: Seed of the simulation.
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
        "tracking": tracking,
        "jobs": jobs,
        "dir": dir,
        "export": export,
        "rows": rows,
        "defects": defects,
        "seed": seed,
    }
    return run("recruitment", "demo", values, [], token, on_progress)


def simulate(
    directory: File,
    *,
    rows: int = 100_000,
    jobs: int = 1_868,
    seed: int = 1,
    start: Date = "2022-07-01",
    days: int = 30,
    defects: str = "0",
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Simulate tracking.csv and job.csv in the real layout, at any size, with any defects.

    Args:
        directory: The directory for tracking.csv and job.csv; made if missing.
        rows: Records of tracking.csv.
        jobs: Records of job.csv.
        seed: The same seed gives the same bytes.
        start: The first day, YYYY-MM-DD.
        days: Days the events are spread over.
        defects: Shares of defects: 0.001 for every defect a file can have, or by name, as in
            "bad_number=0.01,duplicate=0.02".
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
        "directory": directory,
        "rows": rows,
        "jobs": jobs,
        "seed": seed,
        "start": start,
        "days": days,
        "defects": defects,
    }
    return run("recruitment", "simulate", values, [], token, on_progress)


def load(
    file: File,
    *,
    to: StoreUrl = "embedded:headrace-data",
    split: str | None = None,
    restart: bool = False,
    batch_rows: int = 50_000,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Load a tracking CSV into the raw store: every record once, bad ones as dead letters.

    Args:
        file: The tracking CSV: comma, UTF-8, header, 30 columns.
        to: The raw store: cassandra://HOST/KEYSPACE/TABLE or embedded:DIRECTORY.
        split: Load only one part of the file, as in 2/8, while other workers load the others: in any order,
            together they give what one load of the whole file gives. Every worker must see the file under the
            same path.
        restart: Read the file, or this part of it, again from its beginning, though it was loaded before; rows
            already stored count as duplicates.
        batch_rows: Records per batch: the unit of commit.
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
        "file": file,
        "to": to,
        "split": split,
        "restart": restart,
        "batch_rows": batch_rows,
    }
    return run("recruitment", "load", values, ["to"], token, on_progress)


def jobs(
    file: File,
    *,
    to: StoreUrl = "embedded:headrace-data",
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Load job.csv into the job dimension: new jobs are added, known ones updated.

    Args:
        file: The job CSV; columns are found by name, `id` and `company_id` must be there.
        to: The dimension: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY.
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
        "file": file,
        "to": to,
    }
    return run("recruitment", "jobs", values, ["to"], token, on_progress)


def replay(
    *,
    from_: StoreUrl = "embedded:headrace-data",
    to: StoreUrl = "embedded:headrace-data",
    since: Date | None = None,
    until: Date | None = None,
    speed: float | None = None,
    order: Literal["time", "token"] = "time",
    split: str | None = None,
    again: bool = False,
    partitions: int = 3,
    batch_rows: int = 50_000,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Replay the raw store into a topic: every row once, resumable, by date, at any speed.

    Args:
        from_: The raw store: cassandra://HOST/KEYSPACE/TABLE or embedded:DIRECTORY.
        to: The log: kafka://HOST/TOPIC or embedded:DIRECTORY.
        since: Only events from this day or hour on: YYYY-MM-DD or "YYYY-MM-DD HH".
        until: Only events before this day or hour.
        speed: Keep the events' distances in time, so many times faster: 1x, 60x, …; as fast as possible if not
            given.
        order: In which order rows are read.
        split: Only one part of the token ranges, as in 2/8; for several workers side by side.
        again: Send all rows again, though they were sent before.
        partitions: Partitions of the topic, if it has to be created.
        batch_rows: Rows per batch: the unit of commit.
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
        "to": to,
        "since": since,
        "until": until,
        "speed": speed,
        "order": order,
        "split": split,
        "again": again,
        "partitions": partitions,
        "batch_rows": batch_rows,
    }
    return run("recruitment", "replay", values, ["from", "to"], token, on_progress)


def clean(
    *,
    from_: StoreUrl = "embedded:headrace-data",
    jobs: StoreUrl | None = None,
    to: StoreUrl = "embedded:headrace-data",
    follow: bool = False,
    restart: bool = False,
    interval: Duration = "5s",
    batch_rows: int = 65_536,
    refresh: Duration = "60s",
    group: str | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Clean a topic into the hourly table of clicks, spend and applications, exactly once.

    Args:
        from_: The log: kafka://HOST/TOPIC or embedded:DIRECTORY.
        jobs: The job dimension: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY; the result's database if
            not given.
        to: The result: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY.
        follow: Go on forever, instead of ending when the messages found at the start are done.
        restart: Read the topic again from its beginning; events counted before are not counted again.
        interval: Longest wait for a batch to fill, when following.
        batch_rows: Messages per batch: the unit of commit.
        refresh: How old the companies may be before they are fetched again.
        group: The group of workers that share the topic; by default one per result table.
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
        "jobs": jobs,
        "to": to,
        "follow": follow,
        "restart": restart,
        "interval": interval,
        "batch_rows": batch_rows,
        "refresh": refresh,
        "group": group,
    }
    return run("recruitment", "clean", values, ["from", "jobs", "to"], token, on_progress)


def lag(
    *,
    from_: StoreUrl = "embedded:headrace-data",
    to: StoreUrl = "embedded:headrace-data",
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Tell how many messages of a topic `clean` has not committed yet, by partition.

    Args:
        from_: The log: kafka://HOST/TOPIC or embedded:DIRECTORY.
        to: The result that `clean` keeps: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY.
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
        "to": to,
    }
    return run("recruitment", "lag", values, ["from", "to"], token, on_progress)


def export(
    *,
    out: File,
    from_: StoreUrl = "embedded:headrace-data",
    what: Literal["hourly", "unattributed", "dead-letters", "messages"] = "hourly",
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Export the hourly table as CSV, in key order; or unattributed events, dead letters, messages.

    Args:
        out: The file to write; it appears when it is whole.
        from_: The result (or raw store): mysql://…, cassandra://… or embedded:DIRECTORY.
        what: What to export.
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
        "from": from_,
        "what": what,
    }
    return run("recruitment", "export", values, ["from"], token, on_progress)


def verify(
    *,
    raw: StoreUrl = "embedded:headrace-data",
    log: StoreUrl = "embedded:headrace-data",
    result: StoreUrl = "embedded:headrace-data",
    jobs: StoreUrl | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Recount raw store and topic against the result: what is missing, doubled or different.

    Args:
        raw: The raw store.
        log: The log.
        result: The result.
        jobs: The job dimension; the result's database if not given. Companies are compared if its table is there.
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
        "raw": raw,
        "log": log,
        "result": result,
        "jobs": jobs,
    }
    return run("recruitment", "verify", values, ["raw", "log", "result", "jobs"], token, on_progress)


def dead_letters_list(
    *,
    from_: StoreUrl = "embedded:headrace-data",
    step: Literal["load", "clean", "jobs"] | None = None,
    reason: str | None = None,
    limit: int = 100,
    all: bool = False,
    out: File | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """List refused rows: where they came from and why they were refused.

    Args:
        from_: The raw store (letters of load), the result (of clean) or the job dimension (of jobs).
        step: The step that refused; by default load for cassandra, clean for mysql, and load for embedded.
        reason: Only letters with this reason, such as bad_number.
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
        "from": from_,
        "step": step,
        "reason": reason,
        "limit": limit,
        "all": all,
        "out": out,
    }
    return run("recruitment", "dead-letters list", values, ["from"], token, on_progress)


def dead_letters_show(
    position: str,
    *,
    from_: StoreUrl = "embedded:headrace-data",
    step: Literal["load", "clean", "jobs"] | None = None,
    reason: str | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Show refused rows with their raw text.

    Args:
        position: The position, as listed: a record number, or partition-offset, where each topic may have a
            letter.
        from_: The raw store (letters of load), the result (of clean) or the job dimension (of jobs).
        step: The step that refused; by default load for cassandra, clean for mysql, and load for embedded.
        reason: Only letters with this reason, such as bad_number.
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
        "from": from_,
        "step": step,
        "reason": reason,
    }
    return run("recruitment", "dead-letters show", values, ["from"], token, on_progress)


def dead_letters_replay(
    *,
    from_: StoreUrl = "embedded:headrace-data",
    step: Literal["load", "clean", "jobs"] | None = None,
    reason: str | None = None,
    fixed: File | None = None,
    jobs: StoreUrl | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Put refused rows through their step again; a settled row is never replayed twice.

    Args:
        from_: The raw store (letters of load), the result (of clean) or the job dimension (of jobs).
        step: The step that refused; by default load for cassandra, clean for mysql, and load for embedded.
        reason: Only letters with this reason, such as bad_number.
        fixed: Corrected letters as JSON lines with `source`, `position` and `raw` (as `list --out` writes them);
            only these are replayed.
        jobs: The job dimension, for letters of clean; the result's database if not given.
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
        "step": step,
        "reason": reason,
        "fixed": fixed,
        "jobs": jobs,
    }
    return run("recruitment", "dead-letters replay", values, ["from", "jobs"], token, on_progress)
