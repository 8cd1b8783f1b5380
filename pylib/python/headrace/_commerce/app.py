"""The page of commerce: filters beside, then everything else as one part that refreshes itself.

A refresh reads nothing itself (see `live`) and changes the rows of charts, never their specification, so that nothing flickers.
"""

from __future__ import annotations

import os
import shlex
from datetime import datetime, timedelta, timezone
from urllib.parse import unquote

import streamlit as st

from headrace._commerce import letters, panels
from headrace._commerce.figures import View, choices
from headrace._commerce.live import Live, Pending
from headrace._commerce.markup import STYLE, note, sentence, status, time
from headrace._commerce.replay import Replays, archive_of
from headrace._commerce.tables import Counters
from headrace.dashboard import ARCHIVE, DEFAULT_STORE, REPLAY, STORE
from headrace.errors import ConfigError, HeadraceError

__all__ = ["main"]

RANGES = {
    "15 min": timedelta(minutes=15),
    "1 hour": timedelta(hours=1),
    "6 hours": timedelta(hours=6),
    "24 hours": timedelta(hours=24),
}
DEFAULT_RANGE = "1 hour"
LONGEST = max(RANGES.values())
REFRESH_SECONDS = 1.0
QUIET = timedelta(seconds=10)
"""Without a commit for so long the page does not call itself live."""
FILTERS = {"city": ("City", "cities"), "store_id": ("Store", "stores"), "category": ("Category", "categories")}
EMPTY = """**No events yet.** As soon as events are committed here, they appear by themselves. For live numbers with nothing to set up:

```sh
{}
```"""


def main() -> None:
    """Draws the whole page."""
    st.set_page_config("Shop, live · Headrace", "🛒", layout="wide", initial_sidebar_state="auto")
    st.html(STYLE)
    store = os.environ.get(STORE, DEFAULT_STORE)
    tables = _live(store)
    replays = _may_replay(store)
    with st.sidebar:
        filters, running = _sidebar(tables)
    st.fragment(_body, run_every=REFRESH_SECONDS if running else None)(tables, filters, isinstance(replays, Replays))
    if letters.is_asked():
        letters.show(tables, replays)


def _may_replay(store: str) -> Replays | str:
    """The replays of the store, or why there are none."""
    if os.environ.get(REPLAY) != "yes":
        return f"This page may only read: start the dashboard with --replay yes, or {REPLAY}=yes, to change that."
    archive = os.environ.get(ARCHIVE) or archive_of(store)
    if archive is None:
        return f"Replayed events go into the archive too: start the dashboard with --archive, or {ARCHIVE}: that of the stream, or none."
    return _replays(store, archive)


def _new_live(store: str) -> Live:
    return Live(store)


def _new_replays(store: str, archive: str) -> Replays:
    return Replays(store, archive, lambda: _live(store).again("counters", letters.TABLE))


# One for all visitors.
_live = st.cache_resource(show_spinner=False)(_new_live)
_replays = st.cache_resource(show_spinner=False)(_new_replays)


def _sidebar(tables: Live) -> tuple[dict[str, tuple[str, ...]], bool]:
    st.html('<h2 class="hr-title">Filters</h2>')
    known = _choices(tables)
    filters = {}
    for column, (label, many) in FILTERS.items():
        key = f"filter_{column}"
        # What was chosen stays, even if its last row has left the range.
        options = sorted({*known.get(column, []), *st.session_state.get(key, [])})
        filters[column] = tuple(st.multiselect(label, options, key=key, placeholder=f"All {many}"))
    st.session_state["known"] = known
    running = st.toggle("Refresh every second", value=True)
    st.html(
        '<p class="hr-note">Filters apply to sales, views, funnel, time to purchase and abandoned carts. Users, top products and demand '
        "peaks are not kept by place, and data quality is about events that may have none: there they cannot apply, and the panels "
        "say so.</p>"
    )
    return filters, running


def _choices(tables: Live) -> dict[str, list[str]]:
    """The places of the longest range; none while nothing can be read."""
    try:
        newest = tables.counters()["newest_minute"]
        if newest is None:
            return {}
        return choices(tables.since("activity_per_minute", "minute", newest - LONGEST, key=True))
    except (HeadraceError, Pending):
        return {}


def _body(tables: Live, filters: dict[str, tuple[str, ...]], can_replay: bool) -> None:
    now = datetime.now(timezone.utc)
    try:
        counters = tables.counters()
    except Pending:
        _head(tables, False, "reading the store")
        st.html(note("Reading the store for the first time…"))
        return
    except HeadraceError as error:
        _head(tables, False, "no data")
        st.error(f"{sentence(error)} This page tries again every second.", icon=":material/error:")
        if isinstance(error, ConfigError) and tables.store.startswith("embedded:"):
            st.info(EMPTY.format(_demo(tables.store)), icon=":material/hourglass_empty:")
        return
    _told(tables, counters, now)
    problem = tables.problem()
    if problem is not None:
        st.warning(
            f"{sentence(problem)} What is shown was read before; this page tries again every second.", icon=":material/warning:"
        )
    newest = counters["newest_minute"]
    if newest is None and not counters["read"]:
        st.info(EMPTY.format(_demo(tables.store)), icon=":material/hourglass_empty:")
        return
    if newest is not None and _choices(tables) != st.session_state.get("known"):
        # A place that the filters do not offer yet.
        st.rerun(scope="app")
    name = st.segmented_control("Range", list(RANGES), default=DEFAULT_RANGE, key="range", label_visibility="collapsed")
    length = RANGES[name or DEFAULT_RANGE]
    until = (newest or now.replace(second=0, microsecond=0)) + timedelta(minutes=1)
    view = View(until - length, until, *(filters[column] for column in FILTERS))
    panels.draw(tables, counters, view, length, can_replay)


def _head(tables: Live, is_live: bool, words: str) -> None:
    st.html(status("Shop, live", _shown(tables.store), is_live, words))


def _told(tables: Live, counters: Counters, now: datetime) -> None:
    at = counters["committed_at"]
    if at is None:
        _head(tables, False, "nothing committed yet")
        return
    ago = max(now - at, timedelta())
    passed = f"{ago.seconds} s" if ago < timedelta(minutes=1) else f"{ago // timedelta(minutes=1):,} min"
    words = f"{'live' if ago < QUIET else 'quiet'}, last commit {time(at)} UTC, {passed} ago"
    _head(tables, ago < QUIET, words)


def _shown(store: str) -> str:
    """The store without login and options."""
    scheme, _, rest = store.partition("?")[0].partition(":")
    return f"{scheme}:{'//' if '@' in rest else ''}{rest.rpartition('@')[2]}"


def _demo(store: str) -> str:
    """The command that fills this store, or one of its own where this one is a server."""
    command = "headrace commerce demo --live 100"
    if store.startswith("embedded:"):
        directory = unquote(store.removeprefix("embedded:").removeprefix("//").partition("?")[0])
        return f"{command} --dir {shlex.quote(directory)}"
    return f"{command}\nheadrace dashboard commerce --store embedded:headrace-commerce-demo --port 8502"
