"""The parts of the page that are text: numbers, tiles, bars and tables as HTML. Every value is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from decimal import ROUND_HALF_UP, Decimal
from html import escape

__all__ = [
    "STYLE",
    "amount",
    "bars",
    "count",
    "duration",
    "note",
    "paragraph",
    "sentence",
    "share",
    "shortened",
    "status",
    "table",
    "tiles",
    "time",
    "title",
]

STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: 1.5rem 1.5rem 3rem; max-width: 1500px; }
[data-testid="stHeader"] { background: transparent; }
[data-testid="stStatusWidget"], [data-testid="stAppDeployButton"] { display: none; }
[data-testid="stElementContainer"], [data-testid="stVegaLiteChart"] { opacity: 1 !important; transition: none !important; }
.hr-head { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; }
.hr-head h1 { font-size: 1.6rem; font-weight: 700; margin: 0; padding: 0; }
.hr-status { font-size: .85rem; opacity: .75; }
.hr-dot { display: inline-block; width: .6rem; height: .6rem; border-radius: 50%; margin-right: .35rem; background: #9ca3af; }
.hr-dot.live { background: #16a34a; }
.hr-tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: .6rem; }
.hr-tile { border: 1px solid rgba(128, 128, 128, .28); border-radius: .6rem; padding: .55rem .75rem; min-width: 0; }
.hr-tile b { display: block; font-size: 1.3rem; font-weight: 650; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; line-height: 1.35; }
.hr-tile span { font-size: .8rem; opacity: .75; }
.hr-tile small { display: block; font-size: .75rem; opacity: .7; }
.hr-title { font-size: 1.05rem; font-weight: 650; margin: 0; padding: 0; line-height: 1.3; }
.hr-note { font-size: .78rem; opacity: .72; margin: .1rem 0 0; }
.hr-bars { display: grid; gap: .4rem; }
.hr-bar { display: grid; grid-template-columns: minmax(5.5rem, 9rem) 1fr minmax(4.5rem, auto); gap: .6rem; align-items: center; font-size: .88rem; }
.hr-bar i { display: block; height: 1.1rem; border-radius: .2rem; background: #2563eb; min-width: 2px; }
.hr-bar span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.hr-bar span:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.hr-bar small { display: block; opacity: .7; font-size: .75rem; }
.hr-scroll { overflow-x: auto; }
.hr-table { border-collapse: collapse; width: 100%; font-size: .84rem; }
.hr-table th { text-align: left; font-weight: 600; opacity: .75; font-size: .76rem; white-space: nowrap; }
.hr-table th, .hr-table td { padding: .25rem .6rem .25rem 0; border-bottom: 1px solid rgba(128, 128, 128, .22); }
.hr-table .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.hr-table td { white-space: nowrap; }
.hr-table td.w { max-width: 16rem; overflow: hidden; text-overflow: ellipsis; font-family: monospace; font-size: .76rem; }
.hr-empty { font-size: .88rem; opacity: .75; padding: .5rem 0; }
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding: 3rem .8rem 2rem; }
  .hr-tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .hr-tile b { font-size: 1.1rem; }
  .hr-bar { grid-template-columns: minmax(4.5rem, 6rem) 1fr minmax(4rem, auto); }
}
</style>"""

Row = Sequence[str]


def amount(value: Decimal | float | None) -> str:
    """An amount with two decimals, rounded half away from zero, and separated thousands."""
    if value is None:
        return "–"
    return f"{Decimal(value).quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def count(value: int) -> str:
    """A whole number with separated thousands."""
    return f"{value:,}"


def share(value: float | None) -> str:
    """A share as per cent."""
    return "–" if value is None else f"{value:.1%}"


def duration(seconds: float | None) -> str:
    """A length of time for people."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"


def time(value: datetime | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time in UTC."""
    return "–" if value is None else value.astimezone(timezone.utc).strftime(form)


def shortened(value: bytes | str | None, most: int = 120) -> str:
    """The beginning of a message, whatever it holds."""
    if value is None:
        return "(no value)"
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    text = "".join(letter if letter.isprintable() else "�" for letter in text[: most + 1])
    return text if len(text) <= most else text[:most] + "…"


def sentence(error: BaseException) -> str:
    """What went wrong, as a sentence of one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else text + "."


def title(text: str, below: str = "") -> str:
    """The heading of a panel, and what its figures cover."""
    return f'<h3 class="hr-title">{escape(text)}</h3>' + (paragraph(below) if below else "")


def paragraph(text: str) -> str:
    """What the figures below cover."""
    return f'<p class="hr-note">{escape(text)}</p>'


def note(text: str) -> str:
    """A sentence instead of figures."""
    return f'<div class="hr-empty">{escape(text)}</div>'


def status(name: str, place: str, is_live: bool, words: str) -> str:
    """The head of the page."""
    dot = f'<span class="hr-dot{" live" if is_live else ""}"></span>'
    return (
        f'<div class="hr-head"><h1>{escape(name)}</h1><span class="hr-status">{dot}{escape(words)} · {escape(place)}</span></div>'
    )


def tiles(each: Iterable[tuple[str, str, str]]) -> str:
    """Numbers side by side: label, value, remark."""
    tile = '<div class="hr-tile"><span>{}</span><b>{}</b><small>{}</small></div>'
    return '<div class="hr-tiles">' + "".join(tile.format(*map(escape, part)) for part in each) + "</div>"


def bars(rows: Iterable[tuple[str, float, str, str]], colour: str = "#2563eb") -> str:
    """Horizontal bars: label, length, value, remark."""
    rows = list(rows)
    longest = max((length for _, length, _, _ in rows), default=0) or 1
    lines = []
    for label, length, value, remark in rows:
        width = f"width:{100 * length / longest:.2f}%;background:{colour}"
        below = f"<small>{escape(remark)}</small>" if remark else ""
        lines.append(
            f'<div class="hr-bar"><span title="{escape(label)}">{escape(label)}</span><i style="{width}"></i>'
            f"<span>{escape(value)}{below}</span></div>"
        )
    return '<div class="hr-bars">' + "".join(lines) + "</div>"


def table(heads: Row, rows: Iterable[Row], numbers: Iterable[int] = (), wide: Iterable[int] = ()) -> str:
    """A table that can be scrolled sideways; columns with numbers stand to the right, wide ones are cut at their end."""
    classes = {place: " class=n" for place in numbers} | {place: " class=w" for place in wide}

    def line(cells: Row, tag: str) -> str:
        parts = (f"<{tag}{classes.get(place, '')}>{escape(cell)}</{tag}>" for place, cell in enumerate(cells))
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f'<div class="hr-scroll"><table class="hr-table"><thead>{line(heads, "th")}</thead><tbody>{body}</tbody></table></div>'
