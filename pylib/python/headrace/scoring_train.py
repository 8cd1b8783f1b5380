"""Trains the tariff models, checks them and promotes one: `python3 -m headrace.scoring_train`.

From `training.csv` come the reference linear model and the production model (boosted trees as ONNX), with their metrics on
`holdout.csv`. The same files and seed give the same models. It needs the extra `headrace[train]`; scoring does not.

Exit codes: 0 done, 2 the set-up is wrong, 3 a file cannot be used or a model misses a bar, 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace.errors import ConfigError, DataError, ExternalError, HeadraceError

__all__ = ["LINEAR", "PRODUCTION", "main", "promote", "simulate", "train", "validate"]

LINEAR, PRODUCTION = "tariff-linear.json", "tariff-trees.onnx"
"""The names of the two models in the directory that `train` writes."""
METADATA = ".json"
"""Comes after the name of an ONNX file: what it is, for people. The same is in the file itself."""
NAME, SIMULATED = "tariff", "simulated"
"""What the names of models begin with: of given files, and of simulated ones."""
WORST_RATIO = 1.03
"""No target's error may exceed that of the linear model by more."""
WORST_COST = 20.5
"""Nor may that of the cost, in roubles, exceed this."""
HOLDOUT_SHARE = 4
"""A simulated holdout has one row for so many of the training file."""
USAGE, UNUSABLE = 2, 3


def train(
    training: str | os.PathLike[str], holdout: str | os.PathLike[str], out: str | os.PathLike[str], *, seed: int = 1, name: str = NAME
) -> dict[str, Any]:
    """Trains both models and writes them into a directory; each appears when it is whole.

    Args:
        training: The file to learn from.
        holdout: The file for the metrics, in the same layout; nothing is learned from it.
        out: The directory, made if missing.
        seed: The seed of all that is random.
        name: What the names of both models, and so the versions of their predictions, begin with.

    Returns:
        The paths of the models and the metrics of both.

    Raises:
        headrace.ConfigError: A file cannot be read, or the extra `train` is not installed.
        headrace.DataError: A file's layout or a value in it is wrong.
        headrace.ExternalError: A file cannot be written.
    """
    _require_packages()
    from headrace._scoring import linear, sample, trees
    from headrace._scoring.distribution import distribution

    learned, unseen = sample.read(Path(training)), sample.read(Path(holdout))
    directory = _directory(out)
    reference = linear.fit(learned, seed, f"{name}-linear")
    reference["metrics"] = sample.metrics(sample.clipped(linear.predict(reference, unseen)), unseen.targets)
    reference["holdout_sha256"] = unseen.sha256
    reference["distribution"] = distribution(learned, sample.clipped(linear.predict(reference, learned)))
    model, metadata = trees.fit(learned, seed, f"{name}-trees")
    metadata["metrics"] = sample.metrics(sample.clipped(trees.predict(model, metadata, unseen)), unseen.targets)
    metadata["holdout_sha256"] = unseen.sha256
    metadata["distribution"] = distribution(learned, sample.clipped(trees.predict(model, metadata, learned)))
    _write(directory / LINEAR, _json(reference))
    _write(directory / PRODUCTION, trees.with_metadata(model, metadata))
    _write(directory / (PRODUCTION + METADATA), _json(metadata))
    metrics = {"linear": reference["metrics"], "production": metadata["metrics"]}
    return {"linear": str(directory / LINEAR), "production": str(directory / PRODUCTION), "metrics": metrics}


def validate(out: str | os.PathLike[str], holdout: str | os.PathLike[str], *, worst_cost: float = WORST_COST) -> dict[str, Any]:
    """Checks the models of a directory as they are written: the production model against the linear one, and its cost against a bar.

    Args:
        out: The directory that `train` has written.
        holdout: The file for the metrics; none of its rows may be in the training file.
        worst_cost: The greatest error (RMSE) of the cost.

    Returns:
        The metrics of both models.

    Raises:
        headrace.ConfigError: A file cannot be read, or the extra `train` is not installed.
        headrace.DataError: A bar is missed; the message names each.
    """
    _require_packages()
    from headrace._scoring import linear, sample, trees

    directory, unseen = Path(out), sample.read(Path(holdout))
    reference = linear.load(directory / LINEAR)
    model, metadata = trees.load(directory / PRODUCTION)
    if unseen.sha256 == metadata["training_sha256"]:
        raise DataError(f"{holdout} is the file that the model was trained on: it cannot tell how good the model is")
    found = {
        "linear": sample.metrics(sample.clipped(linear.predict(reference, unseen)), unseen.targets),
        "production": sample.metrics(sample.clipped(trees.predict(model, metadata, unseen)), unseen.targets),
    }
    missed = _missed(found["linear"], found["production"], worst_cost)
    if missed:
        raise DataError(f"{directory / PRODUCTION} is not good enough: {'; '.join(missed)}")
    return found


def _missed(linear: dict[str, dict[str, float]], production: dict[str, dict[str, float]], worst_cost: float) -> list[str]:
    missed = []
    for target, one in production.items():
        bar = WORST_RATIO * linear[target]["rmse"]
        if target == "cost":
            bar = min(bar, worst_cost)
        if not one["rmse"] <= bar:
            missed.append(f"the error of {target} is {one['rmse']:.4f}, more than {bar:.4f}")
    return missed


def promote(candidate: str | os.PathLike[str], target: str | os.PathLike[str]) -> dict[str, str]:
    """Puts a model in the place of another in one step: who reads the file sees the old one or the new one, whole.

    Args:
        candidate: The model's file, which stays where it is.
        target: The file that scoring uses; its name ends as that of the candidate.

    Returns:
        The target and the hash of its content.

    Raises:
        headrace.ConfigError: The candidate cannot be read, or the names end differently.
        headrace.ExternalError: The target cannot be written.
    """
    import hashlib

    source, place = Path(candidate), Path(target)
    if source.suffix != place.suffix:
        raise ConfigError(f"{place} cannot hold {source.name}: its name must end in {source.suffix}")
    try:
        content = source.read_bytes()
        beside = source.with_name(source.name + METADATA)
        metadata = beside.read_bytes() if beside.exists() else None
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename}: {error.strerror}") from error
    _directory(place.parent)
    if metadata is not None:
        _write(place.with_name(place.name + METADATA), metadata)
    _write(place, content)
    return {"model": str(place), "sha256": hashlib.sha256(content).hexdigest()}


def simulate(rows: int, out: str | os.PathLike[str], *, seed: int = 1) -> tuple[Path, Path]:
    """Writes `training.csv` with so many rows and `holdout.csv` with a quarter, by a rule of our own.

    Args:
        rows: The rows to learn from.
        out: The directory, made if missing.
        seed: The seed; the same rows and seed make the same files.

    Returns:
        The paths of both files.

    Raises:
        headrace.ConfigError: There are too few rows, or the extra `train` is not installed.
        headrace.ExternalError: A file cannot be written.
    """
    _require_packages()
    from headrace._scoring import simulation

    if rows < 2 * HOLDOUT_SHARE:
        raise ConfigError(f"{rows} rows are too few: simulate {2 * HOLDOUT_SHARE} or more")
    directory = _directory(out)
    training, holdout = directory / "training.csv", directory / "holdout.csv"
    # Other users, drawn by another seed.
    _write(training, simulation.simulate(rows, seed))
    _write(holdout, simulation.simulate(rows // HOLDOUT_SHARE, seed + (1 << 32), simulation.FIRST_USER + rows))
    return training, holdout


def _require_packages() -> None:
    try:
        import numpy  # noqa: F401
        import onnx  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"training needs {error.name}: pip install 'headrace[train]'") from error


def _directory(path: str | os.PathLike[str]) -> Path:
    directory = Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the directory {directory}: {error.strerror}") from error
    return directory


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    """Writes a file that appears under its name when it is whole and on the disk."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise ExternalError(f"cannot write {path}: {error.strerror}") from error


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m headrace.scoring_train", description="Trains the tariff models and checks them.")
    parser.add_argument("--training", type=Path, metavar="FILE", help="the file to learn from")
    parser.add_argument("--holdout", type=Path, metavar="FILE", help="the file for the metrics")
    parser.add_argument("--simulate", type=int, metavar="ROWS", help="make both files in the output directory, by a rule of our own")
    parser.add_argument("--out", type=Path, default=Path("."), metavar="DIRECTORY", help="where the models go (default: here)")
    parser.add_argument(
        "--name", metavar="NAME", help=f"what the models' names begin with (default: {NAME}, of simulated files {SIMULATED})"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="NUMBER", help="the seed (default: 1)")
    parser.add_argument("--validate", action="store_true", help="check the bars; without --training, of models that are there")
    parser.add_argument(
        "--worst-cost", type=float, default=WORST_COST, metavar="ROUBLES", help="the bar of the cost (default: %(default)s)"
    )
    return parser


def _run(given: argparse.Namespace) -> dict[str, Any]:
    training, holdout = given.training, given.holdout
    if given.simulate is not None:
        if training or holdout:
            raise ConfigError("--simulate makes both files: leave --training and --holdout out")
        training, holdout = simulate(given.simulate, given.out, seed=given.seed)
    if holdout is None or (training is None and not given.validate):
        raise ConfigError("--training FILE and --holdout FILE are needed, or --simulate ROWS; to check only, --validate --holdout FILE")
    report: dict[str, Any] = {}
    if training is not None:
        name = given.name or (NAME if given.simulate is None else SIMULATED)
        report = train(training, holdout, given.out, seed=given.seed, name=name)
    if given.validate:
        report["metrics"] = validate(given.out, holdout, worst_cost=given.worst_cost)
        report["validated"] = True
    return report


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command line; the report is one JSON object on standard output."""
    given = _arguments().parse_args(words)
    try:
        report = _run(given)
    except HeadraceError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return USAGE if isinstance(error, ConfigError) else UNUSABLE if isinstance(error, DataError) else 1
    print(json.dumps(report, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
