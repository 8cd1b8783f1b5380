"""What the tables must hold, worked out from the input files alone.

On purpose it shares nothing with the workers but their specification: another language, the csv module instead of a
scanner, Decimal instead of scaled integers, datetime instead of a calendar of its own. It holds every event in memory,
about half a kilobyte each.
"""

import csv
import datetime
import decimal
import re
from collections import Counter

csv.field_size_limit(1 << 30)

HEADER = (
    ",create_time,bid,bn,campaign_id,cd,custom_track,de,dl,dt,ed,ev,group_id,id,job_id,md,publisher_id,rl,sr,ts,tz,ua,"
    "uid,utm_campaign,utm_content,utm_medium,utm_source,utm_term,v,vp"
).split(",")
AT = {name: place for place, name in enumerate(HEADER)}
NUMBERS = ["bid", "campaign_id", "cd", "ev", "group_id", "job_id", "publisher_id", "tz", "v"]
IDENTIFIERS = ["campaign_id", "group_id", "job_id", "publisher_id"]
METRICS = ["click", "conversion", "qualified", "unqualified"]
HOURLY_HEADER = (
    "job_id,ts,dates,hours,publisher_id,campaign_id,group_id,bid_set,clicks,spend_hour,conversion,"
    "qualified_application,disqualified_application,company_id,sources"
)

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
BLANKS = " \t\n\r\v\f"
TICKS_AT_1970 = 0x01B21DD213814000
LARGEST_BID = 1_000_000_000
CENT, MICRO = decimal.Decimal("0.01"), decimal.Decimal("0.000001")
EXACT = decimal.Context(prec=60, rounding=decimal.ROUND_HALF_UP)


class Refused(Exception):
    """A record that becomes a dead letter; the argument is the reason."""


class Expected:
    """Everything that follows from a tracking file, and the companies of a job file."""

    def __init__(self, tracking, jobs):
        self.read = 0
        self.duplicates = 0
        self.events = {}  # event id -> (ts, job_id, custom_track, bid, campaign_id, group_id, publisher_id)
        self.letters = {}  # record number -> reason
        self.classes = Counter()
        self.sums = {}  # (job, hour, publisher, campaign, group) -> Counter of metrics, with "spend"
        self.unattributed = Counter()  # (hour, event name) -> events
        self.companies = read_companies(jobs)
        contents = {}
        for fields in records(tracking, HEADER):
            self.read += 1
            try:
                key, numbers = checked(fields)
            except Refused as refused:
                self.letters[self.read] = str(refused)
                continue
            content = hash(tuple(fields[2:]))
            if contents.setdefault(key, content) != content:
                self.letters[self.read] = "conflicting_duplicate"
            elif key in self.events:
                self.duplicates += 1
            else:
                self.add(key, fields, numbers)

    @property
    def stored(self):
        return len(self.events)

    def add(self, key, fields, numbers):
        time = event_time(key)
        name = fields[AT["custom_track"]]
        job, campaign, group, publisher = (
            numbers.get(column) for column in ("job_id", "campaign_id", "group_id", "publisher_id")
        )
        whole = [None if value is None else int(value) for value in (job, campaign, group, publisher)]
        job, campaign, group, publisher = whole
        bid = numbers.get("bid")
        self.events[key] = (f"{time:%Y-%m-%d %H:%M:%S}", job, name or None, bid, campaign, group, publisher)
        hour = time.replace(minute=0, second=0, microsecond=0)
        if name not in METRICS:
            self.classes["ignored"] += 1
        elif job is None:
            self.classes["unattributed"] += 1
            self.unattributed[hour, name] += 1
        else:
            self.classes["counted"] += 1
            sums = self.sums.setdefault((job, hour, publisher or 0, campaign or 0, group or 0), Counter())
            sums[name] += 1
            if name == "click":
                sums["spend"] = EXACT.add(sums["spend"] or decimal.Decimal(0), rounded(bid or 0, MICRO))

    def hourly_rows(self):
        """The rows of the hourly export by their key."""
        for key in sorted(self.sums):
            job, hour, publisher, campaign, group = key
            sums = self.sums[key]
            clicks = sums["click"]
            average = rounded(EXACT.divide(decimal.Decimal(sums["spend"]), clicks), CENT) if clicks else ""
            spend = rounded(sums["spend"], CENT) if clicks else ""
            company = self.companies.get(job)
            yield ",".join(
                str(value)
                for value in (
                    job, f"{hour:%Y-%m-%d %H:%M:%S}", f"{hour:%Y-%m-%d}", hour.hour, publisher, campaign, group,
                    average, clicks or "", spend, sums["conversion"] or "", sums["qualified"] or "",
                    sums["unqualified"] or "", "" if company is None else company, "Cassandra",
                )
            )

    def hourly_csv(self):
        return "\n".join([HOURLY_HEADER, *self.hourly_rows()]) + "\n"

    def unattributed_csv(self):
        rows = [f"{hour:%Y-%m-%d %H:%M:%S},{name},{count}" for (hour, name), count in sorted(self.unattributed.items())]
        return "\n".join(["ts,custom_track,events", *rows]) + "\n"


def records(path, header=None):
    """The records of a CSV file; bytes that are not UTF-8 come as lone surrogates."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        found = next(reader, [])
        if header is not None and found != header:
            raise SystemExit(f"{path}: not the header of a tracking file")
        if header is None:
            yield found
        for fields in reader:
            if fields:
                yield fields


def checked(fields):
    """The event id of a sound record and its numbers by column; raises Refused."""
    if not is_utf8(fields):
        raise Refused("not_utf8")
    if len(fields) != len(HEADER):
        raise Refused("column_count")
    key = fields[AT["create_time"]]
    if not key:
        raise Refused("missing_create_time")
    if not UUID.fullmatch(key):
        raise Refused("bad_create_time")
    key = key.lower()
    if key[14] != "1" or key[19] not in "89ab":
        raise Refused("not_time_uuid")
    numbers = {column: number(column, fields[AT[column]]) for column in NUMBERS if fields[AT[column]]}
    if not all(is_identifier(numbers[column]) for column in IDENTIFIERS if column in numbers):
        raise Refused("bad_identifier")
    if numbers.get("bid", 0) < 0:
        raise Refused("negative_bid")
    return key, numbers


def is_utf8(fields):
    return not any("\ud800" <= letter <= "\udfff" for field in fields if not field.isascii() for letter in field)


def is_identifier(value):
    return 0 <= value <= 1 << 53 and value == value.to_integral_value()


def number(column, text):
    text = text.strip(BLANKS)
    if not NUMBER.fullmatch(text):
        raise Refused("bad_number")
    value = decimal.Decimal(text)
    if float(text) in (float("inf"), float("-inf")) or (column == "bid" and value > LARGEST_BID):
        raise Refused("bad_number")
    return value


def rounded(value, to):
    return EXACT.quantize(decimal.Decimal(value), to)


def event_time(key):
    low, middle, high = key.split("-")[:3]
    ticks = (int(high[1:], 16) << 48 | int(middle, 16) << 32 | int(low, 16)) - TICKS_AT_1970
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=ticks // 10)


def read_companies(path):
    """The company of each job: the last sound record of an id counts."""
    rows = records(path)
    header = [name.strip() for name in next(rows)]
    at = {name: header.index(name) for name in ("id", "company_id")}
    companies = {}
    for fields in rows:
        if len(fields) != len(header) or not is_utf8(fields):
            continue
        texts = {name: fields[place].strip() for name, place in at.items()}
        try:
            job = number("id", texts["id"])
            company = number("company_id", texts["company_id"]) if texts["company_id"] else None
        except Refused:
            continue
        if is_identifier(job) and (company is None or is_identifier(company)):
            companies[int(job)] = None if company is None else int(company)
    return companies
