"""The window of dead letters: looked at by reason, replayed as they are, or one of them corrected.

It does not refresh itself, so that nobody loses a menu or a text; after a replay it shows the letters as they are then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from time import monotonic
from typing import Any

import polars as pl
import streamlit as st

from headrace._commerce import figures
from headrace._commerce.live import Live, Pending
from headrace._commerce.markup import count, note, paragraph, sentence, shortened, table, time
from headrace._commerce.replay import Fix, Outcome, Replays
from headrace.errors import HeadraceError

__all__ = ["TABLE", "ask", "is_asked", "newest", "show"]

TABLE = "commerce_dead_letters"
NEWEST = 200
COLUMNS = ("source", "position", "reason", "detail", "raw", "failed_at", "settled_at", "replays")
LISTED = 10
ASKED = "letters_asked"
"""Since when the visitor looks at the letters."""
REASON, LETTER = "letters_reason", "letters_letter"
MINUTE = "%m-%d %H:%M"
HELD = 16_384
"""Longer messages are not offered for correction: a page is no place to read them."""

Letter = Mapping[str, Any]


def newest(tables: Live) -> pl.DataFrame:
    """The newest letters that are open."""
    letters = tables.whole(TABLE, 3.0, newest=NEWEST, columns=COLUMNS)
    return letters.filter(pl.col("settled_at").is_null())


def ask() -> None:
    """The visitor wants to see the letters."""
    st.session_state[ASKED] = datetime.now(timezone.utc)


def is_asked() -> bool:
    """Whether the window is open."""
    return ASKED in st.session_state


def _close() -> None:
    for key in (ASKED, REASON, LETTER):
        st.session_state.pop(key, None)


def show(tables: Live, replays: Replays | str) -> None:
    """Opens the window; where there are no replays it only shows the letters, and says why."""

    st.dialog("Dead letters", width="large", on_dismiss=_close)(_content)(tables, replays)


def _content(tables: Live, replays: Replays | str) -> None:
    st.html(paragraph("Events that were refused, and are kept until a replay settles them. They count in no other table."))
    if isinstance(replays, Replays):
        _wait(replays)
    try:
        counters, letters = tables.counters(), newest(tables)
    except (HeadraceError, Pending):
        st.html(note("The letters cannot be read at the moment."))
        return
    reasons = dict(figures.dead_letter_reasons(counters["classes"]))
    if not reasons and not letters.height:
        st.html(note("No letter is open."))
        return

    def shown(name: str) -> str:
        number = reasons.get(name, 0) if name else sum(reasons.values())
        return f"{name or 'All reasons'} · {count(number)}"

    # A reason that was chosen stays, even if its last letter has been settled.
    known = dict.fromkeys(["", *reasons, st.session_state.get(REASON) or ""])
    reason: str = st.selectbox("Reason", list(known), format_func=shown, key=REASON) or ""
    chosen = [letter for letter in letters.to_dicts() if reason in ("", letter["reason"])]
    number = reasons.get(reason, 0) if reason else sum(reasons.values())
    if isinstance(replays, Replays):
        which = "this letter as it is" if number == 1 else f"these {count(number)} letters as they are"
        arguments = (replays, reason or None)
        st.button(f"Replay {which}", type="primary", disabled=not number, on_click=_replay, args=arguments, key="letters_replay")
        st.html(
            paragraph(
                "Each goes through the checks once more, and counts at most once, however often you press. A message that is wrong in "
                "itself is refused again: correct it below."
            )
        )
    _list(chosen, number)
    if isinstance(replays, Replays):
        _correction(chosen, replays)
    else:
        st.html(note(f"{replays} Or use: headrace commerce dead-letters replay"))


def _wait(replays: Replays) -> None:
    """Waits for a replay, whoever has asked for it, and tells how it ended."""
    place = st.empty()
    began = monotonic()
    while replays.is_running:
        place.info(f"Replaying… {monotonic() - began:.0f} s", icon=":material/hourglass_top:")
        replays.wait(0.5)
    with place.container():
        _told(replays)


def _list(letters: list[dict[str, Any]], number: int) -> None:
    lines = [
        (
            time(letter["failed_at"], MINUTE),
            f"{letter['source']} {letter['position']}",
            letter["reason"],
            shortened(letter["detail"] or "", 80),
            shortened(letter["raw"]),
            count(letter["replays"]),
        )
        for letter in letters[:LISTED]
    ]
    if lines:
        st.html(table(("Refused (UTC)", "From", "Reason", "Why", "Message", "Replays"), lines, numbers=(5,), wide=(3, 4)))
    if number > len(lines):
        st.html(paragraph(f"The newest {len(lines)} of {count(number)}. All: headrace commerce dead-letters list"))


def _correction(letters: list[dict[str, Any]], replays: Replays) -> None:
    by_place = {(letter["source"], letter["position"]): letter for letter in letters}
    offered = [place for place, letter in by_place.items() if len(letter["raw"] or b"") <= HELD]

    def shown(place: tuple[str, str]) -> str:
        letter = by_place.get(place)
        return f"{place[0]} {place[1]}" + (f" · {letter['reason']}" if letter else " · settled")

    # The same letter stays chosen while others come and go; a correction must never reach another one.
    held = st.session_state.get(LETTER)
    if held is not None and held not in offered:
        offered.append(held)
    place = st.selectbox(
        "Correct one", offered, index=None, format_func=shown, key=LETTER, placeholder="Choose a letter to correct its message"
    )
    letter = by_place.get(place) if place is not None else None
    if letter is None:
        return
    st.html(paragraph(f"Refused as {letter['reason']}: {letter['detail'] or 'no more is known'}"))
    key = f"letter_text_{letter['source']}_{letter['position']}"
    with st.form(f"form_{key}", border=False):
        st.text_area("Message", _text(letter["raw"]), height=160, key=key)
        st.form_submit_button("Replay corrected", on_click=_correct, args=(replays, letter, key))


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode("utf-8", "replace")


def _replay(replays: Replays, reason: str | None) -> None:
    if not replays.start(reason):
        st.toast("Another replay is on its way.")


def _correct(replays: Replays, letter: Letter, key: str) -> None:
    if not replays.start(fix=Fix(letter["source"], letter["position"], st.session_state[key])):
        st.toast("Another replay is on its way.")


def _told(replays: Replays) -> None:
    last, since = replays.last, st.session_state.get(ASKED)
    if last is None or since is None or last.ended < since:
        return
    if last.error is not None:
        known = isinstance(last.error, HeadraceError)
        words = sentence(last.error) if known else "Internal error; please report what the dashboard's terminal says."
        st.error(f"The replay has failed. {words} What was committed before stays; press again to go on.", icon=":material/error:")
    elif last.refused:
        st.warning(_became(last), icon=":material/warning:")
    else:
        st.success(_became(last), icon=":material/check_circle:")


def _became(last: Outcome) -> str:
    if not last.read:
        return "There was nothing to replay."
    why = ", ".join(f"{reason} {count(number)}" for reason, number in sorted(last.reasons.items(), key=lambda each: -each[1]))
    parts = [
        f"{count(last.accepted)} accepted",
        f"{count(last.duplicate)} {'duplicate' if last.duplicate == 1 else 'duplicates'}",
        f"{count(last.refused)} refused again" + (f" ({why})" if why else ""),
    ]
    return f"{count(last.read)} replayed: {', '.join(parts)}."
