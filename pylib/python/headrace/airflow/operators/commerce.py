"""The steps of commerce as Airflow operators. Written by pylib/generate.py from the steps; do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from headrace.airflow.lineage import Dataset
from headrace.airflow.operator import HeadraceOperator

if TYPE_CHECKING:
    from headrace._run import Date, Duration, File, StoreUrl

__all__ = [
    "CommerceDemoOperator",
    "CommerceCreateOperator",
    "CommerceSimulateOperator",
    "CommerceStreamOperator",
    "CommerceCompactOperator",
    "CommerceRecomputeOperator",
    "CommerceExportOperator",
    "CommerceVerifyOperator",
    "CommerceDeadLettersListOperator",
    "CommerceDeadLettersShowOperator",
    "CommerceDeadLettersReplayOperator",
]


class CommerceDemoOperator(HeadraceOperator):
    """Run the whole job on the embedded store: simulate, stream, verify, and show the newest minutes.

    Args:
        dir: The directory for store and archive.
        events: Events to simulate, over the last forty minutes.
        seed: Seed of the simulation.
        live: Then go on with so many events per second until stopped, for the dashboard to show.
    """

    headrace_step = ("commerce", "demo")
    headrace_parameters = {
        "dir": "path",
        "events": "int",
        "seed": "int",
        "live": "float",
    }
    template_fields = (
        "dir",
        "events",
        "seed",
        "live",
    )
    headrace_datasets = (
        Dataset("dir", "output", "file"),
    )
    custom_operator_name = "headrace commerce demo"

    def __init__(
        self,
        *,
        dir: File = "headrace-commerce-demo",
        events: int | str = 20_000,
        seed: int | str = 1,
        live: float | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dir = dir
        self.events = events
        self.seed = seed
        self.live = live


class CommerceCreateOperator(HeadraceOperator):
    """Create topics, tables and the archive's folder where they are missing.

    Args:
        log_: The log of the events: kafka://HOST or embedded:DIRECTORY.
        partitions: Partitions of each topic of events, if it has to be created.
        store: Tables, state and positions: mysql://USER@HOST/DATABASE or embedded:DIRECTORY, or conn:ID/PATH.
        archive: The archive: file:DIRECTORY, hdfs://HOST/PATH, s3://BUCKET/PREFIX, or `none`.
    """

    headrace_step = ("commerce", "create")
    headrace_parameters = {
        "log": "str",
        "partitions": "int",
        "store": "url",
        "archive": "str",
    }
    template_fields = (
        "log_",
        "partitions",
        "store",
        "archive",
    )
    headrace_datasets = (
        Dataset("log", "output", "topic", "orders"),
        Dataset("store", "output", "table", "sales_per_minute"),
        Dataset("archive", "output", "file"),
    )
    custom_operator_name = "headrace commerce create"

    def __init__(
        self,
        *,
        log_: str = "embedded:headrace-data",
        partitions: int | str = 3,
        store: StoreUrl = "embedded:headrace-data",
        archive: str = "file:headrace-data/ecommerce",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.log_ = log_
        self.partitions = partitions
        self.store = store
        self.archive = archive


class CommerceSimulateOperator(HeadraceOperator):
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
    """

    headrace_step = ("commerce", "simulate")
    headrace_parameters = {
        "to": "str",
        "events": "int",
        "rate": "float",
        "duration": "duration",
        "spread": "duration",
        "start": "date",
        "seed": "int",
        "users": "int",
        "products": "int",
        "late": "float",
        "duplicates": "float",
        "malformed": "float",
        "partitions": "int",
    }
    template_fields = (
        "to",
        "events",
        "rate",
        "duration",
        "spread",
        "start",
        "seed",
        "users",
        "products",
        "late",
        "duplicates",
        "malformed",
        "partitions",
    )
    headrace_datasets = (
        Dataset("to", "output", "topic", "orders"),
    )
    custom_operator_name = "headrace commerce simulate"

    def __init__(
        self,
        *,
        to: str = "embedded:headrace-data",
        events: int | str = 10_000,
        rate: float | str | None = None,
        duration: Duration | None = None,
        spread: Duration = "40m",
        start: Date | None = None,
        seed: int | str = 1,
        users: int | str = 100,
        products: int | str = 20,
        late: float | str = 0.03,
        duplicates: float | str = 0.02,
        malformed: float | str = 0.01,
        partitions: int | str = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.events = events
        self.rate = rate
        self.duration = duration
        self.spread = spread
        self.start = start
        self.seed = seed
        self.users = users
        self.products = products
        self.late = late
        self.duplicates = duplicates
        self.malformed = malformed
        self.partitions = partitions


class CommerceStreamOperator(HeadraceOperator):
    """Keep sales, tickets, views, funnel and archive of a stream of events, each counted once.

    Args:
        from_: The events: kafka://HOST, embedded:DIRECTORY, or file:PATH with recorded ones. A topic in the URL
            is put before the names of the three topics, with a point.
        store: Tables, state and positions: mysql://USER@HOST/DATABASE or embedded:DIRECTORY, or conn:ID/PATH.
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
    """

    headrace_step = ("commerce", "stream")
    headrace_parameters = {
        "from": "str",
        "store": "url",
        "archive": "str",
        "keep": "str",
        "follow": "bool",
        "interval": "duration",
        "archive_every": "duration",
        "batch_rows": "int",
        "close_windows": "bool",
        "group": "str",
    }
    template_fields = (
        "from_",
        "store",
        "archive",
        "keep",
        "follow",
        "interval",
        "archive_every",
        "batch_rows",
        "close_windows",
        "group",
    )
    headrace_datasets = (
        Dataset("from", "input", "topic", "orders"),
        Dataset("store", "output", "table", "sales_per_minute"),
        Dataset("archive", "output", "file"),
    )
    custom_operator_name = "headrace commerce stream"

    def __init__(
        self,
        *,
        from_: str = "embedded:headrace-data",
        store: StoreUrl = "embedded:headrace-data",
        archive: str = "file:headrace-data/ecommerce",
        keep: Literal["everything", "sales"] = "everything",
        follow: bool | str = False,
        interval: Duration = "500ms",
        archive_every: Duration = "5m",
        batch_rows: int | str | None = None,
        close_windows: bool | str = False,
        group: str = "headrace-commerce",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.from_ = from_
        self.store = store
        self.archive = archive
        self.keep = keep
        self.follow = follow
        self.interval = interval
        self.archive_every = archive_every
        self.batch_rows = batch_rows
        self.close_windows = close_windows
        self.group = group


class CommerceCompactOperator(HeadraceOperator):
    """Bring waiting events and the tables into the lake, and clear up after dead writers.

    Args:
        store: Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY, or conn:ID/PATH.
        archive: The archive: file:DIRECTORY, hdfs://HOST/PATH or s3://BUCKET/PREFIX.
    """

    headrace_step = ("commerce", "compact")
    headrace_parameters = {
        "store": "url",
        "archive": "str",
    }
    template_fields = (
        "store",
        "archive",
    )
    headrace_datasets = (
        Dataset("store", "input", "table", "sales_per_minute"),
        Dataset("archive", "output", "file"),
    )
    custom_operator_name = "headrace commerce compact"

    def __init__(
        self,
        *,
        store: StoreUrl = "embedded:headrace-data",
        archive: str = "file:headrace-data/ecommerce",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.archive = archive


class CommerceRecomputeOperator(HeadraceOperator):
    """Count a day again from the archive, show what differs from the tables, and correct it if wanted.

    Args:
        date: The day, YYYY-MM-DD (UTC).
        store: Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY, or conn:ID/PATH.
        archive: The archive: file:DIRECTORY, hdfs://HOST/PATH or s3://BUCKET/PREFIX.
        apply: Correct the stored tables. Run `compact` first, and not beside a stream that writes the same day.
    """

    headrace_step = ("commerce", "recompute")
    headrace_parameters = {
        "date": "date",
        "store": "url",
        "archive": "str",
        "apply": "bool",
    }
    template_fields = (
        "date",
        "store",
        "archive",
        "apply",
    )
    headrace_datasets = (
        Dataset("archive", "input", "file"),
        Dataset("store", "input", "table", "sales_per_minute"),
    )
    custom_operator_name = "headrace commerce recompute"

    def __init__(
        self,
        *,
        date: Date,
        store: StoreUrl = "embedded:headrace-data",
        archive: str = "file:headrace-data/ecommerce",
        apply: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.date = date
        self.store = store
        self.archive = archive
        self.apply = apply


class CommerceExportOperator(HeadraceOperator):
    """Export all tables as CSV, with late events, dead letters and counters.

    Args:
        out: The directory for the files; each appears when it is whole.
        store: Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY, or conn:ID/PATH.
    """

    headrace_step = ("commerce", "export")
    headrace_parameters = {
        "out": "path",
        "store": "url",
    }
    template_fields = (
        "out",
        "store",
    )
    headrace_datasets = (
        Dataset("store", "input", "table", "sales_per_minute"),
        Dataset("out", "output", "file"),
    )
    custom_operator_name = "headrace commerce export"

    def __init__(
        self,
        *,
        out: File,
        store: StoreUrl = "embedded:headrace-data",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.out = out
        self.store = store


class CommerceVerifyOperator(HeadraceOperator):
    """Compare tables, counters and archive: whatever is counted twice must be the same.

    Args:
        store: Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY, or conn:ID/PATH.
        archive: The archive of this stream: file:DIRECTORY, hdfs://HOST/PATH, s3://BUCKET/PREFIX, or `none`.
    """

    headrace_step = ("commerce", "verify")
    headrace_parameters = {
        "store": "url",
        "archive": "str",
    }
    template_fields = (
        "store",
        "archive",
    )
    headrace_datasets = (
        Dataset("store", "input", "table", "sales_per_minute"),
        Dataset("archive", "input", "file"),
    )
    custom_operator_name = "headrace commerce verify"

    def __init__(
        self,
        *,
        store: StoreUrl = "embedded:headrace-data",
        archive: str = "file:headrace-data/ecommerce",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.archive = archive


class CommerceDeadLettersListOperator(HeadraceOperator):
    """List refused events: their place in their topic and why they were refused.

    Args:
        store: Where the tables are, and with them the letters: mysql://USER@HOST/DATABASE or embedded:DIRECTORY,
            or conn:ID/PATH.
        reason: Only letters with this reason, such as `bad_price`.
        limit: At most so many.
        all: Settled ones too.
        out: Also write them as JSON lines, for correcting the raw text and `replay --fixed`.
    """

    headrace_step = ("commerce", "dead-letters list")
    headrace_parameters = {
        "store": "url",
        "reason": "str",
        "limit": "int",
        "all": "bool",
        "out": "path",
    }
    template_fields = (
        "store",
        "reason",
        "limit",
        "all",
        "out",
    )
    headrace_datasets = (
        Dataset("out", "output", "file"),
    )
    custom_operator_name = "headrace commerce dead-letters list"

    def __init__(
        self,
        *,
        store: StoreUrl = "embedded:headrace-data",
        reason: str | None = None,
        limit: int | str = 100,
        all: bool | str = False,
        out: File | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.reason = reason
        self.limit = limit
        self.all = all
        self.out = out


class CommerceDeadLettersShowOperator(HeadraceOperator):
    """Show refused events with their raw text.

    Args:
        position: The position, as listed: a record number, or partition-offset, where each topic may have a
            letter.
        store: Where the tables are, and with them the letters: mysql://USER@HOST/DATABASE or embedded:DIRECTORY,
            or conn:ID/PATH.
        reason: Only letters with this reason, such as `bad_price`.
    """

    headrace_step = ("commerce", "dead-letters show")
    headrace_parameters = {
        "position": "str",
        "store": "url",
        "reason": "str",
    }
    template_fields = (
        "position",
        "store",
        "reason",
    )
    custom_operator_name = "headrace commerce dead-letters show"

    def __init__(
        self,
        *,
        position: str,
        store: StoreUrl = "embedded:headrace-data",
        reason: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.position = position
        self.store = store
        self.reason = reason


class CommerceDeadLettersReplayOperator(HeadraceOperator):
    """Stream refused events again, as they are or corrected; a settled one is never replayed twice.

    Args:
        store: Where the tables are, and with them the letters: mysql://USER@HOST/DATABASE or embedded:DIRECTORY,
            or conn:ID/PATH.
        reason: Only letters with this reason, such as `bad_price`.
        archive: The archive, as in `commerce stream`: file:DIRECTORY, hdfs://HOST/PATH, s3://BUCKET/PREFIX, or
            `none`.
        fixed: Corrected letters as JSON lines with `source`, `position` and `raw` (as `list --out` writes them);
            only these are replayed.
    """

    headrace_step = ("commerce", "dead-letters replay")
    headrace_parameters = {
        "store": "url",
        "reason": "str",
        "archive": "str",
        "fixed": "path",
    }
    template_fields = (
        "store",
        "reason",
        "archive",
        "fixed",
    )
    headrace_datasets = (
        Dataset("fixed", "input", "file"),
        Dataset("store", "output", "table", "sales_per_minute"),
        Dataset("archive", "output", "file"),
    )
    custom_operator_name = "headrace commerce dead-letters replay"

    def __init__(
        self,
        *,
        store: StoreUrl = "embedded:headrace-data",
        reason: str | None = None,
        archive: str = "file:headrace-data/ecommerce",
        fixed: File | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.reason = reason
        self.archive = archive
        self.fixed = fixed
