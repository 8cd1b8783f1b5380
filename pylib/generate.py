"""Writes the Python functions of all steps: ``headrace describe | python pylib/generate.py``.

The functions are thin and typed; names, help, types and defaults come from the one definition of each step. The result is
committed, and a test checks that it is what this program writes.
"""

from __future__ import annotations

import json
import keyword
import sys
import textwrap
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent / "python" / "headrace"
NAMED_TYPES = {"path": "File", "url": "StoreUrl", "duration": "Duration", "date": "Date"}


def render(system: str, steps: list[dict[str, Any]]) -> str:
    """The module of a system."""
    functions = [function(step) for step in steps]
    body = "\n\n\n".join(functions)
    types = sorted(name for name in ["OnProgress", *NAMED_TYPES.values()] if f": {name}" in body or f"[{name}]" in body)
    lines = [f'"""The steps of {system}. Written by pylib/generate.py from the steps themselves; do not edit."""', ""]
    lines += ["from __future__ import annotations", ""]
    lines += ["from typing import Literal", ""] if "Literal[" in body else []
    lines += [f"from headrace._run import {', '.join(types)}, run"]
    lines += ["from headrace.control import CancellationToken", "from headrace.report import Report", ""]
    lines += ["__all__ = ["] + [f'    "{python_name(step["name"])}",' for step in steps] + ["]"]
    return "\n".join(lines) + "\n\n\n" + body + "\n"


def function(step: dict[str, Any]) -> str:
    """The function of a step."""
    parameters = sorted(step["parameters"], key=lambda parameter: not parameter["positional"])
    positional = [parameter for parameter in parameters if parameter["positional"]]
    named = sorted((p for p in parameters if not p["positional"]), key=lambda p: not p["required"])
    signature = [declaration(parameter) for parameter in positional] + ["*"]
    signature += [declaration(parameter) for parameter in named]
    signature += ["token: CancellationToken | None = None", "on_progress: OnProgress | None = None"]
    urls = ", ".join(f'"{p["name"]}"' for p in parameters if p["type"] == "url")
    lines = [f"def {python_name(step['name'])}("]
    lines += [f"    {part}," for part in signature]
    lines += [") -> Report:", docstring(step, positional + named)]
    lines += ["    values = {"]
    lines += [f'        "{p["name"]}": {python_name(p["name"])},' for p in positional + named]
    lines += ["    }"]
    lines += [f'    return run("{step["system"]}", "{step["name"]}", values, [{urls}], token, on_progress)']
    return "\n".join(lines)


def declaration(parameter: dict[str, Any]) -> str:
    """Name, type and default."""
    kind = NAMED_TYPES.get(parameter["type"], parameter["type"])
    if parameter["choices"]:
        kind = "Literal[" + ", ".join(f'"{choice}"' for choice in parameter["choices"]) + "]"
    if parameter["many"]:
        kind = f"list[{kind}]"
    text = f"{python_name(parameter['name'])}: {kind}"
    if parameter["required"]:
        return text
    value = default(parameter)
    return f"{text} | None = None" if value is None else f"{text} = {value}"


def default(parameter: dict[str, Any]) -> str | None:
    """The default as Python writes it, none when there is none."""
    value = parameter["default"]
    if value is None:
        return None
    if parameter["type"] == "int":
        return f"{int(value):_}"
    if parameter["type"] in ("bool", "float"):
        return str(value)
    return json.dumps(value)


def docstring(step: dict[str, Any], parameters: list[dict[str, Any]]) -> str:
    """What the step does, its arguments, what it returns and raises."""
    lines = [f'"""{sentence(step["about"])}', "", "Args:"]
    for parameter in parameters:
        lines += argument(python_name(parameter["name"]), parameter["help"])
    lines += argument("token", "Stops the step from elsewhere.")
    lines += argument("on_progress", "Called once a second with how far the step is.")
    lines += ["", "Returns:", "    The report: counts of rows by fate, positions, facts.", "", "Raises:"]
    lines += ["    headrace.ConfigError: The set-up is wrong.", "    headrace.DataError: The input cannot be used."]
    lines += ["    headrace.ExternalError: Something outside failed; trying again can help."]
    lines += ["    headrace.Stopped: It was stopped, with its position committed.", '"""']
    return textwrap.indent("\n".join(lines), "    ")


def argument(name: str, text: str) -> list[str]:
    """An entry of the list of arguments."""
    text = f"{name}: {sentence(' '.join(text.split()))}"
    return textwrap.wrap(text, 110, initial_indent="    ", subsequent_indent="        ", break_long_words=False)


def sentence(text: str) -> str:
    """The text with a full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def python_name(name: str) -> str:
    """A step's or parameter's name as Python allows it; ``from`` becomes ``from_``."""
    name = name.replace(" ", "_").replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def modules(description: str) -> dict[str, str]:
    """File name and text of all modules, from the description of all steps."""
    systems: dict[str, list[dict[str, Any]]] = {}
    for step in json.loads(description):
        systems.setdefault(step["system"], []).append(step)
    return {f"{system}.py": render(system, steps) for system, steps in systems.items()}


if __name__ == "__main__":
    for file, text in modules(sys.stdin.read()).items():
        (PACKAGE / file).write_text(text, encoding="utf-8")
