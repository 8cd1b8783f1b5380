#!/usr/bin/env python3
"""Kills, stops and freezes the recruitment steps at random, then proves that no row was lost, doubled or made up.

Each round has fresh stores and a seed of its own. Load, replay and several clean processes work at once, while processes are
killed (SIGKILL, after a random time or at a named failpoint), stopped (SIGTERM, which must end them cleanly within 4 s) and
frozen (SIGSTOP beyond the session of their group, then SIGCONT: another one has taken over meanwhile). At the end everything is
run to its end and compared with what a program of its own works out from the input files.
"""

import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "faults"))
from chaos import Budget, Chaos, Failed  # noqa: E402 (beside this file, not installed)
from checker import check  # noqa: E402
from oracle import Expected  # noqa: E402
from places import Embedded, Servers  # noqa: E402

DEFECTS = "0.002"  # the share of each
MOST_FAILURES = 3  # rounds that fail before there is no other


class Files:
    """The input files of a round: those given, or simulated ones with every defect."""

    def __init__(self, options, command, seed, folder):
        self.tracking, self.jobs = options.tracking, options.jobs
        if not options.tracking:
            words = ["--rows", options.rows, "--jobs", 200, "--days", 3, "--seed", seed, "--defects", DEFECTS]
            line = [command, "recruitment", "simulate", folder / "input", *words, "--quiet"]
            subprocess.run([str(word) for word in line], check=True)
            self.tracking, self.jobs = folder / "input" / "tracking.csv", folder / "input" / "job.csv"
        self.expected = Expected(self.tracking, self.jobs)
        self.rows = self.expected.read


def parse(words):
    parser = argparse.ArgumentParser(prog="./run torture", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    number = {"type": int, "metavar": "N"}
    parser.add_argument("--kills", default=20, help="processes to kill (20)", **number)
    parser.add_argument("--stops", help="processes to stop with SIGTERM (a quarter of the kills)", **number)
    parser.add_argument("--freezes", help="processes to freeze (one for 25 kills)", **number)
    parser.add_argument("--seed", help="seed of the first round; the next ones count up (the clock)", **number)
    parser.add_argument("--servers", action="store_true", help="on the servers that `./run servers env` names, instead of embedded")
    parser.add_argument("--rows", default=20_000, help="simulated records of a round (20000)", **number)
    parser.add_argument("--tracking", type=pathlib.Path, metavar="FILE", help="your own tracking.csv, instead of simulated ones")
    parser.add_argument("--jobs", type=pathlib.Path, metavar="FILE", help="its job.csv")
    parser.add_argument("--cleaners", help="clean processes at once (two and four, by turns)", **number)
    parser.add_argument(
        "--life", type=float, metavar="SECONDS", help="how long a process lives at most before something befalls it (0.8; servers: 6)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the files and stores of rounds that went well, too")
    parser.add_argument("--command", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if (options.tracking is None) != (options.jobs is None):
        parser.error("--tracking and --jobs go together")
    if options.stops is None:
        options.stops = options.kills // 4
    if options.freezes is None:
        options.freezes = options.kills // 25
    if options.seed is None:
        options.seed = time.time_ns() // 1_000_000 % 1_000_000
    return options


def has_failpoints(command):
    """A build for tests names the variable that arms them; a release build does not know it."""
    with open(command, "rb") as file:
        before = b""
        while block := file.read(1 << 24):
            if b"HEADRACE_FAILPOINT" in before[-32:] + block:
                return True
            before = block
    return False


def play(options, seed, number, budget, failpoints):
    """One round; gives the folder and what is wrong, or nothing."""
    chance = random.Random(seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"headrace-torture-{seed}-"))
    files = Files(options, options.command, seed, folder)
    place = Servers(f"torture_{seed}_{time.time_ns() // 1_000_000:x}") if options.servers else Embedded(folder, chance)
    cleaners = options.cleaners or (4 if seed % 2 else 2)
    print(f"round {number + 1}, seed {seed}: {place}; {files.rows} records, {cleaners} clean", flush=True)
    life = options.life or place.life
    chaos = Chaos(options.command, place, files, folder, chance, budget, cleaners, failpoints, life, lambda text: print(text, flush=True))
    try:
        chaos.run()
        verdict = check(options.command, place, files.expected, folder)
        wrong = not verdict.is_right()
        print("  " + str(verdict).replace("\n", "\n  "), flush=True)
    except Failed as failed:
        wrong = True
        print(f"  FAILED: {failed}", flush=True)
    if not wrong and not options.keep:
        shutil.rmtree(folder)
    else:
        print(f"  kept: {folder}", flush=True)
    return wrong


def main(words):
    options = parse(words)
    budget = Budget(options.kills, options.stops, options.freezes)
    failpoints = has_failpoints(options.command)
    print(f"seed {options.seed}; failpoints: {'yes' if failpoints else 'no, a release build: kills by time only'}")
    started, number, failed = time.monotonic(), 0, []
    while number == 0 or not (budget.is_spent() or len(failed) == MOST_FAILURES):
        seed = options.seed + number
        if play(options, seed, number, budget, failpoints):
            failed.append(seed)
        number += 1
    done = budget.done
    print(
        f"{number} rounds in {time.monotonic() - started:.0f} s: {done['kill']} kills, {done['freeze']} freezes, "
        f"{done['stop']} stops (slowest {budget.slowest_stop * 1000:.0f} ms)"
    )
    if failed:
        for seed in failed:
            print(f"FAILED: again with ./run torture {' '.join(words_of(options, seed))}")
        return 1
    print("nothing lost, nothing doubled, nothing made up")
    return 0


def words_of(options, seed):
    """The options that play a failed round again."""
    words = ["--seed", str(seed), "--kills", str(options.kills), "--stops", str(options.stops), "--freezes", str(options.freezes)]
    words += ["--servers"] if options.servers else []
    words += ["--tracking", str(options.tracking), "--jobs", str(options.jobs)] if options.tracking else ["--rows", str(options.rows)]
    words += ["--cleaners", str(options.cleaners)] if options.cleaners else []
    return words


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
