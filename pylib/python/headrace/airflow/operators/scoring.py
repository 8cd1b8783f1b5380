"""The steps of scoring as Airflow operators. Written by pylib/generate.py from the steps; do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.airflow.lineage import Dataset
from headrace.airflow.operator import HeadraceOperator

if TYPE_CHECKING:
    from headrace._run import Date, Duration, File, StoreUrl

__all__ = [
    "ScoringDemoOperator",
    "ScoringTrainOperator",
    "ScoringSendOperator",
    "ScoringScoreOperator",
    "ScoringRescoreOperator",
    "ScoringVerifyOperator",
    "ScoringDeadLettersListOperator",
    "ScoringDeadLettersShowOperator",
    "ScoringDeadLettersReplayOperator",
]


class ScoringDemoOperator(HeadraceOperator):
    """Run the whole job on the embedded store: send, score, verify, and show some offers.

    Args:
        dir: The directory for the store.
        count: Registrations to simulate, each of a new user.
        defects: The share of broken registrations, 0 to 1.
        seed: Seed of the simulation.
        model: The model; the built-in one if not given.
    """

    headrace_step = ("scoring", "demo")
    headrace_parameters = {
        "dir": "path",
        "count": "int",
        "defects": "float",
        "seed": "int",
        "model": "path",
    }
    template_fields = (
        "dir",
        "count",
        "defects",
        "seed",
        "model",
    )
    headrace_datasets = (
        Dataset("dir", "output", "file"),
    )
    custom_operator_name = "headrace scoring demo"

    def __init__(
        self,
        *,
        dir: File = "headrace-scoring-demo",
        count: int | str = 20_000,
        defects: float | str = 0.01,
        seed: int | str = 1,
        model: File | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dir = dir
        self.count = count
        self.defects = defects
        self.seed = seed
        self.model = model


class ScoringTrainOperator(HeadraceOperator):
    """Train the linear and the production model (needs Python with headrace[train]).

    Args:
        training: The file to learn from.
        holdout: The file for the metrics; nothing is learned from it.
        simulate: Make both files in the output directory, by a rule of our own.
        out: The directory of the models: tariff-linear.json, tariff-trees.onnx.
        seed: The seed: the same files and seed give the same models.
        validate: Fail when the production model misses a bar: any target 1.03 times as bad as the linear model,
            or the cost.
        worst_cost: The bar of the cost: its greatest error in roubles.
        python: The Python that has `headrace[train]`; HEADRACE_PYTHON or python3 if not given.
    """

    headrace_step = ("scoring", "train")
    headrace_parameters = {
        "training": "path",
        "holdout": "path",
        "simulate": "int",
        "out": "path",
        "seed": "int",
        "validate": "bool",
        "worst_cost": "float",
        "python": "str",
    }
    template_fields = (
        "training",
        "holdout",
        "simulate",
        "out",
        "seed",
        "validate",
        "worst_cost",
        "python",
    )
    headrace_datasets = (
        Dataset("training", "input", "file"),
        Dataset("holdout", "input", "file"),
        Dataset("out", "output", "file"),
    )
    custom_operator_name = "headrace scoring train"

    def __init__(
        self,
        *,
        training: File | None = None,
        holdout: File | None = None,
        simulate: int | str | None = None,
        out: File = "headrace-models",
        seed: int | str = 1,
        validate: bool | str = False,
        worst_cost: float | str = 20.5,
        python: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training = training
        self.holdout = holdout
        self.simulate = simulate
        self.out = out
        self.seed = seed
        self.validate = validate
        self.worst_cost = worst_cost
        self.python = python


class ScoringSendOperator(HeadraceOperator):
    """Send simulated registrations to a topic, at any rate, with any share of broken ones.

    Args:
        to: The log: kafka://HOST/TOPIC or embedded:DIRECTORY, or conn:ID/PATH.
        count: Registrations to send; 0 goes on until stopped.
        rate: Registrations per second; as fast as possible if not given.
        varied: Every user with features of their own, instead of one constant registration for all.
        seed: The same seed gives the same users.
        defects: The share of broken registrations, 0 to 1.
        first_user: The first user; the others follow.
        start: Registration time of the first varied user, "YYYY-MM-DD HH:MM:SS"; others follow at the rate, or a
            millisecond apart. The time of sending if not given.
        partitions: Partitions of the topic, if it has to be created.
    """

    headrace_step = ("scoring", "send")
    headrace_parameters = {
        "to": "url",
        "count": "int",
        "rate": "float",
        "varied": "bool",
        "seed": "int",
        "defects": "float",
        "first_user": "int",
        "start": "date",
        "partitions": "int",
    }
    template_fields = (
        "to",
        "count",
        "rate",
        "varied",
        "seed",
        "defects",
        "first_user",
        "start",
        "partitions",
    )
    headrace_datasets = (
        Dataset("to", "output", "topic", "streaming-user-registration"),
    )
    custom_operator_name = "headrace scoring send"

    def __init__(
        self,
        *,
        to: StoreUrl = "embedded:headrace-data",
        count: int | str = 1_000,
        rate: float | str | None = None,
        varied: bool | str = False,
        seed: int | str = 1,
        defects: float | str = 0,
        first_user: int | str = 1,
        start: Date | None = None,
        partitions: int | str = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.count = count
        self.rate = rate
        self.varied = varied
        self.seed = seed
        self.defects = defects
        self.first_user = first_user
        self.start = start
        self.partitions = partitions


class ScoringScoreOperator(HeadraceOperator):
    """Score a topic of registrations into offers, history and cache, each once in effect.

    Args:
        from_: The log: kafka://HOST/TOPIC or embedded:DIRECTORY, or conn:ID/PATH.
        offers: Offers and history: clickhouse://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE or
            embedded:DIRECTORY, or conn:ID/PATH.
        cache: The cache: redis://HOST or a store with tables; the ledger's store if not given, or conn:ID/PATH.
        ledger: Positions, counters and dead letters: mysql://USER@HOST/DATABASE or embedded:DIRECTORY. The
            offers' store if not given, or embedded:headrace-data where that has no transactions, or conn:ID/PATH.
        model: The model; looked at every second and taken up when it changes. The built-in one if not given.
        shadow: A second model that scores beside the first; the report tells how they differ, and nothing of it
            is stored.
        follow: Go on forever, instead of ending when the messages found at the start are done.
        interval: Longest wait for a batch to fill, when following.
        batch_rows: Messages per batch: the unit of commit; 10,000 if not given, but 500 when following with
            another cache than Redis.
        group: The group of workers that share the topic; by default one per offers' table.
    """

    headrace_step = ("scoring", "score")
    headrace_parameters = {
        "from": "url",
        "offers": "url",
        "cache": "url",
        "ledger": "url",
        "model": "path",
        "shadow": "path",
        "follow": "bool",
        "interval": "duration",
        "batch_rows": "int",
        "group": "str",
    }
    template_fields = (
        "from_",
        "offers",
        "cache",
        "ledger",
        "model",
        "shadow",
        "follow",
        "interval",
        "batch_rows",
        "group",
    )
    headrace_datasets = (
        Dataset("from", "input", "topic", "streaming-user-registration"),
        Dataset("model", "input", "file"),
        Dataset("shadow", "input", "file"),
        Dataset("offers", "output", "table", "personal_offer"),
        Dataset("cache", "output", "table", "offer_cache"),
    )
    custom_operator_name = "headrace scoring score"

    def __init__(
        self,
        *,
        from_: StoreUrl = "embedded:headrace-data",
        offers: StoreUrl = "embedded:headrace-data",
        cache: StoreUrl | None = None,
        ledger: StoreUrl | None = None,
        model: File | None = None,
        shadow: File | None = None,
        follow: bool | str = False,
        interval: Duration = "50ms",
        batch_rows: int | str | None = None,
        group: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.from_ = from_
        self.offers = offers
        self.cache = cache
        self.ledger = ledger
        self.model = model
        self.shadow = shadow
        self.follow = follow
        self.interval = interval
        self.batch_rows = batch_rows
        self.group = group


class ScoringRescoreOperator(HeadraceOperator):
    """Score all users again with another model, and tell how expected revenue changes.

    Args:
        offers: The offers, and the registrations behind them, or conn:ID/PATH.
        cache: The cache; the ledger's store if not given, or conn:ID/PATH.
        ledger: Positions and counters; as in `scoring score`, or conn:ID/PATH.
        model: The new model; the built-in one if not given.
        again: Also write offers that are the model's already: fills an empty cache.
        batch_rows: Users per page: the unit of writing.
    """

    headrace_step = ("scoring", "rescore")
    headrace_parameters = {
        "offers": "url",
        "cache": "url",
        "ledger": "url",
        "model": "path",
        "again": "bool",
        "batch_rows": "int",
    }
    template_fields = (
        "offers",
        "cache",
        "ledger",
        "model",
        "again",
        "batch_rows",
    )
    headrace_datasets = (
        Dataset("model", "input", "file"),
        Dataset("offers", "output", "table", "personal_offer"),
        Dataset("cache", "output", "table", "offer_cache"),
    )
    custom_operator_name = "headrace scoring rescore"

    def __init__(
        self,
        *,
        offers: StoreUrl = "embedded:headrace-data",
        cache: StoreUrl | None = None,
        ledger: StoreUrl | None = None,
        model: File | None = None,
        again: bool | str = False,
        batch_rows: int | str = 10_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.offers = offers
        self.cache = cache
        self.ledger = ledger
        self.model = model
        self.again = again
        self.batch_rows = batch_rows


class ScoringVerifyOperator(HeadraceOperator):
    """Compare history, offers, cache and counters, and tell what exactly differs.

    Args:
        offers: The offers and their history, or conn:ID/PATH.
        cache: The cache; the ledger's store if not given, or conn:ID/PATH.
        ledger: Positions, counters and dead letters; as in `scoring score`, or conn:ID/PATH.
    """

    headrace_step = ("scoring", "verify")
    headrace_parameters = {
        "offers": "url",
        "cache": "url",
        "ledger": "url",
    }
    template_fields = (
        "offers",
        "cache",
        "ledger",
    )
    headrace_datasets = (
        Dataset("offers", "input", "table", "personal_offer"),
        Dataset("cache", "input", "table", "offer_cache"),
    )
    custom_operator_name = "headrace scoring verify"

    def __init__(
        self,
        *,
        offers: StoreUrl = "embedded:headrace-data",
        cache: StoreUrl | None = None,
        ledger: StoreUrl | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.offers = offers
        self.cache = cache
        self.ledger = ledger


class ScoringDeadLettersListOperator(HeadraceOperator):
    """List refused registrations: their place in the topic and why they were refused.

    Args:
        offers: The offers, whose dead letters these are, or conn:ID/PATH.
        ledger: Where the letters are kept; as in `scoring score`, or conn:ID/PATH.
        reason: Only letters with this reason, such as `bad_child_age`.
        limit: At most so many.
        all: Settled ones too.
        out: Also write them as JSON lines, for correcting the raw text and `replay --fixed`.
    """

    headrace_step = ("scoring", "dead-letters list")
    headrace_parameters = {
        "offers": "url",
        "ledger": "url",
        "reason": "str",
        "limit": "int",
        "all": "bool",
        "out": "path",
    }
    template_fields = (
        "offers",
        "ledger",
        "reason",
        "limit",
        "all",
        "out",
    )
    headrace_datasets = (
        Dataset("out", "output", "file"),
    )
    custom_operator_name = "headrace scoring dead-letters list"

    def __init__(
        self,
        *,
        offers: StoreUrl = "embedded:headrace-data",
        ledger: StoreUrl | None = None,
        reason: str | None = None,
        limit: int | str = 100,
        all: bool | str = False,
        out: File | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.offers = offers
        self.ledger = ledger
        self.reason = reason
        self.limit = limit
        self.all = all
        self.out = out


class ScoringDeadLettersShowOperator(HeadraceOperator):
    """Show a refused registration with its raw text.

    Args:
        position: The position, as listed: a record number, or partition-offset, where each topic may have a
            letter.
        offers: The offers, whose dead letters these are, or conn:ID/PATH.
        ledger: Where the letters are kept; as in `scoring score`, or conn:ID/PATH.
        reason: Only letters with this reason, such as `bad_child_age`.
    """

    headrace_step = ("scoring", "dead-letters show")
    headrace_parameters = {
        "position": "str",
        "offers": "url",
        "ledger": "url",
        "reason": "str",
    }
    template_fields = (
        "position",
        "offers",
        "ledger",
        "reason",
    )
    custom_operator_name = "headrace scoring dead-letters show"

    def __init__(
        self,
        *,
        position: str,
        offers: StoreUrl = "embedded:headrace-data",
        ledger: StoreUrl | None = None,
        reason: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.position = position
        self.offers = offers
        self.ledger = ledger
        self.reason = reason


class ScoringDeadLettersReplayOperator(HeadraceOperator):
    """Score refused registrations again, as they are or corrected; a settled one is never replayed twice.

    Args:
        offers: The offers, whose dead letters these are, or conn:ID/PATH.
        ledger: Where the letters are kept; as in `scoring score`, or conn:ID/PATH.
        reason: Only letters with this reason, such as `bad_child_age`.
        cache: The cache; the ledger's store if not given, or conn:ID/PATH.
        model: The model; the built-in one if not given.
        fixed: Corrected letters as JSON lines with `source`, `position` and `raw` (as `list --out` writes them);
            only these are replayed.
    """

    headrace_step = ("scoring", "dead-letters replay")
    headrace_parameters = {
        "offers": "url",
        "ledger": "url",
        "reason": "str",
        "cache": "url",
        "model": "path",
        "fixed": "path",
    }
    template_fields = (
        "offers",
        "ledger",
        "reason",
        "cache",
        "model",
        "fixed",
    )
    headrace_datasets = (
        Dataset("fixed", "input", "file"),
        Dataset("model", "input", "file"),
        Dataset("offers", "output", "table", "personal_offer"),
        Dataset("cache", "output", "table", "offer_cache"),
    )
    custom_operator_name = "headrace scoring dead-letters replay"

    def __init__(
        self,
        *,
        offers: StoreUrl = "embedded:headrace-data",
        ledger: StoreUrl | None = None,
        reason: str | None = None,
        cache: StoreUrl | None = None,
        model: File | None = None,
        fixed: File | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.offers = offers
        self.ledger = ledger
        self.reason = reason
        self.cache = cache
        self.model = model
        self.fixed = fixed
