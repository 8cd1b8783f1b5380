"""The reference model `tariff-linear-1`: ridge regression on the feature vector, each target by itself, intercept not penalised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from headrace._scoring.sample import TARGETS, Numbers, Sample, columns, described
from headrace.errors import ConfigError, DataError

FORMAT = "tariff-linear-1"
ALPHA = 1.0
DIGITS = 10
"""Weights are rounded to so many decimals: the last bits depend on the number of threads, the file must not."""


def fit(sample: Sample, seed: int, name: str) -> dict[str, Any]:
    """Trains the model of a name: w = (XᵀX + alpha·D)⁻¹Xᵀy, D = identity without the intercept."""
    vocabulary = sample.vocabulary()
    matrix = sample.features(vocabulary)
    penalty = ALPHA * np.eye(matrix.shape[1])
    penalty[0, 0] = 0
    weights = np.linalg.solve(matrix.T @ matrix + penalty, matrix.T @ sample.targets)
    return {
        "format": FORMAT,
        "name": name,
        "alpha": ALPHA,
        "vocabulary": vocabulary,
        "columns": columns(vocabulary),
        "weights": {target: (weights[:, index].round(DIGITS) + 0.0).tolist() for index, target in enumerate(TARGETS)},
        **described(sample, seed, ["numpy"]),
    }


def load(path: Path) -> dict[str, Any]:
    """Reads a model that `fit` made.

    Raises:
        headrace.ConfigError: The file cannot be read.
        headrace.DataError: It is no such model.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is no model: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DataError(f"{path} is no model of the format {FORMAT}")
    return document


def predict(document: dict[str, Any], sample: Sample) -> Numbers:
    """The predictions before they are clipped: rows by TARGETS."""
    weights: Numbers = np.array([document["weights"][target] for target in TARGETS])
    return sample.features(document["vocabulary"]) @ weights.T
