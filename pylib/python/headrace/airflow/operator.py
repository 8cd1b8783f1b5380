"""What the operators of all steps share; the operators themselves are written by pylib/generate.py."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, BaseOperatorLink

from headrace.control import CancellationToken

if TYPE_CHECKING:
    from headrace.control import Progress
    from headrace.report import Report

_LOG = logging.getLogger("headrace.airflow")
_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "none": False, "": False}


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

    operator_extra_links = (ReportLink(),)
    ui_color = "#f6e3d3"

    _token: CancellationToken | None = None
    _killed: float | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not kwargs.get("doc_md"):
            self.doc_md = markdown(inspect.getdoc(type(self)) or "")

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Renders the parameters, and hides passwords in them before anything shows them."""
        super().render_template_fields(context, jinja_env)
        from headrace.airflow.secrets import hide_in

        for value in self._values("url").values():
            hide_in(str(value))

    def execute(self, context: Any) -> dict[str, Any]:
        """Runs the step to its end."""
        from headrace import _run
        from headrace.airflow.connections import store_url
        from headrace.airflow.execution import outcome

        # A kill may have come before, and holds then.
        token = self._token = self._token or CancellationToken()
        system, name = self.headrace_step
        urls = [key for key, kind in self.headrace_parameters.items() if kind == "url"]
        values = self._values()
        values |= {key: store_url(value) for key, value in values.items() if key in urls and isinstance(value, str)}

        def call(on_progress: Callable[[Progress], None]) -> Report:
            return _run.run(system, name, values, urls, token, on_progress)

        try:
            report = outcome(call, context)
            self._tell_outlets(context, report)
            return report
        finally:
            if self._killed is not None:
                _LOG.info("the step ended %.1f s after it was asked to stop", time.monotonic() - self._killed)
            self._token = self._killed = None

    def on_kill(self) -> None:
        """Stops the step; called from the handler of SIGTERM, where it is not safe to write a log line."""
        self._killed = time.monotonic()
        self._token = self._token or CancellationToken()
        self._token.cancel()

    def _tell_outlets(self, context: Any, report: dict[str, Any]) -> None:
        """Gives the events of the task's assets, which come after the commit, the range that was committed and where it is."""
        # Assets are seen by many: a URL's login stays out.
        stores = {key: str(value) for key, value in self._values("url").items() if "@" not in str(value)}
        for outlet in self.outlets:
            counts = {key: report[key] for key in ("step", "read", "written", "dead_lettered", "positions")}
            context["outlet_events"][outlet].extra.update(counts | {"stores": stores})

    def _values(self, only: str | None = None) -> dict[str, Any]:
        """What was given, by name of the step's parameter."""
        values = {}
        for field, (name, kind) in zip(self.template_fields, self.headrace_parameters.items(), strict=True):
            value = getattr(self, field)
            if kind == "bool" and isinstance(value, str):
                value = self._flag(name, value)
            if value is not None and value != "" and only in (None, kind):
                values[name] = value
        return values

    def _flag(self, name: str, text: str) -> bool:
        from airflow.sdk.exceptions import AirflowFailException

        try:
            return _WORDS[text.strip().lower()]
        except KeyError:
            raise AirflowFailException(f"{name} is true or false, not {text!r}") from None


def markdown(docstring: str) -> str:
    """A docstring with its arguments as a list."""
    head, _, arguments = docstring.partition("\nArgs:\n")
    lines = []
    for line in arguments.splitlines():
        name, colon, text = line.strip().partition(": ")
        is_new = line.startswith("    ") and not line.startswith("     ") and colon
        lines.append(f"- `{name}`: {text}" if is_new else f"  {line.strip()}")
    return "\n".join([head.strip(), "", *lines]).strip()
