"""The scoring DAGs in a real Airflow, on embedded stores: training up to the promoted model, and a drain that uses it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow_dag_test import DAGS, reports, run_dag

REGISTRATIONS = 500
HEAVY = ("headrace._native", "headrace.scoring", "numpy", "sklearn", "onnx")

PARSE = """
import sys, time
import airflow.sdk
from airflow.sdk import Asset, Param, dag, task
started = time.process_time()
sys.path.insert(0, sys.argv[1])
import scoring
print(time.process_time() - started, sorted(set(sys.modules) & set(sys.argv[2:])))
"""


@pytest.fixture(scope="module")
def trainer() -> dict[str, str]:
    """The environment of a Python that can train: the one that HEADRACE_PYTHON names, else this one."""
    python = os.environ.get("HEADRACE_PYTHON", sys.executable)
    line = [python, "-c", "import headrace.scoring_train, numpy, onnx, sklearn"]
    if subprocess.run(line, capture_output=True).returncode != 0:
        pytest.skip(f"{python} has no headrace[train]")
    return {"HEADRACE_PYTHON": python}


def test_parsing_loads_no_compiled_code() -> None:
    run = subprocess.run([sys.executable, "-c", PARSE, str(DAGS), *HEAVY], capture_output=True, text=True, check=True)
    seconds, heavy = run.stdout.splitlines()[-1].split(maxsplit=1)
    assert heavy == "[]"
    assert float(seconds) < 1


def test_a_drain_on_the_embedded_defaults_and_a_second_run(tmp_path: Path) -> None:
    store = f"embedded:{tmp_path / 'store'}"
    conf: dict[str, object] = {"log": store, "offers": store, "registrations": REGISTRATIONS}
    code, output = run_dag(conf, dag="scoring")
    assert code == 0, output
    found = reports()
    assert set(found) == {"send", "score", "verify"}
    assert found["score"]["read"] == found["score"]["written"] == REGISTRATIONS
    assert found["verify"]["outcome"] == "complete"

    code, output = run_dag(conf | {"registrations": 0}, dag="scoring")
    assert code == 0, output
    found = reports()
    assert "send" not in found and found["score"]["read"] == 0 and found["verify"]["outcome"] == "complete"


def test_training_is_validated_and_promoted_and_the_drain_uses_it(tmp_path: Path, trainer: dict[str, str]) -> None:
    model = tmp_path / "serving" / "model.onnx"
    conf: dict[str, object] = {"candidates": str(tmp_path / "models"), "model": str(model), "rows": 2_000, "worst_cost": 30.0}
    code, output = run_dag(conf, trainer, "scoring_train")
    assert code == 0, output
    found = reports()
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert found["promote"] == {"model": str(model), "sha256": digest}
    facts = found["validate"]["facts"]
    assert isinstance(facts, dict) and facts["production cost rmse"] < facts["linear cost rmse"] and facts["validated"] is True

    store = f"embedded:{tmp_path / 'store'}"
    code, output = run_dag({"log": store, "offers": store, "registrations": 50, "model": str(model)}, dag="scoring")
    assert code == 0, output
    assert reports()["score"]["written"] == 50
    assert digest[:12] in json.dumps(reports()["score"]["facts"])


def test_a_model_that_misses_a_bar_is_not_promoted(tmp_path: Path, trainer: dict[str, str]) -> None:
    model = tmp_path / "serving" / "model.onnx"
    conf: dict[str, object] = {"candidates": str(tmp_path / "models"), "model": str(model), "rows": 1_000, "worst_cost": 1.0}
    code, output = run_dag(conf, trainer, "scoring_train")
    assert code != 0 and "the error of cost is" in output and "AirflowFailException" in output, output
    assert "promote" not in reports() and not model.exists()
