"""The examples of docs/transforms.md run as they are printed, one after the other, and print what is printed there."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "transforms.md"


def test_the_examples_print_what_the_page_says() -> None:
    blocks = re.findall(r"^```(python|text)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert sum(kind == "text" for kind, _ in blocks) >= 6
    names: dict[str, Any] = {}
    for index, (kind, text) in enumerate(blocks):
        if kind == "text":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(text, f"{PAGE.name}, example {index}", "exec"), names)
        follows = blocks[index + 1] if index + 1 < len(blocks) else ("", "")
        assert printed.getvalue() == (follows[1] if follows[0] == "text" else ""), text
