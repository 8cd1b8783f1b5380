"""The steps of recruitment as Airflow operators. Written by pylib/generate.py from the steps; do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from headrace.airflow.lineage import Dataset
from headrace.airflow.operator import HeadraceOperator

if TYPE_CHECKING:
    from headrace._run import Date, Duration, File, StoreUrl

__all__ = [
    "RecruitmentDemoOperator",
    "RecruitmentSimulateOperator",
    "RecruitmentLoadOperator",
    "RecruitmentJobsOperator",
    "RecruitmentReplayOperator",
    "RecruitmentCleanOperator",
    "RecruitmentLagOperator",
    "RecruitmentExportOperator",
    "RecruitmentVerifyOperator",
    "RecruitmentDeadLettersListOperator",
    "RecruitmentDeadLettersShowOperator",
    "RecruitmentDeadLettersReplayOperator",
]


class RecruitmentDemoOperator(HeadraceOperator):
    """Run the whole job on the embedded store: load, jobs, replay, clean, verify, export, report.

    Args:
        tracking: The tracking CSV; simulated if not given.
        jobs: The job CSV; simulated if not given.
        dir: The directory for the stores and everything made.
        export: The hourly table as CSV; DIR/hourly.csv if not given.
        rows: Records to simulate, if no files are given.
        defects: Shares of defects to simulate, as in `recruitment simulate`.
        seed: Seed of the simulation.
    """

    headrace_step = ("recruitment", "demo")
    headrace_parameters = {
        "tracking": "path",
        "jobs": "path",
        "dir": "path",
        "export": "path",
        "rows": "int",
        "defects": "str",
        "seed": "int",
    }
    template_fields = (
        "tracking",
        "jobs",
        "dir",
        "export",
        "rows",
        "defects",
        "seed",
    )
    headrace_datasets = (
        Dataset("tracking", "input", "file"),
        Dataset("jobs", "input", "file"),
        Dataset("dir", "output", "file"),
    )
    custom_operator_name = "headrace recruitment demo"

    def __init__(
        self,
        *,
        tracking: File | None = None,
        jobs: File | None = None,
        dir: File = "headrace-demo",
        export: File | None = None,
        rows: int | str = 100_000,
        defects: str = "0.0005",
        seed: int | str = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.tracking = tracking
        self.jobs = jobs
        self.dir = dir
        self.export = export
        self.rows = rows
        self.defects = defects
        self.seed = seed


class RecruitmentSimulateOperator(HeadraceOperator):
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
    """

    headrace_step = ("recruitment", "simulate")
    headrace_parameters = {
        "directory": "path",
        "rows": "int",
        "jobs": "int",
        "seed": "int",
        "start": "date",
        "days": "int",
        "defects": "str",
    }
    template_fields = (
        "directory",
        "rows",
        "jobs",
        "seed",
        "start",
        "days",
        "defects",
    )
    headrace_datasets = (
        Dataset("directory", "output", "file"),
    )
    custom_operator_name = "headrace recruitment simulate"

    def __init__(
        self,
        *,
        directory: File,
        rows: int | str = 100_000,
        jobs: int | str = 1_868,
        seed: int | str = 1,
        start: Date = "2022-07-01",
        days: int | str = 30,
        defects: str = "0",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.directory = directory
        self.rows = rows
        self.jobs = jobs
        self.seed = seed
        self.start = start
        self.days = days
        self.defects = defects


class RecruitmentLoadOperator(HeadraceOperator):
    """Load a tracking CSV into the raw store: every record once, bad ones as dead letters.

    Args:
        file: The tracking CSV: comma, UTF-8, header, 30 columns.
        to: The raw store: cassandra://HOST/KEYSPACE/TABLE or embedded:DIRECTORY, or conn:ID/PATH.
        split: Load only one part of the file, as in 2/8, while other workers load the others: in any order,
            together they give what one load of the whole file gives. Every worker must see the file under the
            same path.
        restart: Read the file, or this part of it, again from its beginning, though it was loaded before; rows
            already stored count as duplicates.
        batch_rows: Records per batch: the unit of commit.
    """

    headrace_step = ("recruitment", "load")
    headrace_parameters = {
        "file": "path",
        "to": "url",
        "split": "str",
        "restart": "bool",
        "batch_rows": "int",
    }
    template_fields = (
        "file",
        "to",
        "split",
        "restart",
        "batch_rows",
    )
    headrace_datasets = (
        Dataset("file", "input", "file"),
        Dataset("to", "output", "table", "tracking"),
    )
    custom_operator_name = "headrace recruitment load"

    def __init__(
        self,
        *,
        file: File,
        to: StoreUrl = "embedded:headrace-data",
        split: str | None = None,
        restart: bool | str = False,
        batch_rows: int | str = 50_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.file = file
        self.to = to
        self.split = split
        self.restart = restart
        self.batch_rows = batch_rows


class RecruitmentJobsOperator(HeadraceOperator):
    """Load job.csv into the job dimension: new jobs are added, known ones updated.

    Args:
        file: The job CSV; columns are found by name, `id` and `company_id` must be there.
        to: The dimension: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY, or conn:ID/PATH.
    """

    headrace_step = ("recruitment", "jobs")
    headrace_parameters = {
        "file": "path",
        "to": "url",
    }
    template_fields = (
        "file",
        "to",
    )
    headrace_datasets = (
        Dataset("file", "input", "file"),
        Dataset("to", "output", "table", "job"),
    )
    custom_operator_name = "headrace recruitment jobs"

    def __init__(
        self,
        *,
        file: File,
        to: StoreUrl = "embedded:headrace-data",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.file = file
        self.to = to


class RecruitmentReplayOperator(HeadraceOperator):
    """Replay the raw store into a topic: every row once, resumable, by date, at any speed.

    Args:
        from_: The raw store: cassandra://HOST/KEYSPACE/TABLE or embedded:DIRECTORY, or conn:ID/PATH.
        to: The log: kafka://HOST/TOPIC or embedded:DIRECTORY, or conn:ID/PATH.
        since: Only events from this day or hour on: YYYY-MM-DD or "YYYY-MM-DD HH".
        until: Only events before this day or hour.
        speed: Keep the events' distances in time, so many times faster: 1x, 60x, …; as fast as possible if not
            given.
        order: In which order rows are read.
        split: Only one part of the token ranges, as in 2/8; for several workers side by side.
        again: Send all rows again, though they were sent before.
        partitions: Partitions of the topic, if it has to be created.
        batch_rows: Rows per batch: the unit of commit.
    """

    headrace_step = ("recruitment", "replay")
    headrace_parameters = {
        "from": "url",
        "to": "url",
        "since": "date",
        "until": "date",
        "speed": "float",
        "order": "str",
        "split": "str",
        "again": "bool",
        "partitions": "int",
        "batch_rows": "int",
    }
    template_fields = (
        "from_",
        "to",
        "since",
        "until",
        "speed",
        "order",
        "split",
        "again",
        "partitions",
        "batch_rows",
    )
    headrace_datasets = (
        Dataset("from", "input", "table", "tracking"),
        Dataset("to", "output", "topic", "users_created"),
    )
    custom_operator_name = "headrace recruitment replay"

    def __init__(
        self,
        *,
        from_: StoreUrl = "embedded:headrace-data",
        to: StoreUrl = "embedded:headrace-data",
        since: Date | None = None,
        until: Date | None = None,
        speed: float | str | None = None,
        order: Literal["time", "token"] = "time",
        split: str | None = None,
        again: bool | str = False,
        partitions: int | str = 3,
        batch_rows: int | str = 50_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.from_ = from_
        self.to = to
        self.since = since
        self.until = until
        self.speed = speed
        self.order = order
        self.split = split
        self.again = again
        self.partitions = partitions
        self.batch_rows = batch_rows


class RecruitmentCleanOperator(HeadraceOperator):
    """Clean a topic into the hourly table of clicks, spend and applications, exactly once.

    Args:
        from_: The log: kafka://HOST/TOPIC or embedded:DIRECTORY, or conn:ID/PATH.
        jobs: The job dimension: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY; the result's database if
            not given, or conn:ID/PATH.
        to: The result: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY, or conn:ID/PATH.
        follow: Go on forever, instead of ending when the messages found at the start are done.
        restart: Read the topic again from its beginning; events counted before are not counted again.
        interval: Longest wait for a batch to fill, when following.
        batch_rows: Messages per batch: the unit of commit.
        refresh: How old the companies may be before they are fetched again.
        group: The group of workers that share the topic; by default one per result table.
    """

    headrace_step = ("recruitment", "clean")
    headrace_parameters = {
        "from": "url",
        "jobs": "url",
        "to": "url",
        "follow": "bool",
        "restart": "bool",
        "interval": "duration",
        "batch_rows": "int",
        "refresh": "duration",
        "group": "str",
    }
    template_fields = (
        "from_",
        "jobs",
        "to",
        "follow",
        "restart",
        "interval",
        "batch_rows",
        "refresh",
        "group",
    )
    headrace_datasets = (
        Dataset("from", "input", "topic", "users_created"),
        Dataset("jobs", "input", "table", "job"),
        Dataset("to", "output", "table", "result"),
    )
    custom_operator_name = "headrace recruitment clean"

    def __init__(
        self,
        *,
        from_: StoreUrl = "embedded:headrace-data",
        jobs: StoreUrl | None = None,
        to: StoreUrl = "embedded:headrace-data",
        follow: bool | str = False,
        restart: bool | str = False,
        interval: Duration = "5s",
        batch_rows: int | str = 65_536,
        refresh: Duration = "60s",
        group: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.from_ = from_
        self.jobs = jobs
        self.to = to
        self.follow = follow
        self.restart = restart
        self.interval = interval
        self.batch_rows = batch_rows
        self.refresh = refresh
        self.group = group


class RecruitmentLagOperator(HeadraceOperator):
    """Tell how many messages of a topic `clean` has not committed yet, by partition.

    Args:
        from_: The log: kafka://HOST/TOPIC or embedded:DIRECTORY, or conn:ID/PATH.
        to: The result that `clean` keeps: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY, or
            conn:ID/PATH.
    """

    headrace_step = ("recruitment", "lag")
    headrace_parameters = {
        "from": "url",
        "to": "url",
    }
    template_fields = (
        "from_",
        "to",
    )
    headrace_datasets = (
        Dataset("from", "input", "topic", "users_created"),
        Dataset("to", "input", "table", "result"),
    )
    custom_operator_name = "headrace recruitment lag"

    def __init__(
        self,
        *,
        from_: StoreUrl = "embedded:headrace-data",
        to: StoreUrl = "embedded:headrace-data",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.from_ = from_
        self.to = to


class RecruitmentExportOperator(HeadraceOperator):
    """Export the hourly table as CSV, in key order; or unattributed events, dead letters, messages.

    Args:
        out: The file to write; it appears when it is whole.
        from_: The result (or raw store): mysql://…, cassandra://… or embedded:DIRECTORY, or conn:ID/PATH.
        what: What to export.
    """

    headrace_step = ("recruitment", "export")
    headrace_parameters = {
        "out": "path",
        "from": "url",
        "what": "str",
    }
    template_fields = (
        "out",
        "from_",
        "what",
    )
    headrace_datasets = (
        Dataset("from", "input", "table", "result", when={"what": ["hourly", "unattributed"]}),
        Dataset("from", "input", "table", "tracking", when={"what": ["messages"]}),
        Dataset("out", "output", "file"),
    )
    custom_operator_name = "headrace recruitment export"

    def __init__(
        self,
        *,
        out: File,
        from_: StoreUrl = "embedded:headrace-data",
        what: Literal["hourly", "unattributed", "dead-letters", "messages"] = "hourly",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.out = out
        self.from_ = from_
        self.what = what


class RecruitmentVerifyOperator(HeadraceOperator):
    """Recount raw store and topic against the result: what is missing, doubled or different.

    Args:
        raw: The raw store, or conn:ID/PATH.
        log_: The log, or conn:ID/PATH.
        result: The result, or conn:ID/PATH.
        jobs: The job dimension; the result's database if not given. Companies are compared if its table is there,
            or conn:ID/PATH.
    """

    headrace_step = ("recruitment", "verify")
    headrace_parameters = {
        "raw": "url",
        "log": "url",
        "result": "url",
        "jobs": "url",
    }
    template_fields = (
        "raw",
        "log_",
        "result",
        "jobs",
    )
    headrace_datasets = (
        Dataset("raw", "input", "table", "tracking"),
        Dataset("log", "input", "topic", "users_created"),
        Dataset("result", "input", "table", "result"),
        Dataset("jobs", "input", "table", "job"),
    )
    custom_operator_name = "headrace recruitment verify"

    def __init__(
        self,
        *,
        raw: StoreUrl = "embedded:headrace-data",
        log_: StoreUrl = "embedded:headrace-data",
        result: StoreUrl = "embedded:headrace-data",
        jobs: StoreUrl | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.raw = raw
        self.log_ = log_
        self.result = result
        self.jobs = jobs


class RecruitmentDeadLettersListOperator(HeadraceOperator):
    """List refused rows: where they came from and why they were refused.

    Args:
        from_: The raw store (letters of load), the result (of clean) or the job dimension (of jobs), or
            conn:ID/PATH.
        step: The step that refused; by default load for cassandra, clean for mysql, and load for embedded.
        reason: Only letters with this reason, such as bad_number.
        limit: At most so many.
        all: Settled ones too.
        out: Also write them as JSON lines, for correcting the raw text and `replay --fixed`.
    """

    headrace_step = ("recruitment", "dead-letters list")
    headrace_parameters = {
        "from": "url",
        "step": "str",
        "reason": "str",
        "limit": "int",
        "all": "bool",
        "out": "path",
    }
    template_fields = (
        "from_",
        "step",
        "reason",
        "limit",
        "all",
        "out",
    )
    headrace_datasets = (
        Dataset("out", "output", "file"),
    )
    custom_operator_name = "headrace recruitment dead-letters list"

    def __init__(
        self,
        *,
        from_: StoreUrl = "embedded:headrace-data",
        step: Literal["load", "clean", "jobs"] | None = None,
        reason: str | None = None,
        limit: int | str = 100,
        all: bool | str = False,
        out: File | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.from_ = from_
        self.step = step
        self.reason = reason
        self.limit = limit
        self.all = all
        self.out = out


class RecruitmentDeadLettersShowOperator(HeadraceOperator):
    """Show refused rows with their raw text.

    Args:
        position: The position, as listed: a record number, or partition-offset, where each topic may have a
            letter.
        from_: The raw store (letters of load), the result (of clean) or the job dimension (of jobs), or
            conn:ID/PATH.
        step: The step that refused; by default load for cassandra, clean for mysql, and load for embedded.
        reason: Only letters with this reason, such as bad_number.
    """

    headrace_step = ("recruitment", "dead-letters show")
    headrace_parameters = {
        "position": "str",
        "from": "url",
        "step": "str",
        "reason": "str",
    }
    template_fields = (
        "position",
        "from_",
        "step",
        "reason",
    )
    custom_operator_name = "headrace recruitment dead-letters show"

    def __init__(
        self,
        *,
        position: str,
        from_: StoreUrl = "embedded:headrace-data",
        step: Literal["load", "clean", "jobs"] | None = None,
        reason: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.position = position
        self.from_ = from_
        self.step = step
        self.reason = reason


class RecruitmentDeadLettersReplayOperator(HeadraceOperator):
    """Put refused rows through their step again; a settled row is never replayed twice.

    Args:
        from_: The raw store (letters of load), the result (of clean) or the job dimension (of jobs), or
            conn:ID/PATH.
        step: The step that refused; by default load for cassandra, clean for mysql, and load for embedded.
        reason: Only letters with this reason, such as bad_number.
        fixed: Corrected letters as JSON lines with `source`, `position` and `raw` (as `list --out` writes them);
            only these are replayed.
        jobs: The job dimension, for letters of clean; the result's database if not given, or conn:ID/PATH.
    """

    headrace_step = ("recruitment", "dead-letters replay")
    headrace_parameters = {
        "from": "url",
        "step": "str",
        "reason": "str",
        "fixed": "path",
        "jobs": "url",
    }
    template_fields = (
        "from_",
        "step",
        "reason",
        "fixed",
        "jobs",
    )
    headrace_datasets = (
        Dataset("fixed", "input", "file"),
    )
    custom_operator_name = "headrace recruitment dead-letters replay"

    def __init__(
        self,
        *,
        from_: StoreUrl = "embedded:headrace-data",
        step: Literal["load", "clean", "jobs"] | None = None,
        reason: str | None = None,
        fixed: File | None = None,
        jobs: StoreUrl | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.from_ = from_
        self.step = step
        self.reason = reason
        self.fixed = fixed
        self.jobs = jobs
