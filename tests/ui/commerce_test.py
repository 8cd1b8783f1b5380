"""The dashboard of commerce, used as a person does: range and filters changed, looked at on a phone, while events come."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from browser import browser
from playwright.sync_api import Locator, Page, expect

ROOT = Path(__file__).parents[2]
HEADRACE = Path(os.environ.get("HEADRACE_COMMAND", ROOT / "target/debug/headrace"))
EVENTS = 20_000
WIDE, PHONE = (1400, 900), (390, 844)
PATIENCE = 60_000
SUMS = """
import json, sys
import polars as pl
from headrace import commerce
rows = pl.DataFrame(commerce.read_table(sys.argv[1], "activity_per_minute"))
counters = commerce.counters(sys.argv[1])
print(json.dumps({"views": int(rows["views"].sum()), "revenue": str(rows["revenue"].sum() + rows["late_revenue"].sum()),
                  "city": rows["city"].mode().sort().item(0), "minutes": rows["minute"].n_unique(), "read": counters["read"], "newest": counters["newest_minute"].isoformat()}))
"""


def headrace(*words: object) -> None:
    """Runs a step; dead letters are no failure."""
    run = subprocess.run([HEADRACE, *map(str, words), "--quiet"], capture_output=True, text=True)
    assert run.returncode in (0, 3), run.stderr


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with the events of forty minutes."""
    if not HEADRACE.exists():
        pytest.skip(f"{HEADRACE} is not there: ./run headrace --version builds it")
    directory = tmp_path_factory.mktemp("shop")
    headrace("commerce", "demo", "--dir", directory, "--events", EVENTS)
    return f"embedded:{directory}"


def sums(store: str) -> dict[str, str]:
    """What the tables say, read beside the page."""
    found: dict[str, str] = json.loads(subprocess.check_output([sys.executable, "-c", SUMS, store], text=True))
    return found


@contextmanager
def serving(store: str, **environment: str) -> Iterator[str]:
    """The address of a dashboard, started by the command as a user does, and stopped with Ctrl-C."""
    pytest.importorskip("streamlit", reason="headrace[dashboard] is not installed: no Streamlit")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [HEADRACE, "dashboard", "commerce", "--store", store, "--port", str(port), "--python", sys.executable]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    assert process.stderr is not None
    try:
        assert f"http://127.0.0.1:{port}" in process.stderr.readline()
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=30)[1]
    assert "Traceback" not in told, told


@contextmanager
def looking(url: str, size: tuple[int, int], scheme: str = "light") -> Iterator[Page]:
    """A page whose browser asks nobody else, has no error, and is in another time zone than UTC."""
    problems: list[str] = []
    with browser() as started:
        page = started.new_page(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            timezone_id="America/Guayaquil",
            locale="en-US",
        )
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith((url, "data:", "blob:")) else problems.append(asked.url))
        page.goto(url)
        yield page
        assert problems == []
        expect(page.get_by_test_id("stException")).to_have_count(0)


def shot(page: Page, name: str) -> None:
    """Keeps the whole page, whose content scrolls inside of it, and makes sure that nothing sticks out."""
    size = page.viewport_size
    assert size
    page.wait_for_timeout(1_500)
    height = int(page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight"))
    page.set_viewport_size({"width": size["width"], "height": min(height + 40, 8_000)})
    page.wait_for_timeout(1_500)
    page.screenshot(path=Path(os.environ["HEADRACE_UI_FOLDER"]) / f"commerce_{name}.png")
    page.set_viewport_size(size)
    width = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    assert width <= size["width"], (name, width)


def tile(page: Page, label: str) -> Decimal:
    """The number in the first tile of a label, without separators."""
    text = page.locator(".hr-tile").filter(has=page.get_by_text(label, exact=True)).first.locator("b").inner_text()
    return Decimal(re.sub(r"[,%]", "", text))


def until(page: Page, label: str, wanted: Decimal) -> None:
    """Waits until a tile shows a number."""
    for _ in range(PATIENCE // 200):
        if page.locator(".hr-tile").count() and tile(page, label) == wanted:
            return
        page.wait_for_timeout(200)
    assert tile(page, label) == wanted


def below(page: Page, label: str, limit: Decimal) -> Decimal:
    """Waits until a tile shows less than that, but something."""
    for _ in range(PATIENCE // 200):
        if 0 < tile(page, label) < limit:
            break
        page.wait_for_timeout(200)
    found = tile(page, label)
    assert 0 < found < limit
    return found


def press(page: Page, name: str) -> None:
    """Chooses one of several buttons side by side."""
    page.get_by_test_id("stButtonGroup").get_by_text(name, exact=True).click()


def ready(page: Page) -> None:
    """Waits until every panel has its figures."""
    for name in ("Sales per", "From view to purchase", "Time to purchase", "Views by category", "Top five products"):
        expect(page.get_by_role("heading", name=re.compile(name))).to_be_visible()
    expect(page.get_by_text(re.compile("^Reading"))).to_have_count(0)
    expect(page.get_by_text("Internal error")).to_have_count(0)
    expect(
        page.locator("[data-testid=stVegaLiteChart] svg.marks, [data-testid=stVegaLiteChart] canvas.marks").first
    ).to_be_visible()


def choose(page: Page, label: str, option: str) -> None:
    """Chooses one value of a filter in the side bar."""
    page.get_by_test_id("stSidebar").get_by_label(label).click()
    page.get_by_role("option", name=option, exact=True).click()
    page.keyboard.press("Escape")


def test_numbers_are_those_of_the_tables_and_filters_and_ranges_change_them(store: str) -> None:
    told = sums(store)
    with serving(store) as url, looking(url, WIDE) as page:
        ready(page)
        expect(page.get_by_role("heading", name="Shop, live")).to_be_visible()
        until(page, "Revenue", Decimal(told["revenue"]).quantize(Decimal("0.01")))
        until(page, "Views", Decimal(told["views"]))
        assert tile(page, "Read") == Decimal(told["read"])
        expect(page.get_by_text("all accounted for")).to_be_visible()
        for name in ("Average ticket", "Abandoned carts", "Demand peaks", "Data quality"):
            expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        # On time, provisional and late have colours of their own, and all are there.
        chart = page.get_by_test_id("stVegaLiteChart").first
        fills = set(
            chart.locator("svg.marks .mark-rect path").evaluate_all("marks => marks.map(mark => mark.getAttribute('fill'))")
        )
        assert {"#2563eb", "#93c5fd", "#f59e0b"} <= fills, fills
        shot(page, "wide")

        # A shorter range has less, the longest has all.
        press(page, "15 min")
        below(page, "Views", Decimal(told["views"]))
        press(page, "24 hours")
        until(page, "Views", Decimal(told["views"]))
        expect(page.get_by_role("heading", name="Sales per 15 minutes")).to_be_visible()
        press(page, "Orders")
        expect(page.locator("[data-testid=stVegaLiteChart]").first).to_contain_text("Orders")

        # One city, then one category of it; users and products cannot be filtered, and say so.
        press(page, "1 hour")
        choose(page, "City", told["city"])
        expect(page.get_by_text(f"only {told['city']}").first).to_be_visible()
        in_city = below(page, "Views", Decimal(told["views"]))
        choose(page, "Category", "Tech")
        expect(page.get_by_text(f"only {told['city']}, Tech").first).to_be_visible()
        below(page, "Views", in_city)
        assert page.get_by_text("filters cannot apply").count() >= 4
        shot(page, "filtered")


def test_events_that_come_are_shown_without_drawing_charts_anew(store: str) -> None:
    with serving(store) as url, looking(url, WIDE, "dark") as page:
        ready(page)
        before = tile(page, "Read")
        page.evaluate("document.querySelectorAll('[data-testid=stVegaLiteChart] svg').forEach(chart => chart.dataset.kept = 'yes')")
        charts = page.locator("svg[data-kept=yes]").count()
        headrace("commerce", "simulate", "--to", store, "--events", 500, "--seed", 77, "--spread", "2m")
        headrace("commerce", "stream", "--from", store, "--store", store, "--archive", "none")
        for _ in range(PATIENCE // 200):
            if tile(page, "Read") >= before + 500:
                break
            page.wait_for_timeout(200)
        assert tile(page, "Read") >= before + 500
        expect(page.get_by_text(re.compile("live, last commit"))).to_be_visible()
        page.wait_for_timeout(3_000)
        assert charts >= 3 and page.locator("svg[data-kept=yes]").count() == charts
        shot(page, "dark")
        # Switched off, the page stands still.
        page.get_by_text("Refresh every second").click()
        page.wait_for_timeout(2_500)
        stood = page.locator(".hr-status").inner_text()
        page.wait_for_timeout(2_500)
        assert page.locator(".hr-status").inner_text() == stood


def test_on_a_phone_everything_is_there_and_nothing_sticks_out(store: str) -> None:
    with serving(store) as url, looking(url, PHONE) as page:
        ready(page)
        expect(page.get_by_test_id("stSidebar").get_by_text("Filters", exact=True)).not_to_be_in_viewport()
        shot(page, "phone")
        page.get_by_test_id("stExpandSidebarButton").click()
        expect(page.get_by_test_id("stSidebar").get_by_text("Filters", exact=True)).to_be_in_viewport()
        choose(page, "City", sums(store)["city"])
        page.screenshot(path=Path(os.environ["HEADRACE_UI_FOLDER"]) / "commerce_phone_filters.png")


def letters(page: Page, button: str = "Review and replay") -> Locator:
    """Opens the window of dead letters."""
    page.get_by_role("button", name=button).click()
    window = page.get_by_role("dialog")
    expect(window.get_by_text("Events that were refused")).to_be_visible()
    return window


def became(window: Locator) -> dict[str, int]:
    """What the window says of the replay."""
    told = window.get_by_test_id("stAlert")
    expect(told).to_contain_text(re.compile(r"replayed: .* refused again"), timeout=PATIENCE)
    numbers = re.findall(r"([0-9,]+) (replayed|accepted|duplicate|refused)", told.inner_text())
    return {name: int(number.replace(",", "")) for number, name in numbers}


def test_dead_letters_are_replayed_with_a_click_and_corrected(tmp_path: Path) -> None:
    headrace("commerce", "demo", "--dir", tmp_path, "--events", 4_000)
    store = f"embedded:{tmp_path}"
    with serving(store) as url, looking(url, WIDE) as page:
        ready(page)
        read, accepted, duplicates, dead = (tile(page, name) for name in ("Read", "Accepted", "Duplicates", "Dead letters"))
        assert dead > 1
        window = letters(page)
        shot(page, "letters")
        window.get_by_role("button", name=f"Replay these {dead:,} letters").click()
        first = became(window)
        assert first["replayed"] == dead == first["accepted"] + first["duplicate"] + first["refused"]
        shot(page, "letters_replayed")
        accepted, duplicates, dead = accepted + first["accepted"], duplicates + first["duplicate"], Decimal(first["refused"])
        until(page, "Dead letters", dead)

        # One of them corrected: an event of its own, at a time that has one already.
        window.get_by_label("Correct one").scroll_into_view_if_needed()
        page.wait_for_timeout(500)  # scrolling closes a menu
        window.get_by_label("Correct one").click()
        page.get_by_role("option").first.click()
        purchase = {"event_id": "corrected by hand", "event_type": "purchase", "user_id": 1, "product_id": 100, "price": 12.5}
        window.get_by_label("Message").fill(json.dumps(purchase | {"timestamp": sums(store)["newest"]}))
        # What is typed stays while the page behind refreshes itself.
        page.wait_for_timeout(2_500)
        assert "corrected by hand" in window.get_by_label("Message").input_value()
        shot(page, "letters_corrected")
        window.get_by_role("button", name="Replay corrected").click()
        expect(window.get_by_test_id("stAlert")).to_contain_text("1 replayed: 1 accepted, 0 duplicates, 0 refused again.")
        until(page, "Accepted", accepted + 1)
        until(page, "Dead letters", dead - 1)

        # The rest again, and again: nothing is counted twice.
        window.get_by_role("button", name=re.compile("^Replay (these|this)")).click()
        expect(window.get_by_test_id("stAlert")).to_contain_text(f"{dead - 1:,} replayed: 0 accepted")
        # While the page draws itself anew, a key may reach nobody.
        for _ in range(20):
            page.keyboard.press("Escape")
            page.wait_for_timeout(500)
            if page.get_by_role("dialog").count() == 0:
                break
        expect(page.get_by_role("dialog")).to_have_count(0)
        found = [tile(page, name) for name in ("Read", "Accepted", "Duplicates", "Dead letters")]
        assert found == [read, accepted + 1, duplicates, dead - 1]
        expect(page.get_by_text("all accounted for")).to_be_visible()
    headrace("commerce", "verify", "--store", store, "--archive", f"file:{tmp_path}/ecommerce")


def test_dead_letters_on_a_phone_where_the_page_may_only_read(store: str) -> None:
    with serving(store, HEADRACE_DASHBOARD_REPLAY="no") as url, looking(url, PHONE) as page:
        ready(page)
        window = letters(page, "Review")
        expect(window.get_by_text("This page may only read")).to_be_visible()
        expect(window.get_by_role("button", name=re.compile("Replay"))).to_have_count(0)
        page.screenshot(path=Path(os.environ["HEADRACE_UI_FOLDER"]) / "commerce_phone_letters.png")
        box = window.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= PHONE[0]


def test_a_replay_that_fails_is_told_without_its_secrets(store: str) -> None:
    archive = "s3://app:a-secret-word@another-lake?endpoint=http://127.0.0.1:9"
    with serving(store, HEADRACE_DASHBOARD_ARCHIVE=archive) as url, looking(url, WIDE) as page:
        ready(page)
        before = tile(page, "Dead letters")
        window = letters(page)
        window.get_by_role("button", name=re.compile("^Replay these")).click()
        expect(window.get_by_test_id("stAlert")).to_contain_text("The replay has failed.")
        # The error names the archive, and so could tell its password.
        expect(window.get_by_test_id("stAlert")).to_contain_text("another-lake")
        shot(page, "letters_failed")
        assert "a-secret-word" not in page.content() and "Traceback" not in page.content()
        assert tile(page, "Dead letters") == before


def test_a_store_that_is_missing_then_empty_then_filled(tmp_path: Path) -> None:
    directory = tmp_path / "later"
    with serving(f"embedded:{directory}") as url, looking(url, WIDE) as page:
        error = page.get_by_test_id("stAlert").first
        expect(error).to_contain_text("There is no store")
        expect(page.get_by_text(f"headrace commerce demo --live 100 --dir {directory}")).to_be_visible()
        shot(page, "missing")
        headrace("commerce", "create", "--log", f"embedded:{directory}", "--store", f"embedded:{directory}", "--archive", "none")
        expect(page.get_by_text("No events yet.")).to_be_visible()
        expect(page.get_by_text("There is no store")).to_have_count(0)
        shot(page, "empty")
        headrace("commerce", "demo", "--dir", directory, "--events", 2_000)
        ready(page)
        assert tile(page, "Read") >= 2_000


def test_a_server_that_does_not_answer_is_told_in_a_sentence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(f"mysql://app:a-secret-word@127.0.0.1:{port}/shop") as url, looking(url, WIDE) as page:
        error = page.get_by_test_id("stAlert").first
        expect(error).to_contain_text(re.compile(rf"127\.0\.0\.1:{port}"))
        expect(error).to_contain_text("This page tries again every second.")
        shot(page, "unreachable")
        assert "a-secret-word" not in page.content() and "Traceback" not in page.content()


def test_without_the_package_the_command_says_how_to_install_it() -> None:
    if not HEADRACE.exists():
        pytest.skip(f"{HEADRACE} is not there: ./run headrace --version builds it")
    run = subprocess.run([HEADRACE, "dashboard", "commerce", "--python", "headrace-no-such-python"], capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.count("\n") == 1, run.stderr
    assert "pip install 'headrace[dashboard]'" in run.stderr and "headrace-no-such-python" in run.stderr
