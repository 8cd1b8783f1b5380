"""Makes the files beside it: a small model of our own trainer, and what ONNX Runtime computes with it.

Needs `headrace[train]` and onnxruntime. Run it from anywhere; it is only needed again when the format of models changes.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

from headrace import scoring_train
from headrace._scoring import sample, trees

HERE = Path(__file__).parent
ROWS = 40


def main() -> None:
    """Writes model.onnx and expected.jsonl."""
    few = trees.Boosting(trees=6, depth=3, rate=0.3)
    trees.BOOSTING, trees.FUNCTION = {"cost": few}, trees.Boosting(trees=3, depth=2, rate=0.3)
    with tempfile.TemporaryDirectory() as directory:
        training, holdout = scoring_train.simulate(800, directory, seed=3)
        scoring_train.train(training, holdout, directory, seed=3, name="fixture")
        unseen = sample.read(holdout)
        content = (Path(directory) / scoring_train.PRODUCTION).read_bytes()
    model = HERE / "model.onnx"
    model.write_bytes(content)
    _, metadata = trees.load(model)
    # One with a brand that training never saw.
    unseen.categories[0] = (*unseen.categories[0][:5], "nobody", unseen.categories[0][6])
    features = unseen.features(metadata["vocabulary"]).astype(np.float32)[:ROWS]
    (scores,) = onnxruntime.InferenceSession(str(model)).run(None, {trees.INPUT: features})
    with (HERE / "expected.jsonl").open("w") as file:
        for row, raw in enumerate(scores):
            payload = dict(zip(sample.CATEGORIES, unseen.categories[row], strict=True))
            payload |= {"user_id": str(row + 1), "is_organic": int(unseen.is_organic[row]), "child_age": int(unseen.age[row])}
            file.write(json.dumps({"payload": payload, "raw": [float(value) for value in raw]}) + "\n")


if __name__ == "__main__":
    main()
