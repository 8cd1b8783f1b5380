"""Importing is light: no thread, no compiled code, nothing heavy; and it is typed."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import headrace
from headrace import _native

PROGRAM = """
import json, os, sys, time
started = time.perf_counter()
import headrace
light = sorted(sys.modules)
seconds = time.perf_counter() - started
threads = len(os.listdir("/proc/self/task"))
from headrace import _native
_native.describe()
print(json.dumps([light, seconds, threads, len(os.listdir("/proc/self/task"))]))
"""


def test_importing_starts_no_thread_and_loads_nothing_heavy() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    modules, seconds, threads, threads_with_native = json.loads(run.stdout)
    assert threads == threads_with_native == 1
    heavy = {"asyncio", "airflow", "multiprocessing", "numpy", "pandas", "polars", "pyarrow", "headrace._native", "headrace.airflow"}
    assert not heavy & set(modules)
    assert seconds < 1


def test_version_and_type_marker() -> None:
    assert headrace.__version__ == _native.version == importlib.metadata.version("headrace")
    # Only what an extra brings: the package itself needs nothing.
    assert all("extra ==" in requirement for requirement in importlib.metadata.requires("headrace") or [])
    package = Path(headrace.__file__).parent
    assert (package / "py.typed").exists() and (package / "_native.pyi").exists()


def test_everything_public_has_a_docstring() -> None:
    for module in (headrace, headrace.recruitment, headrace.transforms):
        assert module.__doc__
        for name in module.__all__:
            assert getattr(module, name).__doc__, name
    assert _native.run_step.__doc__ and _native.ArrowTable.__doc__


def test_strict_types() -> None:
    root = Path(__file__).parents[1]
    line = [sys.executable, "-m", "mypy", "--config-file", root / "pyproject.toml"]
    run = subprocess.run(line, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
