"""The steps of scoring. Written by pylib/generate.py from the steps themselves; do not edit."""

from __future__ import annotations

from headrace._run import Date, Duration, File, OnProgress, StoreUrl, run
from headrace.control import CancellationToken
from headrace.report import Report

__all__ = [
    "demo",
    "train",
    "send",
    "score",
    "rescore",
    "verify",
    "dead_letters_list",
    "dead_letters_show",
    "dead_letters_replay",
]


def demo(
    *,
    dir: File = "headrace-scoring-demo",
    count: int = 20_000,
    defects: float = 0.01,
    seed: int = 1,
    model: File | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Run the whole job on the embedded store: send, score, verify, and show some offers.

    Args:
        dir: The directory for the store.
        count: Registrations to simulate, each of a new user.
        defects: The share of broken registrations, 0 to 1.
        seed: Seed of the simulation.
        model: The model; the built-in one if not given.
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
        "count": count,
        "defects": defects,
        "seed": seed,
        "model": model,
    }
    return run("scoring", "demo", values, [], token, on_progress)


def train(
    *,
    training: File | None = None,
    holdout: File | None = None,
    simulate: int | None = None,
    out: File = "headrace-models",
    seed: int = 1,
    validate: bool = False,
    worst_cost: float = 20.5,
    python: str | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
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
        "training": training,
        "holdout": holdout,
        "simulate": simulate,
        "out": out,
        "seed": seed,
        "validate": validate,
        "worst_cost": worst_cost,
        "python": python,
    }
    return run("scoring", "train", values, [], token, on_progress)


def send(
    *,
    to: StoreUrl = "embedded:headrace-data",
    count: int = 1_000,
    rate: float | None = None,
    varied: bool = False,
    seed: int = 1,
    defects: float = 0,
    first_user: int = 1,
    start: Date | None = None,
    partitions: int = 3,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Send simulated registrations to a topic, at any rate, with any share of broken ones.

    Args:
        to: The log: kafka://HOST/TOPIC or embedded:DIRECTORY.
        count: Registrations to send; 0 goes on until stopped.
        rate: Registrations per second; as fast as possible if not given.
        varied: Every user with features of their own, instead of one constant registration for all.
        seed: The same seed gives the same users.
        defects: The share of broken registrations, 0 to 1.
        first_user: The first user; the others follow.
        start: Registration time of the first varied user, "YYYY-MM-DD HH:MM:SS"; others follow at the rate, or a
            millisecond apart. The time of sending if not given.
        partitions: Partitions of the topic, if it has to be created.
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
        "count": count,
        "rate": rate,
        "varied": varied,
        "seed": seed,
        "defects": defects,
        "first_user": first_user,
        "start": start,
        "partitions": partitions,
    }
    return run("scoring", "send", values, ["to"], token, on_progress)


def score(
    *,
    from_: StoreUrl = "embedded:headrace-data",
    offers: StoreUrl = "embedded:headrace-data",
    cache: StoreUrl | None = None,
    ledger: StoreUrl | None = None,
    model: File | None = None,
    shadow: File | None = None,
    follow: bool = False,
    interval: Duration = "50ms",
    batch_rows: int | None = None,
    group: str | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Score a topic of registrations into offers, history and cache, each once in effect.

    Args:
        from_: The log: kafka://HOST/TOPIC or embedded:DIRECTORY.
        offers: Offers and history: clickhouse://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE or
            embedded:DIRECTORY.
        cache: The cache: redis://HOST or a store with tables; the ledger's store if not given.
        ledger: Positions, counters and dead letters: mysql://USER@HOST/DATABASE or embedded:DIRECTORY. The
            offers' store if not given, or embedded:headrace-data where that has no transactions.
        model: The model; looked at every second and taken up when it changes. The built-in one if not given.
        shadow: A second model that scores beside the first; the report tells how they differ, and nothing of it
            is stored.
        follow: Go on forever, instead of ending when the messages found at the start are done.
        interval: Longest wait for a batch to fill, when following.
        batch_rows: Messages per batch: the unit of commit; 10,000 if not given, but 500 when following with
            another cache than Redis.
        group: The group of workers that share the topic; by default one per offers' table.
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
        "offers": offers,
        "cache": cache,
        "ledger": ledger,
        "model": model,
        "shadow": shadow,
        "follow": follow,
        "interval": interval,
        "batch_rows": batch_rows,
        "group": group,
    }
    return run("scoring", "score", values, ["from", "offers", "cache", "ledger"], token, on_progress)


def rescore(
    *,
    offers: StoreUrl = "embedded:headrace-data",
    cache: StoreUrl | None = None,
    ledger: StoreUrl | None = None,
    model: File | None = None,
    again: bool = False,
    batch_rows: int = 10_000,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Score all users again with another model, and tell how expected revenue changes.

    Args:
        offers: The offers, and the registrations behind them.
        cache: The cache; the ledger's store if not given.
        ledger: Positions and counters; as in `scoring score`.
        model: The new model; the built-in one if not given.
        again: Also write offers that are the model's already: fills an empty cache.
        batch_rows: Users per page: the unit of writing.
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
        "offers": offers,
        "cache": cache,
        "ledger": ledger,
        "model": model,
        "again": again,
        "batch_rows": batch_rows,
    }
    return run("scoring", "rescore", values, ["offers", "cache", "ledger"], token, on_progress)


def verify(
    *,
    offers: StoreUrl = "embedded:headrace-data",
    cache: StoreUrl | None = None,
    ledger: StoreUrl | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Compare history, offers, cache and counters, and tell what exactly differs.

    Args:
        offers: The offers and their history.
        cache: The cache; the ledger's store if not given.
        ledger: Positions, counters and dead letters; as in `scoring score`.
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
        "offers": offers,
        "cache": cache,
        "ledger": ledger,
    }
    return run("scoring", "verify", values, ["offers", "cache", "ledger"], token, on_progress)


def dead_letters_list(
    *,
    offers: StoreUrl = "embedded:headrace-data",
    ledger: StoreUrl | None = None,
    reason: str | None = None,
    limit: int = 100,
    all: bool = False,
    out: File | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """List refused registrations: their place in the topic and why they were refused.

    Args:
        offers: The offers, whose dead letters these are.
        ledger: Where the letters are kept; as in `scoring score`.
        reason: Only letters with this reason, such as `bad_child_age`.
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
        "offers": offers,
        "ledger": ledger,
        "reason": reason,
        "limit": limit,
        "all": all,
        "out": out,
    }
    return run("scoring", "dead-letters list", values, ["offers", "ledger"], token, on_progress)


def dead_letters_show(
    position: str,
    *,
    offers: StoreUrl = "embedded:headrace-data",
    ledger: StoreUrl | None = None,
    reason: str | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Show a refused registration with its raw text.

    Args:
        position: The position, as listed: a record number, or partition-offset, where each topic may have a
            letter.
        offers: The offers, whose dead letters these are.
        ledger: Where the letters are kept; as in `scoring score`.
        reason: Only letters with this reason, such as `bad_child_age`.
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
        "offers": offers,
        "ledger": ledger,
        "reason": reason,
    }
    return run("scoring", "dead-letters show", values, ["offers", "ledger"], token, on_progress)


def dead_letters_replay(
    *,
    offers: StoreUrl = "embedded:headrace-data",
    ledger: StoreUrl | None = None,
    reason: str | None = None,
    cache: StoreUrl | None = None,
    model: File | None = None,
    fixed: File | None = None,
    token: CancellationToken | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Score refused registrations again, as they are or corrected; a settled one is never replayed twice.

    Args:
        offers: The offers, whose dead letters these are.
        ledger: Where the letters are kept; as in `scoring score`.
        reason: Only letters with this reason, such as `bad_child_age`.
        cache: The cache; the ledger's store if not given.
        model: The model; the built-in one if not given.
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
        "offers": offers,
        "ledger": ledger,
        "reason": reason,
        "cache": cache,
        "model": model,
        "fixed": fixed,
    }
    return run("scoring", "dead-letters replay", values, ["offers", "ledger", "cache"], token, on_progress)
