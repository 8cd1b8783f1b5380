"""What the operators of all steps share; the operators themselves are written by pylib/generate.py."""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, BaseOperatorLink

from headrace.control import CancellationToken

if TYPE_CHECKING:
    from headrace.airflow.lineage import Dataset, Place
    from headrace.control import Progress
    from headrace.report import Report

_LOG = logging.getLogger("headrace.airflow")


class ReportLink(BaseOperatorLink):
    """Leads from the task to its report."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The page of the task's XComs."""
        from urllib.parse import quote

        from airflow.sdk.configuration import conf

        base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
        index = getattr(ti_key, "map_index", None)
        mapped = f"/mapped/{index}" if index is not None and index >= 0 else ""
        return f"{base}/dags/{quote(ti_key.dag_id)}/runs/{quote(ti_key.run_id)}/tasks/{quote(ti_key.task_id)}{mapped}/xcom"


class HeadraceOperator(BaseOperator):
    """Runs a step of Headrace as a task.

    Every parameter is a template. A store is a URL or a connection, ``conn:ID/PATH``. An empty text means the default of the parameter, so
    that ``{{ params.since or '' }}`` works. The report is the XCom. Mark-failed and clear stop the step within four seconds with its
    position committed, and a retry goes on from there.
    """

    headrace_step: ClassVar[tuple[str, str]]
    """The system and the name of the step."""
    headrace_parameters: ClassVar[Mapping[str, str]]
    """Names and types of the step's parameters, in the order of ``template_fields``."""

    headrace_datasets: ClassVar[tuple[Dataset, ...]] = ()
    """What the step reads and writes, by its parameters."""

    operator_extra_links = (ReportLink(),)
    ui_color = "#f6e3d3"

    _token: CancellationToken | None = None
    _killed: float | None = None
    _places: Sequence[Place] = ()
    _report: dict[str, Any] | None = None

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """The operator for mapped tasks, which have readable names unless others are given."""
        kwargs.setdefault("map_index_template", "{{ task.map_name }}")
        return super().partial(**kwargs)

    @property
    def map_name(self) -> str:
        """The name of a mapped task: its file and its part, as far as it has them."""
        file, split = getattr(self, "file", None), getattr(self, "split", None)
        return " ".join([*([os.path.basename(file)] if file else []), *([f"part {split}"] if split else [])])

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not kwargs.get("doc_md"):
            self.doc_md = markdown(inspect.getdoc(type(self)) or "")

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Renders the parameters, and hides passwords in them before anything shows them."""
        super().render_template_fields(context, jinja_env)
        from headrace.airflow.secrets import hide_in

        for value in self._stores().values():
            hide_in(str(value))

    def execute(self, context: Any) -> dict[str, Any]:
        """Runs the step to its end."""
        from headrace import _run
        from headrace.airflow.connections import store_url
        from headrace.airflow.execution import outcome, tell_outlets
        from headrace.airflow.lineage import places

        # A kill may have come before, and holds then.
        token = self._token = self._token or CancellationToken()
        system, name = self.headrace_step
        urls = [key for key, kind in self.headrace_parameters.items() if kind == "url"]
        values = self._values()
        values |= {key: store_url(value) for key, value in self._stores().items() if isinstance(value, str)}
        self._report = None
        self._places = places(self.headrace_datasets, {key: _run.word(value, key in urls) for key, value in values.items()})

        def call(on_progress: Callable[[Progress], None]) -> Report:
            return _run.run(system, name, values, urls, token, on_progress)

        try:
            self._report = outcome(call, context)
            tell_outlets(context, self.outlets, self._report, self._stores())
            return self._report
        finally:
            if self._killed is not None:
                _LOG.info("the step ended %.1f s after it was asked to stop", time.monotonic() - self._killed)
            self._token = self._killed = None

    def on_kill(self) -> None:
        """Stops the step; called from the handler of SIGTERM, where it is not safe to write a log line."""
        self._killed = time.monotonic()
        self._token = self._token or CancellationToken()
        self._token.cancel()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What was read and written; called by the listener of Airflow's OpenLineage provider, and by nothing else."""
        from headrace.airflow.lineage import facets

        return facets(self._places, self._report)

    def _stores(self) -> dict[str, Any]:
        """The stores among what was given; a text that may also be a file counts when it names a store or connection."""
        from headrace.airflow.execution import is_store

        kinds = self.headrace_parameters
        return {
            name: value for name, value in self._values().items() if kinds[name] == "url" or (kinds[name] == "str" and is_store(value))
        }

    def _values(self) -> dict[str, Any]:
        """What was given, by name of the step's parameter."""
        from headrace.airflow.execution import flag

        values = {}
        for field, (name, kind) in zip(self.template_fields, self.headrace_parameters.items(), strict=True):
            value = getattr(self, field)
            if kind == "bool" and isinstance(value, str):
                value = flag(name, value)
            if value is not None and value != "":
                values[name] = value
        return values


def markdown(docstring: str) -> str:
    """A docstring with its arguments as a list."""
    head, _, arguments = docstring.partition("\nArgs:\n")
    lines = []
    for line in arguments.splitlines():
        name, colon, text = line.strip().partition(": ")
        is_new = line.startswith("    ") and not line.startswith("     ") and colon
        lines.append(f"- `{name}`: {text}" if is_new else f"  {line.strip()}")
    return "\n".join([head.strip(), "", *lines]).strip()
