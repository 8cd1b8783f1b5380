"""What a bench works with: binaries, servers, peers, input files; and running a command with its measurements."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("HEADRACE_HOME", ROOT / ".headrace"))
STATE = Path(os.environ.get("HEADRACE_STATE", HOME / "servers"))
FOLDER = HOME / "bench"
SCRATCH = FOLDER / "scratch"
TICKS = os.sysconf("SC_CLK_TCK")
SERVERS = ("cassandra", "kafka", "mariadb")


class Failed(Exception):
    """A command that had to succeed did not."""


@dataclass
class Run:
    """One measured run of a command."""

    rows: int
    # Of the work as the command tells it, without its own start; of the whole process where it tells none.
    seconds: float
    process_seconds: float
    cpu_seconds: float
    peak_bytes: int
    server_cpu_seconds: dict[str, float] = field(default_factory=dict)
    # Share of all cores that was busy, servers included.
    busy: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def script(*words: str | Path, **more: Any) -> str:
    """Runs a command that is not measured and gives its output."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words[:4]))}…: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def cpu_of(process: int) -> float:
    try:
        fields = Path("/proc", str(process), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_time() -> tuple[int, int]:
    """Busy and total ticks of all cores."""
    times = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = times[3] + times[4]
    return sum(times) - idle, sum(times)


class Stack:
    """Everything a case needs; made once, taken down at the end."""

    def __init__(self, profile: str) -> None:
        self.profile = profile
        self.run_id = uuid.uuid4().hex[:6]
        self.counter = 0
        self.started: list[str] = []
        self.addresses: dict[str, str] = {}
        self.databases: list[str] = []
        self.keyspaces: list[str] = []
        for folder in (FOLDER, SCRATCH):
            folder.mkdir(parents=True, exist_ok=True)
        self.headrace, self.probe = self.build()

    def build(self) -> tuple[Path, Path]:
        """Builds the command and the probe. The whole workspace decides the features, as everywhere else."""
        say(f"building headrace and the probe, profile {self.profile}")
        line = ["cargo", "build", "--profile", self.profile, "--bin", "headrace", "--bench", "probe", "--message-format", "json"]
        done = subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failed("the build failed")
        found = {}
        for text in done.stdout.splitlines():
            message = json.loads(text)
            if message.get("reason") == "compiler-artifact" and message.get("executable"):
                found[message["target"]["name"]] = Path(message["executable"])
        return found["headrace"], found["probe"]

    def name(self, what: str) -> str:
        self.counter += 1
        return f"bench_{self.run_id}_{what}_{self.counter}"

    # Servers.

    def serve(self, *servers: str) -> None:
        """Starts servers that do not run; those that do stay as they are."""
        wanted = [server for server in servers if server not in self.addresses]
        if not wanted:
            return
        stopped = script(ROOT / "servers/all.sh", "stopped", *wanted).split()
        if stopped:
            say(f"starting {', '.join(stopped)}")
            self.started += stopped
            script(ROOT / "servers/all.sh", "start", *stopped)
        text = script(ROOT / "servers/all.sh", "env")
        found = dict(re.findall(r"^export HEADRACE_TEST_([A-Z0-9_]+)=(\S+)$", text, re.MULTILINE))
        for server in wanted:
            url = found["MYSQL" if server == "mariadb" else server.upper()]
            self.addresses[server] = re.sub(r"^\w+://(?:[^@/]*@)?([^/]+).*$", r"\1", url)

    def url(self, server: str, *path: str) -> str:
        """A store URL on a server; the users are those of the test servers."""
        login = "lab:lab@" if server == "mariadb" else ""
        scheme = "mysql" if server == "mariadb" else server
        return "/".join([f"{scheme}://{login}{self.addresses[server]}", *path])

    def pid(self, server: str) -> int:
        return int((STATE / server / "pid").read_text().split()[0])

    def database(self) -> str:
        self.databases.append(self.name("db"))
        return self.databases[-1]

    def keyspace(self) -> str:
        self.keyspaces.append(self.name("ks"))
        return self.keyspaces[-1]

    def sql(self, text: str) -> str:
        return script(ROOT / "servers/mariadb.sh", "client", "-N", "-e", text).strip()

    def cql(self, text: str) -> None:
        script(self.probe, "cql", self.url("cassandra"), text)

    def drop(self, *names: str) -> None:
        """Drops keyspaces and databases of earlier runs, so that what they left to do does not disturb later ones."""
        for name in names:
            if name in self.keyspaces:
                self.keyspaces.remove(name)
                self.cql(f"DROP KEYSPACE IF EXISTS {name}")
            if name in self.databases:
                self.databases.remove(name)
                self.sql(f"DROP DATABASE IF EXISTS {name}")

    def close(self) -> None:
        """Removes what this bench has made in the servers and stops those that it has started."""
        try:
            self.drop(*self.keyspaces, *self.databases)
            if "kafka" in self.addresses:
                tool = ["org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.addresses["kafka"]]
                script(ROOT / "servers/kafka.sh", "tool", *tool, "--delete", "--if-exists", "--topic", f"bench_{self.run_id}_.*")
        except Failed as failed:
            say(f"left behind: {failed}")
        if self.started:
            script(ROOT / "servers/all.sh", "stop", *self.started)
        shutil.rmtree(SCRATCH, ignore_errors=True)

    # Commands.

    def measured(
        self, command: list[str | Path], rows: int = 0, env: dict[str, str] | None = None, good: tuple[int, ...] = (0,)
    ) -> tuple[Run, str]:
        """Runs a command to its end; gives its measurements and its output. Other exit codes than the good ones are failures."""
        result, log = SCRATCH / "measured.json", FOLDER / "last.log"
        SCRATCH.mkdir(parents=True, exist_ok=True)
        pids = {server: self.pid(server) for server in self.addresses}
        before, (busy, total) = {server: cpu_of(pid) for server, pid in pids.items()}, machine_time()
        with log.open("w") as errors:
            line = [sys.executable, str(ROOT / "bench/measure.py"), str(result), *map(str, command)]
            done = subprocess.run(line, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **(env or {})})
        if not result.exists() or done.returncode not in good:
            raise Failed(f"{Path(command[0]).name} failed with {done.returncode}:\n{log.read_text()[-3000:]}{done.stdout[-1000:]}")
        (busy_after, total_after), measured = machine_time(), json.loads(result.read_text())
        result.unlink()
        run = Run(
            rows=rows,
            seconds=measured["seconds"],
            process_seconds=measured["seconds"],
            cpu_seconds=measured["user_s"] + measured["system_s"],
            peak_bytes=measured["peak_bytes"],
            server_cpu_seconds={server: cpu_of(pid) - before[server] for server, pid in pids.items()},
            busy=(busy_after - busy) / max(1, total_after - total),
        )
        return run, done.stdout

    def step(self, *words: str | Path) -> Run:
        """Runs a step of Headrace."""
        run, output = self.measured([self.headrace, "recruitment", *words, "--json", "--log-level", "warn"], good=(0, 3))
        run.told = json.loads(output)
        run.rows, run.seconds = run.told["read"], run.told["seconds"]
        return run

    def half(self, *words: str | Path) -> Run:
        """Runs a half of a step."""
        run, output = self.measured([self.probe, *words])
        run.told = json.loads(output.splitlines()[-1])
        run.rows, run.seconds = run.told["rows"], run.told["seconds"]
        return run

    def spark(self, job: str, *words: str | Path) -> Run:
        """Runs a Spark job of this folder."""
        folder, scratch = Path(self.peer("spark")), SCRATCH / self.name("spark")
        scratch.mkdir()
        env = {"BENCH_PEER": str(folder), "BENCH_SCRATCH": str(scratch)}
        run, output = self.measured([folder / "venv/bin/python", ROOT / "bench/spark" / job, *words], env=env)
        shutil.rmtree(scratch, ignore_errors=True)
        run.told = json.loads(output.splitlines()[-1]) if output.strip() else {}
        run.rows, run.seconds = run.told.get("rows", 0), run.told.get("seconds", run.seconds)
        return run

    def peer(self, name: str) -> str:
        """Installs a peer, once, and gives its folder."""
        return script(ROOT / "bench/peers.sh", name).split()[-1]

    def files(self, rows: int, days: int = 30) -> Path:
        """A folder with simulated files; made once."""
        folder = FOLDER / "input" / f"{rows}-{days}"
        if not (folder / "job.csv").exists() or not (folder / "made").exists():
            say(f"simulating {rows:,} records")
            self.step("simulate", folder, "--rows", str(rows), "--days", str(days))
            (folder / "made").touch()
        return folder


def machine() -> dict[str, str]:
    """The machine and the versions, for the reader of the numbers."""

    def first(path: str, pattern: str) -> str:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
        return found.group(1).strip() if found else "unknown"

    memory = int(first("/proc/meminfo", r"^MemTotal:\s+(\d+)")) / 1024 / 1024
    processor = first("/proc/cpuinfo", r"^model name\s*:\s*(.*)$")
    return {
        "processor": f"{processor}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GiB",
        "system": f"{os.uname().sysname} {os.uname().release}",
        "rust": script("rustc", "--version").strip(),
        "java": subprocess.run(["java", "-version"], capture_output=True, text=True).stderr.splitlines()[0],
        "python": sys.version.split()[0],
        "servers": "Cassandra 5.0.9, Kafka 4.3.1, MariaDB 10.11 as `./run servers start` runs them, on the same machine",
    }
