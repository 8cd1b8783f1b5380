"""A person in front of Airflow: what the tests click, fill in and read, in headless Chromium."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PageTimeout

PATIENCE = 180_000
"""Milliseconds that something may take; a test should not fail because a machine is slow."""
FLAGS = (
    *("--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-first-run", "--no-proxy-server"),
)


class Person:
    """Somebody who is logged in."""

    def __init__(self, page: Page, url: str, folder: Path) -> None:
        self.page, self.url, self.folder = page, url, folder
        self.shots = 0

    def shot(self, name: str) -> None:
        """Keeps what is to be seen."""
        self.shots += 1
        self.page.wait_for_timeout(500)  # charts and panels slide in
        self.page.screenshot(path=self.folder / f"{self.shots:02}_{name}.png")

    def button(self, name: str, inside: Page | Locator | None = None) -> Locator:
        """The first button of this name."""
        return (inside or self.page).get_by_role("button", name=name, exact=True).first

    def dialog(self) -> Locator:
        """The dialog that is open."""
        return self.page.get_by_role("dialog")

    def log_in(self, user: str, password: str) -> None:
        """Fills in the form of the front page."""
        self.page.goto(self.url + "/")
        self.page.locator("input[name=username]").fill(user)
        self.page.locator("input[name=password]").fill(password)
        self.shot("login")
        self.page.locator("button[type=submit]").click()
        self.page.get_by_role("link", name="Dags", exact=True).wait_for()

    def open(self, path: str) -> None:
        """Goes to a page, which is there when its own parts are."""
        self.page.goto(self.url + path, wait_until="domcontentloaded")

    def open_dag(self, dag: str) -> None:
        """Finds a DAG in the list, as soon as Airflow knows it."""
        self.open("/dags")
        link = self.page.get_by_role("link", name=dag, exact=True).first
        for _ in range(60):
            try:
                link.wait_for(timeout=3_000)
                break
            except PageTimeout:
                self.page.reload(wait_until="domcontentloaded")
        self.page.get_by_text(re.compile(r"^\d+ Dags?$")).wait_for()
        self.shot("dags")
        link.click()
        # The list has buttons of the same name, so its end is waited for.
        self.page.wait_for_url(lambda url: url.endswith(f"/dags/{dag}"))
        self.page.get_by_role("heading", name=dag, exact=True).wait_for()

    def fill_in(self, form: Locator, fields: Mapping[str, str]) -> None:
        """Writes into fields of the open form of a DAG, unfolding the section that each is in."""
        for name, value in fields.items():
            field = form.locator(f"[name=element_{name}]")
            field.wait_for(state="attached")
            # One section is open at a time, and the others are unfolded by their headings.
            for section in form.locator("[data-part=item-trigger]").all():
                if field.is_visible():
                    break
                if section.get_attribute("aria-expanded") == "false":
                    section.click()
                    self.page.wait_for_timeout(500)
            field.fill(value)
            field.press("Tab")

    def trigger(self, dag: str, fields: Mapping[str, str]) -> str:
        """Fills in the form and presses Trigger; gives the id of the run, whose page is open then."""
        self.button("Trigger Dag").click()
        form = self.dialog()
        form.get_by_text("Run Parameters").wait_for()
        self.page.wait_for_timeout(1_000)  # the form moves into its place
        self.shot(f"{dag}_form")
        self.fill_in(form, fields)
        self.shot(f"{dag}_form_filled")
        with self.page.expect_response(lambda answer: answer.url.endswith("/dagRuns") and answer.request.method == "POST") as waited:
            self.button("Trigger", form).click()
        assert waited.value.ok, waited.value.text()
        run = str(waited.value.json()["dag_run_id"])
        self.page.wait_for_url(lambda url: "/runs/" in url)
        return run

    def badge(self, heading: str) -> Locator:
        """What stands beside a heading: the state of just that run or task, not of a row of the table."""
        return self.page.get_by_role("heading", name=heading, exact=True).first.locator("xpath=..")

    def wait_for(self, heading: str, *states: str) -> str:
        """Waits until the badge, which Airflow itself keeps fresh, shows one of these states."""
        badge = self.badge(heading)
        expect(badge).to_have_text(re.compile("|".join(f"{state}$" for state in states)), timeout=2 * PATIENCE)
        return badge.inner_text().rpartition("\n")[2]

    def tasks(self) -> dict[str, str]:
        """The states in the table of a run's tasks."""
        rows = self.page.locator("tbody tr")
        rows.first.wait_for()
        found = [row.split("\t") for row in rows.all_inner_texts()]
        return {cells[1].strip(): cells[3].strip() for cells in found}

    def log(self, task: str, text: str) -> str:
        """The log on the page of a task, opened again until it has a text: Airflow refreshes it only while the task runs."""
        log = self.page.locator("code").filter(has_text="Log message source details").first
        for _ in range(PATIENCE // 5_000):
            self.open(task)
            log.wait_for()
            try:
                expect(log).to_contain_text(text, timeout=5_000)
                break
            except AssertionError:
                pass
        expect(log).to_contain_text(text)
        return log.inner_text()

    def value(self, row: str) -> dict[str, Any]:
        """The first lines of the JSON in a row of a table, which are as many as fit: names with numbers or texts."""
        cell = self.page.get_by_role("row").filter(has_text=row)
        cell.get_by_role("textbox", name="Editor content").wait_for()
        expect(cell).to_contain_text("{")
        lines = re.findall(r'"(\w+)": (?:(-?\d+)\b|"([^"\n]*)")', cell.inner_text().replace("\xa0", " "))
        return {name: int(number) if number else text for name, number, text in lines}

    def mark_failed(self) -> None:
        """Marks the task on the page as failed."""
        self.button("Mark Task Instance as...").click()
        self.page.get_by_role("menuitem", name="Failed").click()
        self.confirm("mark_failed", "Mark")

    def clear(self) -> None:
        """Clears the task on the page and what comes after it."""
        self.page.get_by_role("button", name=re.compile("clear")).first.click()
        self.confirm("clear", "Clear")

    def confirm(self, name: str, title: str) -> None:
        """Looks at what a dialog is about to do, and lets it."""
        dialog = self.dialog()
        dialog.get_by_text(title).first.wait_for()
        self.page.wait_for_timeout(1_000)
        self.shot(name)
        self.button("Confirm", dialog).click()
        dialog.wait_for(state="detached")


@contextmanager
def browser() -> Iterator[Browser]:
    """A new browser without a history."""
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], headless=True, args=flags)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def logged_in(url: str, user: str, password: str, folder: Path) -> Iterator[Person]:
    """A person whose browser asked nobody but Airflow."""
    asked: set[str] = set()
    with browser() as started:
        page = started.new_page(viewport={"width": 1400, "height": 900}, locale="en-US")
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        person = Person(page, url, folder)
        person.log_in(user, password)
        yield person
    assert asked - {""} == {urlsplit(url).netloc}
