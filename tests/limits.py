#!/usr/bin/env python3
"""`./run limits`: large inputs under a memory limit, and keys that hold half of everything.

- memory: ROWS simulated records through load, jobs, replay and clean on the embedded store, each step in 512 MB, with the right
  result: the counts the simulation knows, and `verify` (which holds ids in memory and runs outside the limit).
- skew: the same number of rows with even keys, with half of them of one job, and with half of them in one hour, on the embedded
  store or on the stores given; the slower may take three times as long.

The limit is a control group's where this is allowed (as root; version 1 or 2), else the size of data segments (RLIMIT_DATA).
"""

import argparse
import csv
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

MEBI = 1 << 20
TICKS_OF_1970 = 0x01B21DD213814000


class Group:
    """A control group with a memory limit, or nothing where it cannot be made."""

    def __init__(self, limit):
        name = f"headrace-limits-{os.getpid()}"
        self.path = None
        for root, file, extra in (
            ("/sys/fs/cgroup", "memory.max", "memory.swap.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", None),
        ):
            path = Path(root) / name
            try:
                path.mkdir()
                (path / file).write_text(str(limit))
                if extra and (path / extra).exists():
                    (path / extra).write_text("0")
                self.path = path
                return
            except OSError:
                if path.exists():
                    path.rmdir()

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def close(self):
        if self.path:
            self.path.rmdir()


class Runner:
    """Runs steps, one process each, and tells what they took."""

    def __init__(self, command, folder):
        self.command, self.folder = command, folder

    def step(self, words, group=None, limit=None, codes=(0,)):
        def confine():
            if group and group.path:
                group.enter()
            elif limit:
                resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

        begun = time.monotonic()
        line = [self.command, "recruitment", *map(str, words), "--json", "--quiet"]
        process = subprocess.Popen(line, cwd=self.folder, stdout=subprocess.PIPE, preexec_fn=confine)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begun
        if process.returncode not in codes:
            raise SystemExit(f"{' '.join(line)} ended with {process.returncode}")
        report = json.loads(output)
        print(
            f"  {words[0]:<9} {seconds:8.1f} s {report['read'] / max(seconds, 0.001):12,.0f} rows/s"
            f" {usage.ru_utime + usage.ru_stime:8.1f} CPU-s {usage.ru_maxrss / 1024:8.0f} MiB at most",
            flush=True,
        )
        return report, seconds


def memory(runner, rows, limit):
    """Everything within the limit; tells whether the result is right."""
    group = Group(limit)
    kind = f"control group {group.path}" if group.path else "RLIMIT_DATA"
    print(f"memory: {rows:,} rows, {limit // MEBI} MiB by {kind}", flush=True)
    store = "embedded:store?sync=normal"
    within = {"group": group, "limit": limit}
    try:
        simulated, _ = runner.step(["simulate", "in", "--rows", rows, "--defects", "0.0005"])
        loaded, _ = runner.step(["load", "in/tracking.csv", "--to", store], **within, codes=(0, 3))
        runner.step(["jobs", "in/job.csv", "--to", store], **within)
        sent, _ = runner.step(["replay", "--from", store, "--to", store], **within)
        cleaned, _ = runner.step(["clean", "--from", store, "--to", store], **within)
        runner.step(["export", "--from", store, "--out", "hourly.csv"], **within)
    finally:
        group.close()
    verified, _ = runner.step(["verify", "--raw", store, "--log", store, "--result", store], codes=(0, 1))
    truth = simulated["facts"]
    wanted = [truth[f"expected {name}"] for name in ("read", "stored", "duplicate", "dead_letter", "stored", "counted")]
    found = [loaded[name] for name in ("read", "written", "duplicate", "dead_lettered")] + [sent["written"], cleaned["written"]]
    is_right = wanted == found and verified["outcome"] == "complete"
    print(f"  read, stored, duplicate, dead letters, sent, counted: {found}: {'right' if is_right else f'WRONG, not {wanted}'}")
    return is_right


def skewed(source, target, one_job, one_hour):
    """Rewrites every second record: to one job, campaign, group and publisher, or to a moment within one hour."""
    randomly = random.Random(7)
    with open(source, newline="") as read, open(target, "w", newline="") as write:
        rows, out = csv.reader(read), csv.writer(write, lineterminator="\n")
        header = next(rows)
        out.writerow(header)
        place = {name: index for index, name in enumerate(header)}
        hour = None
        for number, row in enumerate(rows):
            if number % 2 == 0:
                if one_job:
                    for name, value in (("job_id", "1.0"), ("campaign_id", "1.0"), ("group_id", "1.0"), ("publisher_id", "1.0"), ("bid", "1.0")):
                        row[place[name]] = value
                if one_hour:
                    event = uuid.UUID(row[place["create_time"]])
                    hour = hour or event.time - event.time % 36_000_000_000
                    ticks = hour + randomly.randrange(36_000_000_000)
                    fields = (ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF | 0x1000, *event.fields[3:])
                    row[place["create_time"]] = str(uuid.UUID(fields=fields))
            out.writerow(row)


def skew(runner, rows, stores):
    """Times the steps on even and uneven keys; tells whether the uneven ones stay within three times."""
    print(f"skew: {rows:,} rows, half of them of one key", flush=True)
    runner.step(["simulate", "even", "--rows", rows])
    even = runner.folder / "even/tracking.csv"
    files = {"even": even}
    for name in ("one job", "one hour"):
        files[name] = runner.folder / f"{name.replace(' ', '-')}.csv"
        skewed(even, files[name], name == "one job", name == "one hour")
    seconds = {}
    for name, file in files.items():
        print(f" {name}", flush=True)
        mark = f"{name.replace(' ', '_')}_{os.getpid()}"
        raw, log, result = (store.replace("NAME", mark) for store in stores)
        seconds[name] = {
            "load": runner.step(["load", file, "--to", raw], codes=(0, 3))[1],
            "replay": runner.step(["replay", "--from", raw, "--to", log])[1],
            "clean": runner.step(["clean", "--from", log, "--to", result])[1],
        }
    worst = 0
    for name in list(files)[1:]:
        for step, took in seconds[name].items():
            ratio = took / seconds["even"][step]
            worst = max(worst, ratio)
            print(f"  {step} with half of the rows in {name}: {ratio:.2f} times the even one")
    return worst <= 3


def main():
    parser = argparse.ArgumentParser(prog="./run limits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], "memory", "skew"], help="both, if not said")
    parser.add_argument("--command", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=10_000_000, help="for the memory limit; 10 million need 30 GB of disk")
    parser.add_argument("--mebibytes", type=int, default=512)
    parser.add_argument("--skew-rows", type=int, default=1_000_000)
    parser.add_argument(
        "--stores",
        nargs=3,
        metavar=("RAW", "LOG", "RESULT"),
        default=["embedded:NAME?sync=normal"] * 3,
        help="URLs for skew; NAME stands for a name of each run",
    )
    given = parser.parse_args()
    folder = Path(os.environ["HEADRACE_HOME"]) / "limits"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    runner = Runner(given.command, folder)
    passed = []
    try:
        if "memory" in given.what or not given.what:
            passed.append(memory(runner, given.rows, given.mebibytes * MEBI))
        if "skew" in given.what or not given.what:
            passed.append(skew(runner, given.skew_rows, given.stores))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
