"""What Airflow asks a provider package about itself."""

from __future__ import annotations

from typing import Any

CONNECTION_FIELDS: dict[str, Any] = {
    "hidden_fields": ["schema", "port", "extra"],
    "relabeling": {"host": "Store URL", "login": "User", "password": "Password"},
    "placeholders": {
        "host": "mysql://warehouse:3306/spark_stream",
        "login": "leave empty when the URL names it",
        "password": "kept here, not in the URL",
    },
}
"""How the form of a connection of type ``headrace`` looks."""


def get_provider_info() -> dict[str, Any]:
    """The provider's operators, connection type and links; Airflow finds it by the entry point ``apache_airflow_provider``."""
    name = "Headrace"
    return {
        "package-name": "headrace",
        "name": name,
        "description": "Batch and stream workers between files, Cassandra, Kafka, MySQL and an embedded store.",
        "integrations": [{"integration-name": name, "tags": ["software"]}],
        "operators": [{"integration-name": name, "python-modules": ["headrace.airflow.operators.recruitment"]}],
        "sensors": [{"integration-name": name, "python-modules": ["headrace.airflow.sensors"]}],
        "triggers": [{"integration-name": name, "python-modules": ["headrace.airflow.triggers"]}],
        "hooks": [{"integration-name": name, "python-modules": ["headrace.airflow.hook"]}],
        "connection-types": [
            {
                "connection-type": "headrace",
                "hook-class-name": "headrace.airflow.hook.HeadraceHook",
                "hook-name": "Headrace store",
                "ui-field-behaviour": {name.replace("_", "-"): value for name, value in CONNECTION_FIELDS.items()},
            }
        ],
        "extra-links": ["headrace.airflow.operator.ReportLink"],
    }
