"""Results: kept as JSON, shown as tables on the terminal and as Markdown."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import Any

from stack import FOLDER, ROOT, Run, machine

MEGA = 1_000_000
DOCUMENT = ROOT / "docs/benchmarks.md"
BEGIN, END = "<!-- results: written by ./run bench all --write-docs -->", "<!-- end of results -->"


class Case:
    """The results of one case: runs by variant, and the targets they are held against."""

    def __init__(self, name: str, title: str) -> None:
        self.name, self.title = name, title
        self.variants: dict[str, list[Run]] = {}
        self.targets: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def add(self, variant: str, run: Run) -> None:
        self.variants.setdefault(variant, []).append(run)
        rate, cpu = run.rows / run.seconds, run.cpu_seconds / max(1, run.rows) * MEGA
        print(f"   {variant}: {rate:,.0f} rows/s, {cpu:.2f} CPU-s a million, {run.peak_bytes / 2**20:,.0f} MiB", flush=True)

    def rate(self, variant: str) -> float:
        """Median rows a second."""
        return statistics.median(run.rows / run.seconds for run in self.variants[variant])

    def cpu(self, variant: str) -> float:
        """Median CPU-seconds of the client for a million rows."""
        return statistics.median(run.cpu_seconds / run.rows * MEGA for run in self.variants[variant])

    def peak(self, variant: str) -> float:
        """The highest peak of all runs, MiB."""
        return max(run.peak_bytes for run in self.variants[variant]) / 2**20

    def has(self, *variants: str) -> bool:
        return all(self.variants.get(variant) for variant in variants)

    def target(self, text: str, value: float, bound: float, unit: str = "", least: bool = True) -> None:
        """Holds a value against a bound: at least it, or at most."""
        met = value >= bound if least else value <= bound
        self.targets.append({"text": text, "value": value, "bound": bound, "unit": unit, "least": least, "met": met})

    def row(self, variant: str) -> list[str]:
        runs = self.variants[variant]
        servers: dict[str, float] = {}
        for server in {server for run in runs for server in run.server_cpu_seconds}:
            per_million = statistics.median(run.server_cpu_seconds.get(server, 0) / run.rows * MEGA for run in runs)
            if per_million >= 0.5:
                servers[server] = per_million
        return [
            variant,
            f"{runs[0].rows:,}",
            str(len(runs)),
            f"{self.rate(variant):,.0f}",
            f"{self.cpu(variant):,.2f}",
            f"{self.peak(variant):,.0f}",
            ", ".join(f"{name} {value:,.1f}" for name, value in sorted(servers.items())) or "–",
            f"{statistics.median(run.busy for run in runs):.0%}",
        ]

    def saved(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
            "variants": {name: [dataclasses.asdict(run) for run in runs] for name, runs in self.variants.items()},
            "targets": self.targets,
            "notes": self.notes,
        }

    @classmethod
    def restored(cls, saved: dict[str, Any]) -> Case:
        case = cls(saved["name"], saved["title"])
        case.variants = {name: [Run(**run) for run in runs] for name, runs in saved["variants"].items()}
        case.targets, case.notes = saved["targets"], saved["notes"]
        return case


COLUMNS = ["", "rows", "runs", "rows/s", "CPU-s / M rows", "peak MiB", "servers' CPU-s / M rows", "machine busy"]


def save(case: Case) -> None:
    (FOLDER / f"{case.name}.json").write_text(json.dumps(case.saved(), indent=1))


def table(case: Case) -> list[str]:
    rows = [COLUMNS, ["---", *["---:"] * 5, "---", "---:"], *(case.row(variant) for variant in case.variants)]
    return ["| " + " | ".join(row) + " |" for row in rows]


def verdict(target: dict[str, Any]) -> str:
    sign = "≥" if target["least"] else "≤"
    text = f"{target['text']}: **{target['value']:,.2f}{target['unit']}** (wanted {sign} {target['bound']:,g}{target['unit']})"
    return f"- {text}{'' if target['met'] else ' — **missed**'}"


def markdown(cases: list[Case]) -> str:
    lines = []
    for case in cases:
        lines += [f"### {case.title}", "", *table(case), "", *map(verdict, case.targets), *(f"- {note}" for note in case.notes), ""]
    lines += ["### The machine", "", *(f"- {name}: {value}" for name, value in machine().items())]
    return "\n".join(lines)


def on_terminal(case: Case) -> None:
    rows = [COLUMNS, *(case.row(variant) for variant in case.variants)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    print(f"\n{case.title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) if place in (0, 6) else cell.rjust(width)
                               for place, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip())
    for text in (*map(verdict, case.targets), *(f"- {note}" for note in case.notes)):
        print("  " + text.replace("**", ""))
    print(flush=True)


def all_saved(order: list[str]) -> list[Case]:
    files = [FOLDER / f"{name}.json" for name in order]
    return [Case.restored(json.loads(file.read_text())) for file in files if file.exists()]


def write_documents(order: list[str], into_docs: bool) -> Path:
    """Writes the report of all cases measured so far, and into the documentation where asked for."""
    text, report = markdown(all_saved(order)), FOLDER / "report.md"
    report.write_text(text + "\n")
    if into_docs:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    return report
