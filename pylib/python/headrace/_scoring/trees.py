"""The production model: boosted regression trees, all targets in one ONNX file with one input and one output.

The graph is one `TreeEnsembleRegressor`: rows of the feature vector in, eight raw predictions out (they are clipped where they are used).
What the model is (name, training data, feature schema, metrics) is in the file's own properties, so that the file alone can be
promoted, and once more as JSON beside it, for people.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.ensemble import GradientBoostingRegressor

from headrace._scoring.sample import TARGETS, Numbers, Sample, columns, described
from headrace.errors import ConfigError, DataError

FORMAT = "tariff-onnx-1"
PROPERTY = "headrace"
"""The property of the ONNX file that holds the metadata."""
INPUT, OUTPUT = "features", "scores"
IR_VERSION, OPSET, ML_OPSET = 8, 17, 3


@dataclass(frozen=True)
class Boosting:
    """How one target is learned."""

    trees: int
    depth: int
    rate: float


BOOSTING = {"cost": Boosting(trees=100, depth=3, rate=0.15), "subscription": Boosting(trees=80, depth=2, rate=0.2)}
FUNCTION = Boosting(trees=40, depth=2, rate=0.15)
"""Few and shallow trees are as good as more, and quicker: by cross-validation, which later trees no longer improve."""
SMALLEST_LEAF = 10


def fit(sample: Sample, seed: int, name: str) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Trains the model of a name; the same sample and seed give the same file. Also its metadata, which has no metrics yet."""
    vocabulary = sample.vocabulary()
    # What scoring sees has single precision, and so have the trees' thresholds.
    matrix = sample.features(vocabulary).astype(np.float32)
    nodes = _Nodes()
    base = []
    for index, target in enumerate(TARGETS):
        shape = BOOSTING.get(target, FUNCTION)
        model = GradientBoostingRegressor(
            n_estimators=shape.trees,
            max_depth=shape.depth,
            learning_rate=shape.rate,
            min_samples_leaf=SMALLEST_LEAF,
            random_state=seed,
        )
        model.fit(matrix, sample.targets[:, index])
        base.append(float(np.mean(sample.targets[:, index])))
        for tree in model.estimators_[:, 0]:
            nodes.add(tree.tree_, index, shape.rate)
    metadata = {
        "format": FORMAT,
        "name": name,
        "targets": list(TARGETS),
        "columns": columns(vocabulary),
        "vocabulary": vocabulary,
        **described(sample, seed, ["numpy", "scikit-learn", "onnx"]),
    }
    return _model(nodes, base, matrix.shape[1]), metadata


class _Nodes:
    """The attributes of a `TreeEnsembleRegressor`, filled tree by tree."""

    def __init__(self) -> None:
        self.trees = 0
        self.nodes: dict[str, list[Any]] = {
            name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
        }
        self.leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}

    def add(self, tree: Any, target: int, rate: float) -> None:
        for node in range(tree.node_count):
            left, right = int(tree.children_left[node]), int(tree.children_right[node])
            is_leaf = left < 0
            row = {
                "treeids": self.trees,
                "nodeids": node,
                "featureids": 0 if is_leaf else int(tree.feature[node]),
                "values": 0.0 if is_leaf else float(tree.threshold[node]),
                "modes": "LEAF" if is_leaf else "BRANCH_LEQ",
                "truenodeids": max(left, 0),
                "falsenodeids": max(right, 0),
            }
            for name, value in row.items():
                self.nodes[name].append(value)
            if is_leaf:
                leaf = {"treeids": self.trees, "nodeids": node, "ids": target, "weights": rate * float(tree.value[node, 0, 0])}
                for name, value in leaf.items():
                    self.leaves[name].append(value)
        self.trees += 1


def _model(nodes: _Nodes, base: list[float], width: int) -> onnx.ModelProto:
    attributes: dict[str, Any] = {f"nodes_{name}": values for name, values in nodes.nodes.items()}
    attributes |= {f"target_{name}": values for name, values in nodes.leaves.items()}
    node = helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        [OUTPUT],
        name="trees",
        domain="ai.onnx.ml",
        n_targets=len(TARGETS),
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=base,
        **attributes,
    )
    rows = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", width])
    scores = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", len(TARGETS)])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    graph = helper.make_graph([node], "tariff", [rows], [scores])
    model = helper.make_model(graph, opset_imports=opsets, producer_name="headrace", ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def with_metadata(model: onnx.ModelProto, metadata: dict[str, Any]) -> bytes:
    """The file, with its metadata in it."""
    helper.set_model_props(model, {PROPERTY: json.dumps(metadata, ensure_ascii=False, sort_keys=True)})
    return bytes(model.SerializeToString(deterministic=True))


def load(path: Path) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Reads a model that `fit` made, with its metadata.

    Raises:
        headrace.ConfigError: The file cannot be read.
        headrace.DataError: It is no such model.
    """
    try:
        model = onnx.load_from_string(path.read_bytes())
        metadata = json.loads(next(one.value for one in model.metadata_props if one.key == PROPERTY))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # the parser's own classes differ between versions of protobuf
        raise DataError(f"{path} is no model of the format {FORMAT}: {error!r}") from error
    if metadata.get("format") != FORMAT or [node.op_type for node in model.graph.node] != ["TreeEnsembleRegressor"]:
        raise DataError(f"{path} is no model of the format {FORMAT}")
    return model, metadata


def predict(model: onnx.ModelProto, metadata: dict[str, Any], sample: Sample) -> Numbers:
    """The predictions of the file as it is written, before they are clipped: rows by TARGETS."""
    given = {one.name: helper.get_attribute_value(one) for one in model.graph.node[0].attribute}
    matrix = sample.features(metadata["vocabulary"]).astype(np.float32)
    sums = np.tile(np.array(given["base_values"], dtype=np.float64), (len(matrix), 1))
    for tree in _trees(given):
        leaf = np.zeros(len(matrix), dtype=np.int64)
        for _ in range(len(tree.feature)):
            on = ~tree.is_leaf[leaf]
            if not on.any():
                break
            at = leaf[on]
            goes_left = matrix[on, tree.feature[at]] <= tree.threshold[at]
            leaf[on] = np.where(goes_left, tree.left[at], tree.right[at])
        sums[:, tree.target] += tree.weight[leaf]
    return sums


@dataclass(frozen=True)
class _Tree:
    """One tree as arrays by node."""

    is_leaf: NDArray[np.bool_]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    weight: Numbers
    target: int


def _trees(given: dict[str, Any]) -> Iterator[_Tree]:
    """The trees of a file of ours: nodes in order, one leaf weight for each leaf."""
    tree_ids = np.array(given["nodes_treeids"])
    leaf_tree_ids = np.array(given["target_treeids"])
    is_leaf = np.array([mode == b"LEAF" for mode in given["nodes_modes"]])
    thresholds = np.array(given["nodes_values"], dtype=np.float32)
    features, left, right = (np.array(given[f"nodes_{name}"]) for name in ("featureids", "truenodeids", "falsenodeids"))
    leaf_nodes, targets, weights = (np.array(given[f"target_{name}"]) for name in ("nodeids", "ids", "weights"))
    for tree in range(int(tree_ids[-1]) + 1):
        own, leaves = slice(*np.searchsorted(tree_ids, [tree, tree + 1])), slice(*np.searchsorted(leaf_tree_ids, [tree, tree + 1]))
        weight = np.zeros(len(tree_ids[own]))
        weight[leaf_nodes[leaves]] = weights[leaves]
        yield _Tree(is_leaf[own], features[own], thresholds[own], left[own], right[own], weight, int(targets[leaves][0]))
