"""The HTML report of `recruitment demo`, opened from its file as a reader does."""

from __future__ import annotations

import os
import re
from pathlib import Path

from browser import browser

from headrace import recruitment

ROWS = 3_000
BARS = "svg rect"


def test_the_report_opens_offline_and_fits_any_screen(tmp_path: Path) -> None:
    demo = recruitment.demo(dir=tmp_path, rows=ROWS)
    url = (tmp_path / "report.html").as_uri()
    folder = Path(os.environ["HEADRACE_UI_FOLDER"])
    with browser() as started:
        for name, width, scheme in (("report", 1200, "light"), ("report_dark", 1200, "dark"), ("report_phone", 390, "light")):
            page = started.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
            asked: list[str] = []
            problems: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("console", lambda message, problems=problems: problems.append(message.text))
            page.goto(url)
            page.screenshot(path=folder / f"{name}.png", full_page=True)
            assert (asked, problems) == ([url], [])
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            cards = dict(reversed(card.split("\n")) for card in page.locator(".cards div").all_inner_texts())
            assert (cards["records read"], cards["dead letters"]) == (f"{ROWS:,}", f"{demo.dead_lettered:,}")
            assert re.fullmatch(r"[\d,]+\.\d\d", cards["spend"])
            assert "Verified" in page.locator("main > p").inner_text()
            # A bar for each of thirty days in both charts, none of them taller than its chart.
            assert page.locator(BARS).count() == 60
            tall = page.locator(BARS).evaluate_all("bars => bars.map(bar => Number(bar.getAttribute('height')))")
            assert 0 < max(tall) <= 220
            page.close()
