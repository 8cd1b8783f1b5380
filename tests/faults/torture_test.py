"""The program that knows every input row, against the golden files; the checker, against stores that are wrong; and a short
torture of the command built for tests."""

import json
import os
import pathlib
import sqlite3
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "faults"))
import checker  # noqa: E402 (beside this file, not installed)
import oracle  # noqa: E402

GOLDEN = ROOT / "workers" / "pipelines" / "tests" / "golden" / "recruitment"
COMMAND = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "headrace"


class Place:
    is_one_transaction = True

    def __init__(self, folder):
        self.raw = self.log = self.result = self.jobs = f"embedded:{folder}"


def golden(name):
    return (GOLDEN / name).read_text()


@pytest.fixture
def expected():
    return oracle.Expected(GOLDEN / "edge_tracking.csv", GOLDEN / "edge_job.csv")


def test_the_oracle_gives_the_golden_files(expected):
    assert expected.hourly_csv() == golden("edge_expected_hourly.csv")
    assert expected.unattributed_csv() == golden("edge_expected_unattributed_hourly.csv")
    letters = [line.split(",")[:2] for line in golden("edge_expected_dead_letter.csv").splitlines()[1:]]
    assert [[str(record), reason] for record, reason in expected.letters.items()] == letters
    messages = [json.loads(line) for line in golden("edge_expected_messages.jsonl").splitlines()]
    assert {message["event_id"]: message["ts"] for message in messages} == {
        key: event[0] for key, event in expected.events.items()
    }
    quality = json.loads(golden("edge_expected_quality.json"))
    assert (expected.read, expected.stored, expected.duplicates) == (28, 18, quality["duplicate"])
    assert expected.classes["counted"] == quality["counted"]


def headrace(*words):
    subprocess.run([COMMAND, "recruitment", *map(str, words), "--quiet"], check=False)


@pytest.mark.skipif(not COMMAND.exists(), reason="the command is not built for tests: cargo build --bin headrace")
def test_the_checker_tells_lost_doubled_and_made_up(expected, tmp_path):
    store = tmp_path / "store"
    place = Place(store)
    headrace("load", GOLDEN / "edge_tracking.csv", "--to", place.raw)
    headrace("jobs", GOLDEN / "edge_job.csv", "--to", place.jobs)
    headrace("replay", "--from", place.raw, "--to", place.log)
    headrace("clean", "--from", place.log, "--to", place.result)
    verdict = checker.check(COMMAND, place, expected, tmp_path)
    assert verdict.is_right(), str(verdict)
    database = next(path for path in store.iterdir() if path.suffix == ".sqlite" and path.stem != "groups")
    # Each is added to those before it; the third moves three clicks that are right and three that are not.
    wrongs = {
        "DELETE FROM tracking WHERE rowid = (SELECT min(rowid) FROM tracking)": (1, 0, 0),
        "UPDATE result SET clicks = clicks + 3 WHERE job_id = 11": (1, 3, 0),
        "UPDATE result SET job_id = 12 WHERE job_id = 11": (4, 0, 6),
    }
    for sql, found in wrongs.items():
        with sqlite3.connect(database) as connection:
            connection.execute(sql)
        verdict = checker.check(COMMAND, place, expected, tmp_path)
        assert (verdict.lost, verdict.doubled, verdict.phantom) == found, f"{sql}: {verdict}"


@pytest.mark.skipif(not COMMAND.exists(), reason="the command is not built for tests: cargo build --bin headrace")
def test_a_short_torture_loses_and_doubles_nothing():
    words = ["--command", COMMAND, "--kills", "6", "--stops", "2", "--rows", "3000"]
    ended = subprocess.run([sys.executable, ROOT / "tests" / "torture.py", *words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "6 kills" in ended.stdout and "nothing lost" in ended.stdout
