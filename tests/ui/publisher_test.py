"""The publisher's pages, used as a person does: features changed on the what-if form, the live page watched while registrations come."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import browser
from playwright.sync_api import Page, expect

ROOT = Path(__file__).parents[2]
HEADRACE = Path(os.environ.get("HEADRACE_COMMAND", ROOT / "target/debug/headrace"))
TOKEN = "a-token-of-the-test-0123456789"
SCREENS = (("light", 1280), ("dark", 1280), ("light", 390))


def headrace(*words: object) -> None:
    """Runs a step; dead letters are no failure."""
    run = subprocess.run([HEADRACE, *map(str, words), "--quiet"], capture_output=True, text=True)
    assert run.returncode in (0, 3), run.stderr


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store with some scored registrations."""
    if not HEADRACE.exists():
        pytest.skip(f"{HEADRACE} is not there: ./run headrace --version builds it")
    url = f"embedded:{tmp_path / 'store'}"
    headrace("scoring", "send", "--to", url, "--count", 3_000, "--varied", "--defects", 0.05)
    headrace("scoring", "score", "--from", url, "--offers", url)
    return url


@pytest.fixture
def server(store: str) -> Iterator[str]:
    """The address of a publisher of that store."""
    yield from serve(store, {})


def serve(store: str, environment: dict[str, str]) -> Iterator[str]:
    """Starts a publisher on a free port, and stops it."""
    line = [HEADRACE, "serve", "--offers", store, "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=os.environ | environment)
    assert process.stderr is not None
    try:
        told = ""
        while not (found := re.search(r"listening on (http://\S+);", told)):
            line_told = process.stderr.readline()
            assert line_told, told
            told += line_told
        yield found[1]
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0


def opened(page: Page, url: str) -> list[str]:
    """Opens a page; whatever it complains about, or asks elsewhere, is listed."""
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    origin = re.match(r"http://[^/]+", url)
    assert origin
    page.on("request", lambda request: None if request.url.startswith((origin[0], "data:")) else problems.append(request.url))
    page.goto(url)
    return problems


def shot(page: Page, name: str) -> None:
    """Keeps what is to be seen, and makes sure that nothing sticks out."""
    page.wait_for_timeout(400)
    page.screenshot(path=Path(os.environ["HEADRACE_UI_FOLDER"]) / f"{name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name


def test_a_changed_feature_changes_the_tariff_at_once(server: str) -> None:
    with browser() as started:
        for scheme, width in SCREENS:
            page = started.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
            problems = opened(page, f"{server}/offers/what-if")
            price = page.locator("#price")
            expect(price).to_have_text(re.compile(r"^\d+ ₽$"))
            before = int(price.inner_text().split()[0])
            page.get_by_label("Country by address").fill("us")
            page.get_by_label("Country of the device").fill("us")
            expect(price).not_to_have_text(f"{before} ₽")
            after = int(price.inner_text().split()[0])
            assert after > before and after % 10 == 9
            expect(page.locator("#why tbody tr").first).to_be_visible()
            assert page.locator("#why tbody tr").count() == 10 and page.locator("#functions li").count() == 6

            page.get_by_label("Prices end in").select_option("10")
            expect(price).to_have_text(re.compile(r"0 ₽$"))
            age = page.get_by_label("Age:")
            age.focus()
            page.keyboard.press("End")
            expect(page.locator("#age")).to_have_text("18")
            page.get_by_label("Came without advertising").check()
            page.get_by_label("Brand", exact=True).fill("Nobody’s")
            expect(page.locator("#unseen")).to_be_visible()
            page.get_by_label("Description").select_option("ru")
            expect(page.locator("#description")).to_contain_text("в месяц")
            shot(page, f"what_if_{scheme}_{width}")

            assert problems == []
            page.get_by_label("Country by address").fill("")
            expect(page.get_by_role("alert")).to_contain_text("missing_ip_country")
            page.get_by_role("button", name="Start again").click()
            expect(page.get_by_role("alert")).to_be_hidden()
            expect(page.locator("#age")).to_have_text("7")
            expect(price).to_have_text(f"{before} ₽")
            page.close()


def test_the_live_page_follows_what_is_scored(store: str, server: str) -> None:
    with browser() as started:
        for scheme, width in SCREENS:
            page = started.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
            problems = opened(page, f"{server}/offers/what-if")
            page.get_by_role("link", name="Live").click()
            expect(page.locator("#state")).to_have_text("live")
            offers = page.locator("#offers")
            expect(offers).to_have_text(re.compile(r"^[\d,]+$"))
            before = int(offers.inner_text().replace(",", ""))
            first = 1_000_000 + before
            headrace("scoring", "send", "--to", store, "--count", 500, "--varied", "--first-user", first)
            headrace("scoring", "score", "--from", store, "--offers", store)
            expect(offers).to_have_text(f"{before + 500:,}")
            expect(page.locator("#rate")).not_to_have_text("0.0")
            expect(page.locator("#rows tbody tr")).to_have_count(12)
            users = [int(user) for user in page.locator("#rows tbody tr td:first-child").all_inner_texts()]
            assert all(first <= user < first + 500 for user in users), users
            letters = int(page.locator("#letters").inner_text().replace(",", ""))
            counts = page.locator("#reasons tbody td:nth-child(2)").all_inner_texts()
            assert 0 < letters == sum(int(count.replace(",", "")) for count in counts)
            page.wait_for_timeout(3_000)
            shot(page, f"live_{scheme}_{width}")

            page.get_by_role("button", name="Pause").click()
            expect(page.locator("#state")).to_have_text("paused")
            page.get_by_role("button", name="Go on").click()
            expect(page.locator("#state")).to_have_text("live")
            assert problems == []
            page.close()


def test_the_live_page_shows_drift_against_training(store: str, server: str) -> None:
    with browser() as started:
        page = started.new_page(viewport={"width": 1280, "height": 900})
        problems = opened(page, f"{server}/offers/live")
        text, rows = page.locator("#drift-text"), page.locator("#drifting tbody tr")
        expect(text).to_contain_text("all as in training")
        expect(rows).to_have_count(6)
        page.get_by_role("button", name="Show all").click()
        expect(rows).to_have_count(17)
        assert all("stable" in row for row in rows.all_inner_texts()), rows.all_inner_texts()
        page.get_by_role("button", name="Show fewer").click()
        expect(rows).to_have_count(6)
        # The constant sender: everybody has one country, one phone and one child's age.
        headrace("scoring", "send", "--to", store, "--count", 4_000, "--first-user", 2_000_000)
        headrace("scoring", "score", "--from", store, "--offers", store)
        expect(text).to_contain_text("train the model anew", timeout=15_000)
        page.get_by_role("button", name="Show all").click()
        age = page.locator("#drifting tbody tr", has=page.locator("code", has_text="child_age"))
        expect(age).to_contain_text("drifted")
        expect(age).to_contain_text("6 to 9")
        assert problems == []
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            shot(page, f"drift_{width}")
        page.close()


def test_a_page_asks_for_the_token_once(store: str) -> None:
    for server in serve(store, {"HEADRACE_SERVE_TOKEN": TOKEN}):
        with browser() as started:
            page = started.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{server}/offers/what-if")
            expect(page.get_by_role("alert")).to_contain_text("token")
            page.get_by_label("Token").fill(TOKEN)
            shot(page, "token")
            page.get_by_role("button", name="Use it").click()
            expect(page.locator("#price")).to_have_text(re.compile(r"^\d+ ₽$"))
            page.get_by_role("link", name="Live").click()
            expect(page.locator("#state")).to_have_text("live")
            assert TOKEN not in page.url
            page.close()
