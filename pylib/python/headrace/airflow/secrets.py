"""Makes Airflow hide a password in every form that a driver, a log line or a URL may show it in."""

from __future__ import annotations

import base64
from urllib.parse import quote, quote_plus, unquote, urlsplit


def forms(password: str, login: str = "") -> list[str]:
    """The password as it is, URL-encoded, and in base64: alone, and with the login as HTTP and SASL send it."""
    found = {password, quote(password), quote(password, safe=""), quote_plus(password), repr(password)[1:-1]}
    for text in (password, f"{login}:{password}", f"\0{login}\0{password}"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # Without the padding it is found with and without it.
            found.add(encode(text.encode()).decode().rstrip("="))
    return sorted(found)


def hide(password: str | None, login: str | None = None) -> None:
    """Registers a password with Airflow's masker, here and in the supervisor that writes the task log."""
    if password:
        from airflow.sdk.log import mask_secret

        mask_secret(forms(password, login or ""))


def hide_in(url: str) -> None:
    """Registers the password inside a store URL, if there is one."""
    if "@" not in url:
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    hide(unquote(parts.password or ""), unquote(parts.username or ""))
    # A form of the masker's own would miss an escape that is written in another way, such as lower case.
    hide(parts.password)


def has_password(url: str) -> bool:
    """Whether a store URL has a password in it, even one whose slashes were not escaped."""
    place = url.partition("://")[2].partition("?")[0]
    return ":" in place.rpartition("@")[0]
