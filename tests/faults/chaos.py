"""Workers that are killed, stopped and frozen at random while they load, replay and clean at once."""

import json
import os
import signal
import subprocess
import time

POINTS = ["read", "decode", "write", "dead-letter", "commit", "acknowledge", "close"]
PLACES = [f"{side}-{point}" for point in POINTS for side in ("before", "after")]

STOP_LIMIT = 4.0  # seconds a stop may take
LIMIT = 900.0  # seconds after which a process counts as hung

# What a step says that was started before the one it needs: it is started again.
NOT_YET = ["does not exist in", "does not exist; create it first"]
TAKEN_OVER = "another worker has taken over"


class Failed(Exception):
    """Something that must not happen."""


class Budget:
    """How much of each evil is still to be done."""

    def __init__(self, kills=0, stops=0, freezes=0):
        self.left = {"kill": kills, "stop": stops, "freeze": freezes}
        self.done = dict.fromkeys(self.left, 0)
        self.slowest_stop = 0.0

    def choose(self, random):
        """Takes one of what is left; it is given back if it comes too late."""
        weights = {"kill": 2 * self.left["kill"], "stop": self.left["stop"], "freeze": self.left["freeze"]}
        if not any(weights.values()):
            return None
        evil = random.choices(list(weights), list(weights.values()))[0]
        self.left[evil] -= 1
        return evil

    def is_spent(self):
        return not any(self.left.values())


class Process:
    """One run of a step."""

    def __init__(self, worker, line, failpoint, log):
        self.worker = worker
        self.log = log
        environment = {name: value for name, value in os.environ.items() if name != "HEADRACE_FAILPOINT"}
        if failpoint:
            environment["HEADRACE_FAILPOINT"] = failpoint
        self.started = time.monotonic()
        with open(log.with_suffix(".json"), "wb") as out, open(log.with_suffix(".log"), "wb") as errors:
            self.child = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=environment)
        # What is to befall it, when, when it was asked to stop, and whether it did befall it.
        self.evil, self.due, self.asked, self.is_struck = None, None, None, False

    def millis(self):
        return round((time.monotonic() - self.started) * 1000)

    def told(self):
        return self.log.with_suffix(".log").read_text(errors="replace")

    def outcome(self):
        text = self.log.with_suffix(".json").read_text()
        return json.loads(text)["outcome"] if text else None


class Worker:
    """A step that is started again and again until its work is done."""

    def __init__(self, name, words):
        self.name, self.words = name, words
        self.process, self.rest_until, self.is_done = None, 0.0, False
        self.needs = lambda: True  # what must be done before a run can be the last one
        self.could_be_last = False


class Chaos:
    """One round on one place, from empty stores to everything done."""

    def __init__(self, command, place, files, folder, random, budget, cleaners, has_failpoints, life, tell):
        self.command, self.place, self.folder, self.random, self.budget = command, place, folder, random, budget
        self.has_failpoints, self.life, self.tell = has_failpoints, life, tell
        self.rows = files.rows
        self.runs = 0
        self.zombies = []
        self.thawed = set()
        jobs = Worker("jobs", ["jobs", files.jobs, "--to", place.jobs])
        load = Worker("load", ["load", files.tracking, "--to", place.raw])
        replay = Worker("replay", ["replay", "--from", place.raw, "--to", place.log, "--partitions", "4"])
        replay.needs = lambda: load.is_done
        self.workers = [jobs, load, replay]
        for number in range(cleaners):
            line = ["clean", "--from", place.log, "--jobs", place.jobs, "--to", place.result]
            clean = Worker(f"clean {number + 1}", line)
            clean.needs = lambda: replay.is_done
            self.workers.append(clean)
        (folder / "runs").mkdir()

    def run(self):
        """Lets the workers go, with everything that befalls them, then runs each step to its end."""
        try:
            while not all(worker.is_done for worker in self.workers) or self.zombies:
                self.look()
                time.sleep(0.004)
        finally:
            processes = [worker.process for worker in self.workers if worker.process]
            for process in processes + [zombie for zombie, _ in self.zombies]:
                process.child.kill()
                process.child.wait()
        for worker in self.workers[:4]:
            process = self.spawn(worker, None)
            try:
                process.child.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.child.kill()
                raise Failed(f"{worker.name} hangs at the end of the round: {process.log}.log") from None
            if process.child.returncode not in (0, 3):
                raise Failed(f"{worker.name} ended with {process.child.returncode}: {process.told()}")

    def look(self):
        now = time.monotonic()
        for worker in self.workers:
            process = worker.process
            if process is None:
                if not worker.is_done and now >= worker.rest_until:
                    self.start(worker)
            elif process.child.poll() is not None:
                worker.process = None
                self.ended(process)
                worker.rest_until = time.monotonic() + self.random.random() * self.life / 4
            elif process.due is not None and now >= process.due:
                process.due = None
                self.act(process)
            elif process.asked is not None and now - process.asked > STOP_LIMIT:
                raise Failed(f"{worker.name} goes on {STOP_LIMIT} s after SIGTERM: {process.log}.log")
            elif now - process.started > LIMIT:
                raise Failed(f"{worker.name} hangs: {process.log}.log")
        for zombie, until in list(self.zombies):
            if until is not None and now >= until:
                self.zombies.remove((zombie, until))
                self.zombies.append((zombie, None))
                zombie.child.send_signal(signal.SIGCONT)
                self.thawed.add(zombie.worker.name)
                self.tell(f"  thaw    {zombie.worker.name:8} at {zombie.millis()} ms")
            elif zombie.child.poll() is not None:
                self.zombies.remove((zombie, until))
                self.ended(zombie, is_zombie=True)

    def start(self, worker):
        # A step that is let alone now and then gets on, however short the lives of the others.
        chosen = self.budget.choose(self.random) if self.random.random() < 0.85 else None
        failpoint = None
        if chosen == "kill" and self.has_failpoints and self.random.random() < 0.5:
            failpoint = f"{self.random.choice(PLACES)}:{self.random.randint(1, 6)}:kill"
        process = worker.process = self.spawn(worker, failpoint)
        process.evil = chosen
        if chosen and not failpoint:
            process.due = process.started + self.random.random() * self.life

    def spawn(self, worker, failpoint):
        self.runs += 1
        # The end of a run means "all done" only if what it reads was all there when it began.
        worker.could_be_last = worker.needs()
        line = [self.command, "recruitment", *map(str, worker.words), "--json"]
        if worker.name != "jobs":
            line += ["--batch-rows", str(self.random.randint(max(20, self.rows // 400), max(40, self.rows // 20)))]
        return Process(worker, line, failpoint, self.folder / "runs" / f"{self.runs:04} {worker.name}")

    def act(self, process):
        worker, evil = process.worker, process.evil
        if evil == "kill":
            process.child.kill()
            if process.child.wait() == -signal.SIGKILL:  # else it had just ended by itself
                self.count(process, f"after {process.millis()} ms")
        elif evil == "stop":
            process.asked = time.monotonic()
            process.child.terminate()
        elif evil == "freeze":
            process.child.send_signal(signal.SIGSTOP)
            self.count(process, f"after {process.millis()} ms")
            # Longer than its session: another one takes over meanwhile.
            self.zombies.append((process, time.monotonic() + self.place.session + self.random.uniform(0.5, 2.0)))
            worker.process = None

    def count(self, process, where):
        process.is_struck = True
        self.budget.done[process.evil] += 1
        self.tell(f"  {process.evil:7} {process.worker.name:8} {where}")

    def ended(self, process, is_zombie=False):
        worker, code = process.worker, process.child.returncode
        told = process.told()
        self.judge(process, code, told, is_zombie)
        if process.evil and not process.is_struck:
            self.budget.left[process.evil] += 1

    def judge(self, process, code, told, is_zombie):
        worker = process.worker
        if "internal error" in told or "panicked" in told:
            raise Failed(f"{worker.name} panicked: {told}")
        # One that was frozen before it had claimed anything takes over from the run that came after it.
        is_fenced = TAKEN_OVER in told and (is_zombie or worker.name in self.thawed)
        if is_fenced:
            self.tell(f"  fenced  {worker.name:8} ended at {process.millis()} ms")
        if process.asked is not None:
            self.stopped(process, told)
        elif code == -signal.SIGKILL:
            reached = [line for line in told.splitlines() if line.startswith("failpoint ")]
            if reached:
                place, visit = reached[-1].split()[1].split(":")[:2]
                self.count(process, f"{place}, visit {visit}, after {process.millis()} ms")
        elif code in (0, 3):
            worker.is_done = worker.is_done or (worker.could_be_last and process.outcome() == "complete" and not is_zombie)
        elif not (code == 1 and (is_fenced or is_not_yet(told))):
            raise Failed(f"{worker.name} ended with {code}: {told}")

    def stopped(self, process, told):
        seconds = time.monotonic() - process.asked
        code = process.child.returncode
        if code == -signal.SIGTERM:
            return  # it had not begun to listen, nor to work
        if code not in (0, 1, 3) or (code == 1 and process.outcome() != "stopped" and not is_not_yet(told)):
            raise Failed(f"{process.worker.name} did not end cleanly after SIGTERM, but with {code}: {told}")
        self.budget.slowest_stop = max(self.budget.slowest_stop, seconds)
        self.count(process, f"after {process.millis()} ms, in {round(seconds * 1000)} ms")


def is_not_yet(told):
    return any(word in told for word in NOT_YET)
