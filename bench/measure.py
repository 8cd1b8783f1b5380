"""Runs one command and measures all of it: the command, its children, and what they leave behind.

    python3 measure.py RESULT.json COMMAND ARGS...

RESULT.json gets wall-clock seconds, user and system CPU-seconds of the whole tree (as the kernel accounts them to those who
wait for a process), and the peak of the tree's resident memory: the kernel's high-water mark where it is one process, else the
highest sum seen, looked at ten times a second.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
PAGE = os.sysconf("SC_PAGE_SIZE")
LOOK_S = 0.1
FAMILY_S = 0.5
LEFT_BEHIND_S = 3.0


def parents() -> dict[int, int]:
    """The parent of every process."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            found[int(entry)] = int(text.rpartition(")")[2].split()[1])
    return found


def descendants(root: int) -> list[int]:
    """All processes below one, and below those it adopted."""
    children: dict[int, list[int]] = {}
    for process, parent in parents().items():
        children.setdefault(parent, []).append(process)
    family, open_ = [], list(children.get(root, []))
    while open_:
        process = open_.pop()
        family.append(process)
        open_ += children.get(process, [])
    return family


def resident(process: int) -> int:
    try:
        return int(Path("/proc", str(process), "statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


class Watch(threading.Thread):
    """Looks at the memory of this process's descendants until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.most_processes = 0
        self.ended = threading.Event()

    def run(self) -> None:
        family: list[int] = []
        looked = 0.0
        while not self.ended.wait(LOOK_S):
            if time.monotonic() - looked >= FAMILY_S or not family:
                family, looked = descendants(os.getpid()), time.monotonic()
                self.most_processes = max(self.most_processes, len(family))
            self.peak_bytes = max(self.peak_bytes, sum(map(resident, family)))


def reap(main: int) -> int:
    """Waits for the command, then for what it left behind, which gets some seconds to end by itself. Gives the exit code."""
    code = 0
    while True:
        process, status = os.waitpid(-1, 0)
        if process == main:
            code = os.waitstatus_to_exitcode(status)
            break
    deadline, signals = time.monotonic() + LEFT_BEHIND_S, [signal.SIGTERM, signal.SIGKILL]
    while True:
        try:
            process, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if process == 0:
            time.sleep(0.02)
            if time.monotonic() > deadline and signals:
                for left in descendants(os.getpid()):
                    os.kill(left, signals[0])
                signals.pop(0)
                deadline = time.monotonic() + LEFT_BEHIND_S


def main() -> int:
    result, command = Path(sys.argv[1]), sys.argv[2:]
    # Grandchildren whose parent ends become children of this process, so that their CPU time is counted here.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    watch = Watch()
    started = time.monotonic()
    child = subprocess.Popen(command)
    watch.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda sent, _: [os.kill(one, sent) for one in descendants(os.getpid())] and None)
    code = reap(child.pid)
    seconds = time.monotonic() - started
    watch.ended.set()
    watch.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    measured = {
        "code": code,
        "seconds": seconds,
        "user_s": used.ru_utime,
        "system_s": used.ru_stime,
        "peak_bytes": max(watch.peak_bytes, used.ru_maxrss * 1024),
        "processes": watch.most_processes,
    }
    result.write_text(json.dumps(measured))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
