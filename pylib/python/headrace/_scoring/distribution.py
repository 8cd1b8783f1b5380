"""How training data were distributed, as a model's metadata tell it: what scoring compares registrations with, to see drift.

Shares of every category, of ranges of age, and of the ranges between the deciles of each prediction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace._scoring.sample import CATEGORIES, TARGETS, Numbers, Sample

AGES = (3.0, 6.0, 9.0, 12.0, 15.0)
"""Where ranges of age begin."""
DIGITS = 6
EDGE_DIGITS = 3


def distribution(sample: Sample, predicted: Numbers) -> dict[str, Any]:
    """The shares of a training file's rows, and of the predictions of them, which are clipped."""
    rows = len(sample.categories)
    features: dict[str, Any] = {}
    for index, field in enumerate(CATEGORIES):
        words, counts = np.unique(np.array([row[index] for row in sample.categories]), return_counts=True)
        features[field] = {str(word): round(int(count) / rows, DIGITS) for word, count in zip(words, counts, strict=True)}
    features["is_organic"] = _ranges(sample.is_organic, np.array([1.0]))
    features["child_age"] = _ranges(sample.age, np.array(AGES))
    # What scoring compares has single precision.
    scores = predicted.astype(np.float32).astype(np.float64)
    deciles = np.linspace(0.1, 0.9, 9)
    return {
        "rows": rows,
        "features": features,
        "scores": {target: _ranges(scores[:, index], np.quantile(scores[:, index], deciles)) for index, target in enumerate(TARGETS)},
    }


def _ranges(values: Numbers, edges: NDArray[np.float64]) -> dict[str, list[float]]:
    """Shares of the ranges that begin at edges; a range where nothing could be is left out."""
    rounded = np.unique(edges.round(EDGE_DIGITS))
    kept = rounded[(rounded > values.min()) & (rounded <= values.max())]
    counts = np.bincount(np.searchsorted(kept, values, side="right"), minlength=len(kept) + 1)
    return {"edges": kept.tolist(), "shares": [round(int(count) / len(values), DIGITS) for count in counts]}
