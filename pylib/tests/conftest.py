"""What the tests share: simulated files, an embedded store that holds them, Python programs of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace import recruitment

ROWS = 20_000


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a simulated tracking.csv and job.csv."""
    directory = tmp_path_factory.mktemp("files")
    assert recruitment.simulate(directory, rows=ROWS, jobs=50).written >= ROWS
    return directory


@pytest.fixture
def store(files: Path, tmp_path: Path) -> Path:
    """An embedded store whose topic holds all rows, none of them cleaned."""
    directory = tmp_path / "store"
    assert recruitment.load(files / "tracking.csv", to=directory).written == ROWS
    assert recruitment.jobs(files / "job.csv", to=directory).written == 50
    assert recruitment.replay(from_=directory, to=directory).written == ROWS
    return directory


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python program with arguments, its output in pipes; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str, *arguments: object) -> subprocess.Popen[str]:
        file = tmp_path / "program.py"
        file.write_text(text, encoding="utf-8")
        line = [sys.executable, str(file), *map(str, arguments)]
        started.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
