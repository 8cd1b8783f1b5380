"""Trains the models of the peers on a training file: `fit.py TRAINING.csv linear.joblib trees.joblib`.

`linear.joblib` is one-hot encoding and ridge regression, `trees.joblib` histogram boosting, a model for each target; both are
scikit-learn's own, as a notebook has them, with the settings of the models that Headrace trains.
"""

from __future__ import annotations

import sys

import joblib
import numpy as np
import pandas
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from python_peer import CATEGORIES, OLDEST, TARGETS


def main() -> None:
    training, linear, trees = sys.argv[1:]
    table = pandas.read_csv(training, keep_default_na=False)
    rows = np.empty((len(table), 9), dtype=object)
    for column, field in enumerate(CATEGORIES):
        rows[:, column] = table[field].str.strip().str.lower()
    rows[:, 7] = table["is_organic"]
    rows[:, 8] = table["child_age"].clip(upper=OLDEST) / OLDEST
    targets = table[list(TARGETS)].to_numpy(dtype=float)
    words = list(range(len(CATEGORIES)))
    one_hot = ColumnTransformer([("words", OneHotEncoder(handle_unknown="ignore"), words)], remainder="passthrough", sparse_threshold=0)
    joblib.dump(make_pipeline(one_hot, Ridge(alpha=1.0)).fit(rows, targets), linear)
    numbers = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    ordinal = ColumnTransformer([("words", numbers, words)], remainder="passthrough")
    boosted = HistGradientBoostingRegressor(max_iter=100, max_depth=3, learning_rate=0.15, min_samples_leaf=10, random_state=1)
    joblib.dump(make_pipeline(ordinal, MultiOutputRegressor(boosted)).fit(rows, targets), trees)


if __name__ == "__main__":
    main()
