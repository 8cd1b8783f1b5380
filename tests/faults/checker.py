"""Compares what the stores hold with what the input files say: nothing lost, nothing doubled, nothing made up."""

import csv
import decimal
import json
import subprocess

METRICS = ["clicks", "conversion", "qualified_application", "disqualified_application"]


class Verdict:
    """How many events were lost, doubled or made up, and what else is wrong, in sentences."""

    def __init__(self):
        self.lost = self.doubled = self.phantom = 0
        self.wrong = []
        self.facts = {}

    def is_right(self):
        return not (self.lost or self.doubled or self.phantom or self.wrong)

    def add(self, what, lost, doubled, phantom):
        self.lost, self.doubled, self.phantom = self.lost + lost, self.doubled + doubled, self.phantom + phantom
        if lost or doubled or phantom:
            self.wrong.append(f"{what}: lost {lost}, doubled {doubled}, phantom {phantom}")

    def equal(self, what, found, expected):
        if found != expected:
            self.wrong.append(f"{what}: {found}, expected {expected}")

    def __str__(self):
        facts = self.facts
        lines = [f"lost {self.lost}, doubled {self.doubled}, phantom {self.phantom}"]
        if facts:
            lines.append(
                "load {load read} = {load written} stored + {load duplicate} duplicate + {load dead-lettered} "
                "dead-lettered".format(**facts)
            )
            lines.append("replay {replay written} of {raw rows} rows sent, {topic doubled} copies".format(**facts))
            lines.append(
                "clean {clean read} = {clean written} counted + {clean ignored} left out by rule + {clean duplicate} "
                "duplicate + {clean dead-lettered} dead-lettered".format(**facts)
            )
        return "\n".join(lines + self.wrong)


def check(command, place, expected, folder):
    """Exports and recounts everything of a place, and compares it with what was expected."""
    verdict = Verdict()

    def export(what, url):
        out = folder / f"{what}.export"
        run(command, "export", "--what", what, "--from", url, "--out", out)
        return out

    check_raw(verdict, expected, export("messages", place.raw))
    check_letters(verdict, expected, export("dead-letters", place.raw))
    check_hourly(verdict, expected, export("hourly", place.result))
    found = export("unattributed", place.result).read_text()
    check_unattributed(verdict, expected, found)
    verified = run(
        command, "verify", "--raw", place.raw, "--log", place.log, "--result", place.result, "--jobs", place.jobs, "--json"
    )
    check_counters(verdict, expected, json.loads(verified), place)
    return verdict


def run(command, step, *words):
    """Runs a step that only looks; `verify` ends with 1 where it finds differences, which its report tells."""
    line = [command, "recruitment", step, *map(str, words), "--log-level", "warn"]
    ended = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if ended.returncode != 0 and not (step == "verify" and ended.stdout):
        raise SystemExit(f"{step} ended with {ended.returncode}: {ended.stderr}")
    return ended.stdout


def check_raw(verdict, expected, path):
    seen, doubled, phantom = set(), 0, 0
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            found = json.loads(line, parse_float=decimal.Decimal)
            key = found.pop("event_id")
            if key in seen:
                doubled += 1
                continue
            if key not in expected.events:
                phantom += 1
                continue
            seen.add(key)
            ts, job, name, bid, campaign, group, publisher = expected.events[key]
            name = name and name.encode()[:1_000].decode(errors="ignore")
            right = {
                "ts": ts, "job_id": job, "custom_track": name, "bid": bid, "campaign_id": campaign, "group_id": group,
                "publisher_id": publisher,
            }
            if found != right:
                verdict.wrong.append(f"raw row {key}: {found}, expected {right}")
    verdict.add("raw rows", len(expected.events) - len(seen), doubled, phantom)


def check_letters(verdict, expected, path):
    lost, doubled, phantom = dict(expected.letters), 0, 0
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            record, reason = int(row["record_number"]), row["reason"]
            if expected.letters.get(record) != reason:
                phantom += 1
            elif lost.pop(record, None) is None:
                doubled += 1
    verdict.add("dead letters of load", len(lost), doubled, phantom)


def check_hourly(verdict, expected, path):
    found = path.read_text()
    right = expected.hourly_csv()
    if found == right:
        return
    lost = doubled = phantom = 0
    found, right = (
        {tuple(row[name] for name in ("job_id", "ts", "publisher_id", "campaign_id", "group_id")): row for row in rows}
        for rows in (csv.DictReader(found.splitlines()), csv.DictReader(right.splitlines()))
    )
    for key in found.keys() | right.keys():
        more = sum(int(found.get(key, {}).get(name) or 0) - int(right.get(key, {}).get(name) or 0) for name in METRICS)
        if key not in right:
            phantom += more
        elif more > 0:
            doubled += more
        elif more < 0:
            lost -= more
        elif found.get(key) != right[key]:
            verdict.wrong.append(f"hourly row {key}: {found.get(key)}, expected {right[key]}")
    verdict.add("hourly table", lost, doubled, phantom)
    if verdict.is_right():
        verdict.wrong.append("hourly table: other bytes, though the same rows")


def check_unattributed(verdict, expected, found):
    if found == expected.unattributed_csv():
        return
    lost = doubled = 0
    right = dict(line.rsplit(",", 1) for line in expected.unattributed_csv().splitlines()[1:])
    found = dict(line.rsplit(",", 1) for line in found.splitlines()[1:])
    for key in found.keys() | right.keys():
        more = int(found.get(key, 0)) - int(right.get(key, 0))
        lost, doubled = lost + max(-more, 0), doubled + max(more, 0)
    verdict.add("unattributed events", lost, doubled, 0)


def check_counters(verdict, expected, report, place):
    """Read = stored + duplicate + dead-lettered, in the ledgers of all runs together and against the rows themselves."""
    facts = verdict.facts = report["facts"]
    classes = expected.classes
    for name, right in {
        "load read": expected.read,
        "load written": expected.stored,
        "load duplicate": expected.duplicates,
        "load dead-lettered": len(expected.letters),
        "raw rows": expected.stored,
        "replay written": expected.stored,
        "topic missing": 0,
        "topic unexpected": 0,
        "topic different": 0,
        "topic events": expected.stored,
        "topic messages": expected.stored + facts["topic doubled"],
        "clean read": facts["topic messages"],
        "clean written": classes["counted"],
        "clean ignored": classes["unattributed"] + classes["ignored"],
        "clean duplicate": facts["topic doubled"],
        "clean dead-lettered": facts["topic refused"],
        "companies wrong": 0,
    }.items():
        verdict.equal(name, facts[name], right)
    if place.is_one_transaction:
        verdict.equal("copies in the topic, which is written in one transaction with its ledger", facts["topic doubled"], 0)
    if report["outcome"] != "complete":
        verdict.wrong.append(f"verify: {report['outcome']}; {' '.join(report['notes'])}")
