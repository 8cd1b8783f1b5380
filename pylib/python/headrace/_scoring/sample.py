"""Training data: reading it, the feature vector of both models, and how good predictions are.

Categories are compared trimmed and in lower case, here as in scoring. A category outside the vocabulary is all zeros.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from headrace.errors import ConfigError, DataError

Numbers: TypeAlias = "NDArray[np.float64]"
Vocabulary: TypeAlias = "Mapping[str, Sequence[str]]"

CATEGORIES = ("ip_country", "device_country", "device_language", "platform", "platform_store", "smartphone_brand", "child_smartphone_brand")
"""The categorical fields, in the order of the feature vector."""
TARGETS = (
    "cost",
    "subscription",
    "function_map",
    "function_ignore_sound",
    "function_listen_sound",
    "function_detailed_routes",
    "function_sos_signal",
    "function_invite_second_parent",
)
"""What is predicted, in the order of every model's outputs."""
HEADER = (
    "user_id",
    *("ip_country", "device_country", "device_language", "platform", "platform_store", "smartphone_brand"),
    *("is_organic", "child_age", "child_smartphone_brand"),
    *TARGETS,
)
"""The columns of a training file."""
FIRST_FUNCTION = 2
OLDEST = 18
LOWEST = np.array([0.0, 1.0, *[0.0] * 6])
HIGHEST = np.array([np.inf, 12.0, *[1.0] * 6])


@dataclass(frozen=True)
class Sample:
    """The rows of one file."""

    categories: list[tuple[str, ...]]
    """By row, in the order of CATEGORIES."""
    is_organic: Numbers
    age: Numbers
    """Years, at most OLDEST."""
    targets: Numbers
    """Rows by TARGETS."""
    sha256: str
    """Of the file."""

    def vocabulary(self) -> dict[str, list[str]]:
        """The categories that occur, sorted, by field."""
        return {field: sorted({row[index] for row in self.categories}) for index, field in enumerate(CATEGORIES)}

    def features(self, vocabulary: Vocabulary) -> Numbers:
        """The feature vectors: rows by `columns(vocabulary)`."""
        blocks = [np.ones(len(self.age)), self.is_organic, self.age / OLDEST]
        for index, field in enumerate(CATEGORIES):
            values = np.array([row[index] for row in self.categories])
            blocks += [(values == word).astype(np.float64) for word in vocabulary[field]]
        return np.column_stack(blocks)


def columns(vocabulary: Vocabulary) -> list[str]:
    """The names of the feature vector's columns."""
    return ["intercept", "is_organic", f"child_age/{OLDEST}", *(f"{field}={word}" for field in CATEGORIES for word in vocabulary[field])]


def read(path: Path) -> Sample:
    """Reads a training file.

    Raises:
        headrace.ConfigError: It cannot be read.
        headrace.DataError: Its layout or a value is wrong; the message names the line.
    """
    try:
        content = path.read_bytes()
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        if rows.fieldnames is None or tuple(rows.fieldnames) != HEADER:
            raise DataError(f"{path}: the header must be {','.join(HEADER)}")
        categories: list[tuple[str, ...]] = []
        numbers: list[list[float]] = []
        for row in rows:
            place = f"{path}, line {rows.line_num}"
            categories.append(_categories(row, place))
            numbers.append([_number(row, name, place) for name in ("is_organic", "child_age", *TARGETS)])
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV in UTF-8: {error}") from error
    if len(numbers) < 2:
        raise DataError(f"{path} has {len(numbers)} rows: nothing can be learned from them")
    table = np.array(numbers)
    digest = hashlib.sha256(content).hexdigest()
    return Sample(categories, table[:, 0], np.minimum(table[:, 1], OLDEST), table[:, 2:], digest)


def _categories(row: Mapping[str, str | None], place: str) -> tuple[str, ...]:
    found = tuple((row[field] or "").strip().lower() for field in CATEGORIES)
    if "" in found:
        raise DataError(f"{place}: {CATEGORIES[found.index('')]} is empty")
    return found


_RANGES = {"is_organic": (0.0, 1.0), "child_age": (0.0, 120.0)}


def _number(row: Mapping[str, str | None], name: str, place: str) -> float:
    text = row[name]
    try:
        number = float(text or "")
    except ValueError:
        raise DataError(f"{place}: {name} is no number: {text!r}") from None
    low, high = _RANGES.get(name, (0.0, 1e9))
    if not low <= number <= high:
        raise DataError(f"{place}: {name} is {text}, not from {low:g} to {high:g}")
    return number


def clipped(raw: Numbers) -> Numbers:
    """Predictions brought into the range of each target."""
    return np.clip(raw, LOWEST, HIGHEST)


def metrics(predicted: Numbers, truth: Numbers) -> dict[str, dict[str, float]]:
    """How good predictions are, by target: errors beside those of a constant, hits at one half for functions."""
    found: dict[str, dict[str, float]] = {}
    for index, target in enumerate(TARGETS):
        predictions, values = predicted[:, index], truth[:, index]
        squared, spread = float(np.mean((predictions - values) ** 2)), float(np.var(values))
        one = {"rmse": squared**0.5, "r2": 1 - squared / spread if spread else 0.0, "baseline_rmse": spread**0.5}
        if index >= FIRST_FUNCTION:
            share = float(np.mean(values > 0.5))
            one |= {"accuracy": float(np.mean((predictions > 0.5) == (values > 0.5))), "majority": max(share, 1 - share)}
        found[target] = {name: round(value, 6) for name, value in one.items()}
    return found


def described(sample: Sample, seed: int, packages: Sequence[str]) -> dict[str, Any]:
    """What a model's metadata says about how it was made."""
    import importlib.metadata
    import platform

    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "training_sha256": sample.sha256,
        "training_rows": len(sample.categories),
        "seed": seed,
        "versions": {"python": platform.python_version(), **versions},
    }
