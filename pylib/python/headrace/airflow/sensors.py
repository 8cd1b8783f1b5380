"""A sensor that waits for messages, or until none is left."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from headrace.airflow.execution import sorted_errors


class LagSensor(BaseSensorOperator):
    """Waits until more than ``above`` messages of a topic wait to be cleaned, or, with ``drained``, until none does.

    It looks once in a worker, and if it has to wait, it waits in the triggerer, where a thousand such waits take no worker. The lag
    is the XCom. A server that does not answer fails the task, and Airflow retries.

    Args:
        from_: The log: a URL without password, or conn:ID/TOPIC.
        to: The result that `clean` keeps from it: a URL without password, or conn:ID/DATABASE/TABLE.
        above: The number of waiting messages that is still too few.
        drained: Wait until no message waits, instead.
        deferrable: Wait in the triggerer; otherwise in the worker.
        system: The system whose step `lag` is asked.
    """

    template_fields = ("from_", "to", "above", "drained")
    custom_operator_name = "headrace lag"
    ui_color = "#f6e3d3"

    def __init__(
        self,
        *,
        from_: str,
        to: str,
        above: int | str = 0,
        drained: bool | str = False,
        deferrable: bool = True,
        system: str = "recruitment",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.from_ = from_
        self.to = to
        self.above = above
        self.drained = drained
        self.deferrable = deferrable
        self.system = system
        if not kwargs.get("doc_md"):
            from headrace.airflow.operator import markdown

            self.doc_md = markdown(inspect.getdoc(type(self)) or "")

    def poke(self, context: Any) -> PokeReturnValue:
        """Looks once."""
        from headrace.airflow.lag import look

        trigger = self._trigger()
        with sorted_errors():
            lag = look(self.from_, self.to, self.system)
        self.log.info("%s", lag)
        return PokeReturnValue(trigger.is_reached(lag), lag.values())

    def execute(self, context: Any) -> Any:
        """Looks once, then waits."""
        if not self.deferrable:
            return super().execute(context)
        seen = self.poke(context)
        if seen:
            return seen.xcom_value
        self.defer(trigger=self._trigger(), method_name="execute_complete", timeout=timedelta(seconds=self.timeout))

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Takes what the trigger has seen."""
        from airflow.sdk.exceptions import AirflowException, AirflowFailException

        if "error" in event:
            raise (AirflowFailException if event["is_final"] else AirflowException)(event["error"])
        return dict(event)

    def _trigger(self) -> Any:
        from airflow.sdk.exceptions import AirflowFailException

        from headrace.airflow.execution import flag
        from headrace.airflow.triggers import LagTrigger

        try:
            drained = flag("drained", self.drained)
            return LagTrigger(self.from_, self.to, int(self.above), drained, self.poke_interval, self.system)
        except ValueError as error:
            raise AirflowFailException(str(error)) from None
