"""Live pages over committed tables: ``python3 -m headrace.dashboard commerce``, or ``headrace dashboard commerce``.

Needs the extra ``headrace[dashboard]``. The page reads, and replays dead letters when a visitor asks for it, on loopback only unless told
otherwise. It listens on loopback, asks no other server for anything and sends no statistics; it has no login of its own.

Exit codes: 0 stopped, 2 the set-up is wrong.
"""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import os
import socket
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["main"]

STORE = "HEADRACE_DASHBOARD_STORE"
"""The variable that carries the store's URL, which may hold a password, to the page."""
ARCHIVE = "HEADRACE_DASHBOARD_ARCHIVE"
"""The variable that carries the archive's URL, which may hold a secret, to the page: replayed events go there too."""
REPLAY = "HEADRACE_DASHBOARD_REPLAY"
"""The variable that tells the page whether visitors may replay dead letters: ``yes`` or ``no``."""
DEFAULT_STORE = "embedded:headrace-data"
PORT = 8501
USAGE = 2
INSTALL = "the dashboard needs Streamlit and Polars: pip install 'headrace[dashboard]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves the page until a signal stops it."""
    words = _parser().parse_args(arguments)
    if not all(map(_is_installed, ("streamlit", "polars"))):
        return _refuse(INSTALL)
    refusal = _cannot_listen(words.address, words.port)
    if refusal:
        return _refuse(refusal)
    os.environ[STORE] = words.store or os.environ.get(STORE) or DEFAULT_STORE
    if words.archive:
        os.environ[ARCHIVE] = words.archive
    # Whoever reaches another address may look, but not write, unless that was wanted.
    os.environ[REPLAY] = words.replay or os.environ.get(REPLAY) or ("yes" if _is_loopback(words.address) else "no")
    shown = f"[{words.address}]" if ":" in words.address else words.address
    print(f"headrace: the dashboard is on http://{shown}:{words.port}; Ctrl-C stops it", file=sys.stderr, flush=True)
    if not _is_loopback(words.address):
        print("headrace: the page has no login, and whoever reaches this address sees it", file=sys.stderr, flush=True)
    if words.open:
        webbrowser.open(f"http://{shown}:{words.port}")
    _serve(words.address, words.port)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("headrace dashboard", description="Live pages over committed tables.")
    parser.add_argument("system", choices=["commerce"], help="whose tables to show")
    parser.add_argument(
        "--store", metavar="URL", help=f"embedded:DIRECTORY or mysql://USER@HOST/DATABASE; {STORE} or {DEFAULT_STORE} if not given"
    )
    parser.add_argument(
        "--archive",
        metavar="URL",
        help=f"the stream's archive, or none, for replays; {ARCHIVE}, or `ecommerce` in an embedded store's directory, if not given",
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"the port to listen on ({PORT})")
    parser.add_argument("--address", default="127.0.0.1", help="the address to listen on; the page has no login (127.0.0.1)")
    parser.add_argument(
        "--replay", choices=["yes", "no"], help=f"let visitors replay dead letters; {REPLAY}, or yes on loopback only, if not given"
    )
    parser.add_argument("--open", action="store_true", help="open the page in this machine's browser")
    return parser


def _refuse(text: str) -> int:
    print(f"headrace: {text}", file=sys.stderr)
    return USAGE


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:
        return False


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _cannot_listen(address: str, port: int) -> str | None:
    """Why nothing can listen there, none if it can; Streamlit itself would tell it in many lines."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
    except (OSError, OverflowError) as error:
        return f"cannot listen on {address}, port {port}: {error}; choose another with --port"
    return None


def _serve(address: str, port: int) -> None:
    from streamlit.web import bootstrap

    options: dict[str, Any] = {
        "server.address": address,
        "server.port": port,
        # Without this Streamlit opens a browser, and asks for an e-mail address on a terminal.
        "server.headless": True,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showSidebarNavigation": False,
        "logger.hideWelcomeMessage": True,
        "logger.level": "error",
        "theme.light.primaryColor": "#2563eb",
        "theme.dark.primaryColor": "#60a5fa",
    }
    page = str(Path(__file__).parent / "_commerce" / "page.py")
    flags = {name.replace(".", "_"): value for name, value in options.items()}
    bootstrap.load_config_options(flags)
    bootstrap.run(page, False, [], flags)


if __name__ == "__main__":
    sys.exit(main())
