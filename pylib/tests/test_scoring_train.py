"""Training the tariff models: on simulated files, and on the supplied ones where they are."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace import ConfigError, DataError, scoring_train

for package in ("numpy", "sklearn", "onnx"):
    pytest.importorskip(package, reason="headrace[train] is not installed")

from headrace._scoring import linear, sample, trees  # noqa: E402 # only with the extra

SUPPLIED = Path(__file__).parents[3] / "shared/spec/data/scoring"
ROWS = 1_200
needs_supplied = pytest.mark.skipif(not SUPPLIED.is_dir(), reason="the supplied scoring data is not there")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with simulated files and the models trained on them."""
    out = tmp_path_factory.mktemp("models")
    assert scoring_train.main(["--simulate", str(ROWS), "--out", str(out), "--seed", "7"]) == 0
    return out


def edited(source: Path, target: Path, edit: Callable[[list[list[str]]], None]) -> Path:
    """A copy of a CSV with changed cells."""
    with source.open(newline="") as file:
        rows = list(csv.reader(file))
    edit(rows)
    with target.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return target


def test_the_same_files_and_seed_give_the_same_models(models: Path, tmp_path: Path) -> None:
    training, holdout = scoring_train.simulate(ROWS, tmp_path, seed=7)
    assert training.read_bytes() == (models / "training.csv").read_bytes()
    report = scoring_train.train(training, holdout, tmp_path, seed=7, name="simulated")
    for name in (scoring_train.LINEAR, scoring_train.PRODUCTION):
        assert (tmp_path / name).read_bytes() == (models / name).read_bytes(), name
    document = json.loads((models / scoring_train.LINEAR).read_text())
    _, metadata = trees.load(models / scoring_train.PRODUCTION)
    assert metadata == json.loads((models / (scoring_train.PRODUCTION + ".json")).read_text())
    assert document["metrics"] == report["metrics"]["linear"] and metadata["metrics"] == report["metrics"]["production"]
    assert (document["name"], metadata["name"], metadata["seed"]) == ("simulated-linear", "simulated-trees", 7)
    assert document["training_sha256"] == metadata["training_sha256"] == sample.read(training).sha256
    # The rule behind the files bends with age, which the linear model cannot follow.
    assert report["metrics"]["production"]["cost"]["rmse"] < 0.95 * report["metrics"]["linear"]["cost"]["rmse"]


def test_the_models_tell_how_their_training_data_were_distributed(models: Path) -> None:
    with (models / "training.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    documents = [
        json.loads((models / scoring_train.LINEAR).read_text()),
        json.loads((models / (scoring_train.PRODUCTION + ".json")).read_text()),
    ]
    for told in (document["distribution"] for document in documents):
        assert told["rows"] == len(rows) == ROWS
        russians = sum(row["ip_country"].strip().lower() == "ru" for row in rows) / ROWS
        assert told["features"]["ip_country"]["ru"] == pytest.approx(russians, abs=1e-6)
        organic = sum(float(row["is_organic"]) for row in rows) / ROWS
        assert told["features"]["is_organic"] == {"edges": [1.0], "shares": pytest.approx([1 - organic, organic], abs=1e-6)}
        assert set(told["features"]) == {*sample.CATEGORIES, "is_organic", "child_age"} and set(told["scores"]) == set(sample.TARGETS)
        for shares in (*told["features"].values(), *told["scores"].values()):
            values = shares["shares"] if "edges" in shares else list(shares.values())
            assert sum(values) == pytest.approx(1, abs=1e-4) and all(value > 0 for value in values), shares
        assert len(told["scores"]["cost"]["shares"]) == 10
    assert documents[0]["distribution"]["scores"] != documents[1]["distribution"]["scores"]


def test_an_unknown_category_adds_nothing(models: Path, tmp_path: Path) -> None:
    def spoil(rows: list[list[str]]) -> None:
        for row in rows[1:]:
            row[rows[0].index("smartphone_brand")] = "Nobody's"

    document = linear.load(models / scoring_train.LINEAR)
    unknown = sample.read(edited(models / "holdout.csv", tmp_path / "unknown.csv", spoil))
    known = sample.read(models / "holdout.csv")
    names = sample.columns(document["vocabulary"])
    brand = [index for index, name in enumerate(names) if name.startswith("smartphone_brand=")]
    features = known.features(document["vocabulary"])
    features[:, brand] = 0
    assert (unknown.features(document["vocabulary"]) == features).all()


def test_files_of_another_layout_are_refused_by_line(models: Path, tmp_path: Path) -> None:
    def cell(name: str, value: str) -> Callable[[list[list[str]]], None]:
        def edit(rows: list[list[str]]) -> None:
            rows[4][rows[0].index(name)] = value

        return edit

    def refused(name: str, value: str) -> str:
        path = edited(models / "training.csv", tmp_path / "bad.csv", cell(name, value))
        with pytest.raises(DataError) as caught:
            scoring_train.train(path, models / "holdout.csv", tmp_path / "out")
        return str(caught.value)

    assert "line 5: child_age is 121" in refused("child_age", "121")
    assert "line 5: cost is no number" in refused("cost", "dear")
    assert "line 5: cost is nan" in refused("cost", "nan")
    assert "line 5: platform is empty" in refused("platform", " ")
    path = edited(models / "training.csv", tmp_path / "bad.csv", lambda rows: rows[0].reverse())
    with pytest.raises(DataError, match="the header must be user_id,ip_country"):
        scoring_train.train(path, models / "holdout.csv", tmp_path / "out")
    with pytest.raises(ConfigError, match="absent.csv"):
        scoring_train.train(tmp_path / "absent.csv", models / "holdout.csv", tmp_path / "out")


def test_a_model_that_misses_a_bar_is_told_and_not_promoted(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--validate", "--holdout", str(models / "holdout.csv"), "--out", str(models)]
    assert scoring_train.main([*words, "--worst-cost", "5"]) == 3
    assert "the error of cost is" in capsys.readouterr().err
    assert scoring_train.main([*words, "--worst-cost", "40"]) == 0
    assert json.loads(capsys.readouterr().out)["validated"] is True
    with pytest.raises(DataError, match="was trained on"):
        scoring_train.validate(models, models / "training.csv")
    assert scoring_train.main(["--out", str(models)]) == 2


def test_promotion_replaces_the_file_as_a_whole(models: Path, tmp_path: Path) -> None:
    target = tmp_path / "serving" / "model.onnx"
    for _ in range(2):
        promoted = scoring_train.promote(models / scoring_train.PRODUCTION, target)
        assert promoted["model"] == str(target)
        assert target.read_bytes() == (models / scoring_train.PRODUCTION).read_bytes()
    assert sorted(path.name for path in target.parent.iterdir()) == ["model.onnx", "model.onnx.json"]
    with pytest.raises(ConfigError, match="must end in .onnx"):
        scoring_train.promote(models / scoring_train.PRODUCTION, tmp_path / "model.json")


def test_onnx_runtime_computes_what_we_compute(models: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    import numpy as np

    model, metadata = trees.load(models / scoring_train.PRODUCTION)
    holdout = sample.read(models / "holdout.csv")
    session = runtime.InferenceSession(str(models / scoring_train.PRODUCTION))
    (scores,) = session.run(None, {trees.INPUT: holdout.features(metadata["vocabulary"]).astype(np.float32)})
    assert np.abs(scores - trees.predict(model, metadata, holdout)).max() < 1e-3


@needs_supplied
def test_supplied_files_give_the_reference_model_and_pass_the_bars(tmp_path: Path) -> None:
    import numpy as np

    report = scoring_train.train(SUPPLIED / "training.csv", SUPPLIED / "holdout.csv", tmp_path)
    expected = json.loads((SUPPLIED / "expected_metrics.json").read_text())
    for target, metrics in expected.items():
        for name, value in metrics.items():
            assert report["metrics"]["linear"][target][name] == pytest.approx(value, abs=0.002), (target, name)
    # Predictions are compared, not weights: several groups of columns are collinear.
    holdout = sample.read(SUPPLIED / "holdout.csv")
    ours = linear.predict(linear.load(tmp_path / scoring_train.LINEAR), holdout)
    theirs = linear.predict(linear.load(SUPPLIED / "reference_model.json"), holdout)
    assert np.abs(ours - theirs).max() < 1e-6
    assert (
        linear.load(tmp_path / scoring_train.LINEAR)["vocabulary"]
        == json.loads((SUPPLIED / "reference_model.json").read_text())["vocabulary"]
    )
    scoring_train.validate(tmp_path, SUPPLIED / "holdout.csv")
    assert report["metrics"]["production"]["cost"]["rmse"] <= 20.5
