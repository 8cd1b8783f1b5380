"""The hook of connections of type ``headrace``: a store URL with its password kept apart."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseHook

from headrace.airflow.provider import CONNECTION_FIELDS


class HeadraceHook(BaseHook):
    """Gives the URL of a store that a connection describes.

    Args:
        headrace_conn_id: The connection; of type ``headrace``, ``cassandra``, ``kafka`` or ``mysql``.
    """

    conn_name_attr = "headrace_conn_id"
    default_conn_name = "headrace_default"
    conn_type = "headrace"
    hook_name = "Headrace store"

    def __init__(self, headrace_conn_id: str = default_conn_name, **more: Any) -> None:
        super().__init__(**more)
        self.headrace_conn_id = headrace_conn_id

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """How the form looks, for Airflow versions that ask the hook."""
        return CONNECTION_FIELDS

    def get_conn(self) -> str:
        """The URL without a path of its own; see :meth:`url`."""
        return self.url()

    def url(self, path: str = "") -> str:
        """The URL, with the database and table, or the topic, that ``path`` names. It holds the password: never log it."""
        from headrace.airflow.connections import store_url

        return store_url(f"conn:{self.headrace_conn_id}{'/' if path else ''}{path}")
