"""The functions of the steps are what the generator makes of the steps' own definition."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from headrace import _native

sys.path.insert(0, str(Path(__file__).parents[1]))
import generate


def test_the_committed_modules_are_what_the_generator_writes() -> None:
    modules = generate.modules(_native.describe())
    assert modules
    for file, text in modules.items():
        hint = "run: ./run headrace describe | python3 pylib/generate.py"
        assert (generate.PACKAGE / file).read_text(encoding="utf-8") == text, hint


def test_names_types_and_defaults_are_pythons() -> None:
    def parameter(name: str, kind: str, **more: object) -> dict[str, object]:
        more = {"positional": False, "required": False, "many": False, "default": None, "choices": [], "help": "Help", **more}
        return {"name": name, "type": kind, **more}

    step = {
        "system": "s",
        "name": "dead-letters list",
        "about": "List",
        "parameters": [
            parameter("from", "url", default="embedded:x"),
            parameter("file", "path", positional=True, required=True),
            parameter("rows", "int", default="65536"),
            parameter("what", "str", choices=["a", "b"], default="a"),
            parameter("many", "date", many=True),
            parameter("again", "bool", default=False),
            parameter("must", "duration", required=True),
        ],
    }
    text = generate.function(step)
    compile("from __future__ import annotations\n" + text, "generated", "exec")
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "def dead_letters_list("
    declarations = ["file: File,", "*,", "must: Duration,", 'from_: StoreUrl = "embedded:x",', "rows: int = 65_536,"]
    declarations += ['what: Literal["a", "b"] = "a",', "many: list[Date] | None = None,", "again: bool = False,"]
    assert lines[1:9] == declarations
    assert '"from": from_,' in lines and "from_: Help." in lines


def test_an_operator_keeps_clear_of_what_airflows_have() -> None:
    base = {"positional": False, "required": False, "many": False, "default": None, "choices": [], "help": "Help"}
    parameters = [
        base | {"name": "log", "type": "url"},
        base | {"name": "from", "type": "path", "required": True},
        base | {"name": "rows", "type": "int", "default": "5"},
    ]
    datasets = [
        {"parameter": "from", "output": False, "kind": "file", "name": None, "when": None},
        {"parameter": "log", "output": True, "kind": "topic", "name": "t", "when": {"rows": ["5"]}},
    ]
    step = {"system": "s", "name": "dead-letters list", "about": "List", "parameters": parameters, "datasets": datasets}
    text = generate.operator(step)
    compile("from __future__ import annotations\n" + text, "generated", "exec")
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "class SDeadLettersListOperator(HeadraceOperator):"
    assert lines.index("from_: File,") < lines.index("log_: StoreUrl | None = None,") < lines.index("rows: int | str = 5,")
    assert lines.index('"from": "path",') < lines.index('"log": "url",')
    assert 'Dataset("from", "input", "file"),' in lines
    assert 'Dataset("log", "output", "topic", "t", when={"rows": ["5"]}),' in lines
    assert "headrace_datasets" not in generate.operator(step | {"datasets": []})
    assert "log_: Help, or conn:ID/PATH." in lines and "self.log_ = log_" in lines


def test_a_report_is_what_the_command_line_prints() -> None:
    from headrace import Report

    values = {"step": "x y", "outcome": "complete", "read": 3, "written": 1, "duplicate": 1, "dead_lettered": 1}
    values |= {"ignored": 0, "bytes": 9, "classes": {"a": 1}, "seconds": 0.5, "rows_per_second": 6.0}
    values |= {"positions": {"p": 3}, "begun": {"p": None}, "facts": {}, "notes": ["n"]}
    table = {"title": "t", "columns": ["a"], "rows": [["1"]]}
    report = Report.from_json(json.dumps(values | {"table": table, "unknown": 1}))
    assert report.to_dict() == values
    assert report.table is not None and report.table.rows == (("1",),)
    assert str(report) == "x y complete: 3 read, 1 written, 1 duplicate, 1 dead-lettered, 0 ignored, in 0.5 s"
