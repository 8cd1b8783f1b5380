"""Measures the steps and what they replace, side by side: `./run bench [CASE...] [--rows N]`."""

from __future__ import annotations

import argparse
import sys
import time

import results
from cases import CASES, Size
from stack import FOLDER, Failed, Stack, say


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"all, or any of {', '.join(CASES)}; all if none is given")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of a run; slow peers get a tenth, the big runs ten times as many")
    parser.add_argument("--runs", type=int, default=3, help="runs of everything; the median counts")
    parser.add_argument("--profile", default="release", help="the build that is measured; another one is for trying the bench out")
    parser.add_argument("--write-docs", action="store_true", help="also write the results into docs/benchmarks.md")
    words = parser.parse_args()
    unknown = set(words.cases) - {"all", *CASES}
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    wanted = [name for name in CASES if not words.cases or "all" in words.cases or name in words.cases]
    started, failed = time.monotonic(), []
    stack = Stack(words.profile)
    try:
        for name in wanted:
            began = time.monotonic()
            print(f"== {name}", flush=True)
            try:
                case = CASES[name](stack, Size(words.rows, words.runs))
            except (Failed, ValueError) as error:
                failed.append(name)
                say(f"   {name} failed: {error}")
                continue
            results.save(case)
            results.on_terminal(case)
            say(f"   {name}: {time.monotonic() - began:.0f} s")
    finally:
        stack.close()
    report = results.write_documents(list(CASES), words.write_docs)
    print(f"{time.monotonic() - started:.0f} s; results in {FOLDER}/*.json and {report}")
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
