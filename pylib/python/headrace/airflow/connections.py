"""Airflow connections as store URLs: ``conn:ID``, ``conn:ID/PATH`` and ``conn:ID/PATH?option=value``.

The path stands for the database and table, or the topic. Connection types are those of the providers for Kafka, MySQL and Cassandra,
whose packages need not be installed, and ``headrace``, which holds a store URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from headrace.airflow.secrets import hide, hide_in

if TYPE_CHECKING:
    from airflow.sdk import Connection

PREFIX = "conn:"
_TLS_FILES = {"ssl.ca.location": "tls_ca", "ssl.certificate.location": "tls_certificate", "ssl.key.location": "tls_key"}
# What only concerns the Python drivers; any other extra must be an option of the store, so that a typing error is not passed over.
_DRIVER_EXTRAS = {
    "mysql": {"charset", "cursor", "client", "local_infile", "allow_local_infile"},
    "cassandra": {"cql_version", "load_balancing_policy", "load_balancing_policy_args", "protocol_version"},
}


def store_url(text: str) -> str:
    """The store URL itself, or the one that a connection stands for. It may hold a password, which is hidden in logs: never show it."""
    if not text.startswith(PREFIX):
        hide_in(text)
        return text
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

    place, _, query = text.removeprefix(PREFIX).partition("?")
    connection_id, _, path = place.partition("/")
    try:
        connection = Connection.get(connection_id)
    except AirflowNotFoundException as error:
        raise AirflowFailException(f"there is no connection `{connection_id}`") from error
    hide(connection.password, connection.login)
    try:
        url = _headrace(connection, path) if connection.conn_type == "headrace" else _typed(connection, path)
    except ValueError as error:
        # The cause is shown by Airflow too: it names fields, never their values.
        raise AirflowFailException(f"connection `{connection_id}`: {error}") from error
    hide_in(url)
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def _typed(connection: Connection, path: str) -> str:
    kind = connection.conn_type or ""
    if kind not in ("cassandra", "kafka", "mysql"):
        raise ValueError(f"its type is {kind or 'not set'}; usable are cassandra, headrace, kafka and mysql")
    extra = dict(connection.extra_dejson)
    hosts, login, password = connection.host or "", connection.login, connection.password
    if kind == "kafka":
        options, brokers, user, secret = _kafka(extra)
        hide(secret, user)
        hosts, login, password = brokers or hosts, login or user, password or secret
    else:
        options = _driver(kind, extra)
    if connection.port:
        hosts = ",".join(_with_port(host, connection.port) for host in hosts.split(",") if host)
    if not hosts:
        raise ValueError("it names no host")
    place = path or quote(connection.schema or "", safe="")
    return _assemble(kind, _login(login, password), hosts, place, urlencode(options))


def _with_port(host: str, port: int) -> str:
    return host if host.rpartition("]")[2].count(":") else f"{host}:{port}"


def _kafka(extra: dict[str, Any]) -> tuple[dict[str, str], str, str | None, str | None]:
    """Options, brokers, user and password from the settings of librdkafka that the connection type keeps in its extra."""
    brokers = str(extra.pop("bootstrap.servers", ""))
    user, password = extra.pop("sasl.username", None), extra.pop("sasl.password", None)
    mechanism = extra.pop("sasl.mechanism", None) or extra.pop("sasl.mechanisms", None)
    extra.pop("sasl.mechanisms", None)
    protocol = str(extra.pop("security.protocol", "")).upper()
    options = {option: str(extra.pop(name)) for name, option in _TLS_FILES.items() if name in extra}
    if protocol:
        options["tls"] = _text("SSL" in protocol)
    if mechanism and (not protocol or "SASL" in protocol):
        options["sasl"] = str(mechanism)
    if kept := sorted(name for name in extra if name.startswith(("ssl.", "sasl.", "security.", "enable.ssl"))):
        raise ValueError(f"its extra has {', '.join(kept)}, which Headrace does not know")
    # Other settings with a point concern Airflow's own consumers; Headrace has groups of its own.
    options |= {name: _text(value) for name, value in extra.items() if "." not in name}
    return options, brokers, user, password


def _driver(kind: str, extra: dict[str, Any]) -> dict[str, str]:
    """Options from the extra of a connection type that belongs to a Python driver."""
    options = {}
    name, file = ("ssl", "ca") if kind == "mysql" else ("ssl_options", "ca_certs")
    secure = extra.pop(name, None)
    if secure is not None and secure is not False:
        options["tls"] = "true"
        unknown = []
        if isinstance(secure, Mapping):
            unknown = sorted(set(secure) - {file, "cert_reqs", "check_hostname"})
            if secure.get(file):
                options["tls_ca"] = str(secure[file])
        if unknown:
            raise ValueError(f"`{name}` of its extra has {', '.join(unknown)}, which Headrace does not know")
    return options | {key: _text(value) for key, value in extra.items() if key not in _DRIVER_EXTRAS[kind]}


def _headrace(connection: Connection, path: str) -> str:
    """The URL in the host field, with the login of the connection and the place that the path names."""
    url = connection.host or ""
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise ValueError("its Store URL is no URL, such as mysql://HOST/DATABASE or embedded:DIRECTORY")
    if scheme == "embedded":
        if path:
            raise ValueError("an embedded store has no path; write ?table=NAME or ?topic=NAME after the connection")
        return url
    place, _, query = rest.removeprefix("//").partition("?")
    authority, _, own_path = place.partition("/")
    login, _, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    if connection.login:
        user, password = quote(connection.login, safe=""), ""
    if connection.password:
        password = quote(connection.password, safe="")
    return _assemble(scheme, f"{user}:{password}" if password else user, hosts, path or own_path, query)


def _login(user: str | None, password: str | None) -> str:
    login = quote(user or "", safe="")
    return f"{login}:{quote(password, safe='')}" if login and password else login


def _assemble(scheme: str, login: str, hosts: str, path: str, query: str) -> str:
    return f"{scheme}://{login}{'@' if login else ''}{hosts}/{path}{'?' if query else ''}{query}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
