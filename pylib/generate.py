"""Writes the Python functions and Airflow operators of all steps: ``headrace describe | python pylib/generate.py``.

They are thin and typed; names, help, types and defaults come from the one definition of each step. The result is committed,
and a test checks that it is what this program writes.
"""

from __future__ import annotations

import json
import keyword
import sys
import textwrap
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent / "python" / "headrace"
# What Airflow's operators have themselves; a parameter of that name gets an underscore, like Python's keywords.
TAKEN_BY_OPERATORS = {"email", "log", "logger", "output", "owner", "params", "pool", "queue", "resources", "retries", "weight_rule"}
# What a system's module has beside its steps, written by hand elsewhere.
MORE = {"commerce": ("headrace._commerce.tables", ["counters", "read_table"])}
NAMED_TYPES = {"path": "File", "url": "StoreUrl", "duration": "Duration", "date": "Date"}


def render(system: str, steps: list[dict[str, Any]]) -> str:
    """The module of a system."""
    functions = [function(step) for step in steps]
    body = "\n\n\n".join(functions)
    types = sorted(name for name in ["OnProgress", *NAMED_TYPES.values()] if f": {name}" in body or f"[{name}]" in body)
    lines = [f'"""The steps of {system}. Written by pylib/generate.py from the steps themselves; do not edit."""', ""]
    lines += ["from __future__ import annotations", ""]
    lines += ["from typing import Literal", ""] if "Literal[" in body else []
    module, names = MORE.get(system, ("", []))
    lines += [f"from {module} import {', '.join(names)}"] if names else []
    lines += [f"from headrace._run import {', '.join(types)}, run"]
    lines += ["from headrace.control import CancellationToken", "from headrace.report import Report", ""]
    lines += ["__all__ = ["] + [f'    "{name}",' for name in [*(python_name(step["name"]) for step in steps), *names]] + ["]"]
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


def render_operators(system: str, steps: list[dict[str, Any]]) -> str:
    """The module of a system's Airflow operators."""
    body = "\n\n\n".join(operator(step) for step in steps)
    types = sorted(name for name in NAMED_TYPES.values() if f": {name}" in body or f"[{name}]" in body)
    lines = [f'"""The steps of {system} as Airflow operators. Written by pylib/generate.py from the steps; do not edit."""', ""]
    lines += ["from __future__ import annotations", "", "from typing import TYPE_CHECKING, Any"]
    lines[-1] += ", Literal" if "Literal[" in body else ""
    lines += ["", "from headrace.airflow.lineage import Dataset"] if "Dataset(" in body else [""]
    lines += ["from headrace.airflow.operator import HeadraceOperator", ""]
    lines += ["if TYPE_CHECKING:", f"    from headrace._run import {', '.join(types)}", ""] if types else []
    lines += ["__all__ = ["] + [f'    "{class_name(step)}",' for step in steps] + ["]"]
    return "\n".join(lines) + "\n\n\n" + body + "\n"


def operator(step: dict[str, Any]) -> str:
    """The Airflow operator of a step."""
    parameters = sorted(step["parameters"], key=lambda parameter: (not parameter["positional"], not parameter["required"]))
    names = [field_name(parameter["name"]) for parameter in parameters]
    text = [f'"""{sentence(step["about"])}', "", "Args:"]
    for name, parameter in zip(names, parameters, strict=True):
        text += argument(name, parameter["help"] + (", or conn:ID/PATH" if parameter["type"] == "url" else ""))
    lines = [f"class {class_name(step)}(HeadraceOperator):", textwrap.indent("\n".join([*text, '"""']), "    "), ""]
    lines += [f'    headrace_step = ("{step["system"]}", "{step["name"]}")', "    headrace_parameters = {"]
    lines += [f'        "{parameter["name"]}": "{parameter["type"]}",' for parameter in parameters] + ["    }"]
    lines += ["    template_fields = ("] + [f'        "{name}",' for name in names] + ["    )"]
    lines += ["    headrace_datasets = (", *(f"        {dataset(each)}," for each in step["datasets"]), "    )"] if step["datasets"] else []
    lines += [f'    custom_operator_name = "headrace {step["system"]} {step["name"]}"', "", "    def __init__("]
    lines += ["        self,", "        *,"]
    lines += [f"        {declaration(p, name)}," for name, p in zip(names, parameters, strict=True)]
    lines += ["        **kwargs: Any,", "    ) -> None:", "        super().__init__(**kwargs)"]
    return "\n".join(lines + [f"        self.{name} = {name}" for name in names])


def dataset(each: dict[str, Any]) -> str:
    """A data set that a parameter names."""
    values = [each["parameter"], "output" if each["output"] else "input", each["kind"]]
    words = [json.dumps(value) for value in values + ([each["name"]] if each["name"] else [])]
    if each["when"]:
        words.append(f"when={json.dumps(each['when'])}")
    return f"Dataset({', '.join(words)})"


def class_name(step: dict[str, Any]) -> str:
    """The name of a step's operator."""
    return "".join(word.title() for word in python_name(f"{step['system']} {step['name']}").split("_")) + "Operator"


def field_name(name: str) -> str:
    """A parameter's name as an operator allows it; ``log`` becomes ``log_``."""
    name = python_name(name)
    return f"{name}_" if name in TAKEN_BY_OPERATORS else name


def declaration(parameter: dict[str, Any], name: str | None = None) -> str:
    """Name, type and default; ``name`` is that of an operator, where numbers and flags may be templates."""
    kind = NAMED_TYPES.get(parameter["type"], parameter["type"])
    if name and kind in ("bool", "int", "float"):
        kind += " | str"
    if parameter["choices"]:
        kind = "Literal[" + ", ".join(f'"{choice}"' for choice in parameter["choices"]) + "]"
    if parameter["many"]:
        kind = f"list[{kind}]"
    text = f"{name or python_name(parameter['name'])}: {kind}"
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
    files = {f"{system}.py": render(system, steps) for system, steps in systems.items()}
    return files | {f"airflow/operators/{system}.py": render_operators(system, steps) for system, steps in systems.items()}


if __name__ == "__main__":
    for file, text in modules(sys.stdin.read()).items():
        (PACKAGE / file).write_text(text, encoding="utf-8")
