"""Training files by a rule of our own, in the layout of real ones: the same rows and seed make the same files.

Prices follow what a country can pay, the phone's brand, a discount for users who came by themselves, and an age effect that is
not linear; terms and functions are drawn by them.
"""

from __future__ import annotations

import csv
import io
import math
from random import Random

from headrace._scoring.sample import HEADER

LANGUAGES = {"ru": "ru", "by": "ru", "kz": "ru", "de": "de", "fr": "fr", "br": "pt", "tr": "tr", "us": "en"}
COUNTRIES = {
    "ru": (45, 1.0),
    "by": (9, 0.84),
    "kz": (11, 0.88),
    "de": (7, 1.62),
    "fr": (6, 1.54),
    "br": (9, 0.92),
    "tr": (7, 0.78),
    "us": (6, 1.75),
}
"""By country its share of the users, and the price level."""
BRANDS = {
    "xiaomi": (27, 0.0),
    "samsung": (24, 10.0),
    "iphone": (21, 68.0),
    "huawei": (9, 4.0),
    "honor": (7, -5.0),
    "realme": (7, -12.0),
    "google": (5, 36.0),
}
"""By brand its share, and what its owners pay more."""
NOISE = 18.0
TERMS = (1, 3, 6, 12)
FIRST_USER = 100_001


def simulate(rows: int, seed: int, first_user: int = FIRST_USER) -> bytes:
    """A training file."""
    random = Random(seed)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for number in range(rows):
        writer.writerow([first_user + number, *_row(random)])
    return text.getvalue().encode()


def _draw(random: Random, shares: dict[str, tuple[int, float]]) -> str:
    return random.choices(list(shares), [share for share, _ in shares.values()])[0]


def _row(random: Random) -> list[object]:
    country = _draw(random, COUNTRIES)
    # Some travel, and some have set another language.
    device_country = country if random.random() < 0.93 else _draw(random, COUNTRIES)
    language = LANGUAGES[device_country] if random.random() < 0.92 else "en"
    brand, child_brand = _draw(random, BRANDS), _draw(random, BRANDS)
    if random.random() < 0.4:
        child_brand = brand
    platform = "iOS" if brand == "iphone" else "Android"
    store = "App Store" if platform == "iOS" else "Google Play"
    if brand in ("huawei", "honor") and random.random() < 0.7:
        store = "AppGallery"
    organic = int(random.random() < 0.38)
    age = min(18, max(2, round(random.gauss(10, 3.4))))

    level, premium = COUNTRIES[country][1], BRANDS[brand][1]
    own_phone = BRANDS[child_brand][1]
    growing = 34 * math.exp(-(((age - 9) / 3.5) ** 2))
    cost = level * (190 + premium + 0.3 * own_phone + growing) * (0.88 if organic else 1.0) + random.gauss(0, NOISE)
    eager = (cost - 230) / 90 + (0.6 if organic else 0.0)
    term = TERMS[min(3, max(0, round(random.gauss(1.2 + 0.5 * eager, 0.8))))]
    young, teen = (9 - age) / 3, (age - 12) / 2.5
    functions = (
        0.9 + 0.3 * eager,
        1.4 + 0.9 * young,
        0.6 + 1.1 * young - 0.2 * eager,
        -0.4 + 0.9 * teen + 0.4 * eager,
        1.5 + 0.3 * young,
        0.2 * eager + (0.8 if age < 8 else -0.4),
    )
    chosen = [int(random.random() < 1 / (1 + math.exp(-logit))) for logit in functions]
    before = [country, device_country, language, platform, store, brand, organic, age, child_brand]
    return [*before, f"{max(cost, 20.0):.2f}", term, *chosen]
