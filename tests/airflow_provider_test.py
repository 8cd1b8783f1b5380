"""The provider without an Airflow that runs: operators, connections, masking, errors, and the stop of a running step."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.log import redact

import headrace
from headrace import _native, recruitment
from headrace.airflow import execution, get_provider_info, secrets, splits, store_url
from headrace.airflow.operator import HeadraceOperator, markdown
from headrace.airflow.operators import commerce as commerce_operators
from headrace.airflow.operators import recruitment as operators
from headrace.airflow.operators import scoring as scoring_operators

ROWS = 5_000
PASSWORD = "p/w @:%c4n4ry+é"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An embedded store whose topic holds all rows, none of them cleaned."""
    directory = tmp_path / "store"
    recruitment.simulate(tmp_path, rows=ROWS)
    recruitment.load(tmp_path / "tracking.csv", to=directory)
    recruitment.jobs(tmp_path / "job.csv", to=directory)
    assert recruitment.replay(from_=directory, to=directory).written == ROWS
    return directory


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Defines a connection."""

    def define(name: str, **fields: object) -> None:
        if isinstance(fields.get("extra"), dict):
            fields["extra"] = json.dumps(fields["extra"])
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))

    return define


def test_there_is_an_operator_for_every_step_with_all_parameters_as_templates() -> None:
    steps = {(step["system"], step["name"]): step for step in json.loads(_native.describe())}
    found = {}
    for module, name in ((module, name) for module in (operators, scoring_operators, commerce_operators) for name in module.__all__):
        kind = getattr(module, name)
        found[kind.headrace_step] = kind
        # A parameter with the name of something that operators have would overwrite it.
        plain = BaseOperator(task_id="plain")
        assert not [field for field in kind.template_fields if hasattr(plain, field)], name
        assert len(kind.template_fields) == len(kind.headrace_parameters)
    assert set(found) == set(steps)
    for key, step in steps.items():
        assert set(found[key].headrace_parameters) == {parameter["name"] for parameter in step["parameters"]}


def test_an_operator_checks_its_arguments_and_explains_itself() -> None:
    task = operators.RecruitmentLoadOperator(task_id="load", file="{{ params.f }}", restart="{{ params.again }}")
    assert "- `file`: The tracking CSV" in task.doc_md and task.operator_name == "headrace recruitment load"
    assert operators.RecruitmentLoadOperator(task_id="x", file="f", doc_md="mine").doc_md == "mine"
    with pytest.raises(TypeError, match="rwos"):
        operators.RecruitmentLoadOperator(task_id="load", file="f", rwos=1)
    with pytest.raises(TypeError, match="file"):
        operators.RecruitmentLoadOperator(task_id="load")


def test_rendered_texts_become_values() -> None:
    task = operators.RecruitmentReplayOperator(task_id="t", from_="{{ a }}", since="{{ b or '' }}", again="{{ c }}", partitions="{{ d }}")
    task.render_template_fields({"a": "embedded:x", "b": None, "c": True, "d": 5})
    values = task._values()
    assert (values["from"], values["again"], values["partitions"]) == ("embedded:x", True, "5")
    assert "since" not in values and "until" not in values
    task.again = "perhaps"
    with pytest.raises(AirflowFailException, match="again is true or false"):
        task._values()


@pytest.mark.parametrize(
    ("reference", "fields", "url"),
    [
        ("conn:c/ks/t", {"conn_type": "cassandra", "host": "a,b", "port": 9142}, "cassandra://a:9142,b:9142/ks/t"),
        (
            "conn:c",
            {"conn_type": "cassandra", "host": "a", "schema": "ks", "extra": {"ssl_options": {"ca_certs": "/ca"}, "protocol_version": 4}},
            "cassandra://a/ks?tls=true&tls_ca=%2Fca",
        ),
        (
            "conn:c/topic",
            {"conn_type": "kafka", "extra": {"bootstrap.servers": "a:1,b:2", "group.id": "g", "enable.auto.commit": False}},
            "kafka://a:1,b:2/topic",
        ),
        (
            "conn:c/topic?partitions=6",
            {
                "conn_type": "kafka",
                "extra": {
                    "bootstrap.servers": "a:1",
                    "security.protocol": "SASL_SSL",
                    "sasl.mechanism": "PLAIN",
                    "sasl.username": "u",
                    "sasl.password": PASSWORD,
                    "ssl.ca.location": "/ca",
                },
            },
            f"kafka://u:{quote(PASSWORD, safe='')}@a:1/topic?tls_ca=%2Fca&tls=true&sasl=PLAIN&partitions=6",
        ),
        (
            "conn:c/d/t",
            {"conn_type": "mysql", "host": "h", "port": 3306, "login": "u@x", "password": PASSWORD, "extra": {"charset": "utf8", "tls": True}},
            f"mysql://u%40x:{quote(PASSWORD, safe='')}@h:3306/d/t?tls=true",
        ),
        (
            "conn:c",
            {"conn_type": "mysql", "host": "h", "login": "u", "schema": "d", "extra": {"ssl": {"ca": "/ca"}}},
            "mysql://u@h/d?tls=true&tls_ca=%2Fca",
        ),
        ("conn:c", {"conn_type": "headrace", "host": "embedded:/data/store"}, "embedded:/data/store"),
        (
            "conn:c/d/t",
            {"conn_type": "headrace", "host": "mysql://u@h:3306/x?tls=true", "password": PASSWORD},
            f"mysql://u:{quote(PASSWORD, safe='')}@h:3306/d/t?tls=true",
        ),
    ],
)
def test_a_connection_is_a_url(connect: object, reference: str, fields: dict[str, object], url: str) -> None:
    connect("c", **fields)
    assert store_url(reference) == url


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"conn_type": "http", "host": "h"}, "its type is http"),
        ({"conn_type": "mysql"}, "names no host"),
        ({"conn_type": "mysql", "host": "h", "extra": {"ssl": {"key": "/k"}}}, "has key"),
        ({"conn_type": "kafka", "host": "h", "extra": {"ssl.key.password": "canary"}}, "ssl.key.password"),
        ({"conn_type": "headrace", "host": "embedded:x"}, "no path"),
        ({"conn_type": "headrace", "host": "x"}, "no URL"),
    ],
)
def test_a_connection_that_cannot_be_used_fails_at_once(connect: object, fields: dict[str, object], words: str) -> None:
    connect("c", **fields)
    with pytest.raises(AirflowFailException, match=words) as caught:
        store_url("conn:c/d/t")
    assert "canary" not in str(caught.value)
    with pytest.raises(AirflowFailException, match="no connection `absent`"):
        store_url("conn:absent/d/t")


def test_an_option_that_headrace_does_not_know_is_refused(connect: object, tmp_path: Path) -> None:
    connect("c", conn_type="mysql", host="127.0.0.1", login="u", extra={"tsl": True})
    (tmp_path / "job.csv").write_text("id,company_id\n1,1\n")
    with pytest.raises(AirflowFailException, match="unknown option tsl"):
        operators.RecruitmentJobsOperator(task_id="t", file=tmp_path / "job.csv", to="conn:c/d/t").execute({})


def test_passwords_are_hidden_in_every_form(connect: object) -> None:
    for kind, word in (("mysql", "mysql-c4n4ry/+1"), ("headrace", "headrace-c4n4ry/+2"), ("kafka", "kafka-c4n4ry/+3")):
        shown = [word, quote(word, safe=""), base64.b64encode(word.encode()).decode()]
        shown += [base64.b64encode(f"app:{word}".encode()).decode(), base64.b64encode(f"\0app\0{word}".encode()).decode()]
        assert [redact(f"a {text} b") for text in shown] == [f"a {text} b" for text in shown]
        fields = {"conn_type": kind, "host": "mysql://h/d" if kind == "headrace" else "h", "login": "app", "password": word}
        if kind == "kafka":
            fields |= {"login": None, "password": None, "extra": {"sasl.username": "app", "sasl.password": word}}
        connect("c", **fields)
        store_url("conn:c/d")
        for text in shown:
            assert text not in redact(f"a {text} b") and "***" in redact(f"a {text} b"), text
    task = operators.RecruitmentJobsOperator(task_id="t", file="f", to="mysql://u:url%2dc4n4ry@h/d")
    task.render_template_fields({})
    assert "c4n4ry" not in redact("url-c4n4ry and url%2dc4n4ry")
    assert secrets.forms("abc") and "YWJj" in secrets.forms("abc")


def test_errors_are_those_that_airflow_acts_on_rightly(store: Path, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="absent.csv"):
        operators.RecruitmentLoadOperator(task_id="t", file=tmp_path / "absent.csv", to=store).execute({})
    with pytest.raises(headrace.ExternalError):
        operators.RecruitmentJobsOperator(task_id="t", file=tmp_path / "job.csv", to="mysql://u:x@127.0.0.1:1/d").execute({})
    recruitment.clean(from_=store, to=store)
    recruitment.simulate(tmp_path, rows=ROWS, seed=2)
    recruitment.load(tmp_path / "tracking.csv", to=store)
    recruitment.replay(from_=store, to=store)
    with pytest.raises(AirflowFailException, match="found differences"):
        operators.RecruitmentVerifyOperator(task_id="t", raw=store, log_=store, result=store).execute({})


def test_the_xcom_is_the_report_as_plain_values(store: Path) -> None:
    values = operators.RecruitmentCleanOperator(task_id="t", from_=store, to=str(f"embedded:{store}")).execute({})
    assert json.loads(json.dumps(values)) == values and len(json.dumps(values)) < 4_096
    assert (values["step"], values["outcome"], values["read"]) == ("recruitment clean", "complete", ROWS)
    report = headrace.Report.from_json(json.dumps(values))
    many = headrace.Report(**{**vars(report), "positions": {str(at): at for at in range(1_000)}})
    assert execution.summary(many)["positions"] == {}


def test_an_event_of_an_asset_has_the_range_and_no_login(store: Path, tmp_path: Path) -> None:
    from types import SimpleNamespace

    from airflow.sdk import Asset

    asset, event = Asset("result"), SimpleNamespace(extra={})
    task = operators.RecruitmentCleanOperator(task_id="t", from_=f"embedded:{store}", to=store, outlets=[asset])
    task.execute({"outlet_events": {asset: event}})
    assert event.extra["read"] == sum(event.extra["positions"].values()) == ROWS
    assert event.extra["stores"] == {"from": f"embedded:{store}", "to": str(store)}
    assert event.extra["range"] == {name: [None, at] for name, at in event.extra["positions"].items() if at > 0}
    first = event.extra["positions"]
    task.execute({"outlet_events": {asset: event}})
    assert (event.extra["read"], event.extra["range"], event.extra["positions"]) == (0, {}, first)
    task.to, event.extra = f"embedded:{tmp_path}/a@b", {}
    task.execute({"outlet_events": {asset: event}})
    assert "to" not in event.extra["stores"]


@pytest.mark.parametrize("before", [False, True])
def test_a_kill_stops_the_step_with_its_position_committed(store: Path, before: bool) -> None:
    task = operators.RecruitmentCleanOperator(task_id="t", from_=store, to=store, follow=True, interval=timedelta(seconds=0.1))
    seen, raised = threading.Event(), []

    class Store:
        def set(self, _: str, progress: dict[str, object]) -> None:
            if progress["rows"] == ROWS:
                seen.set()

    def work() -> None:
        try:
            task.execute({"task_state_store": Store()})
        except AirflowException as error:
            raised.append(error)

    if before:
        task.on_kill()
    thread = threading.Thread(target=work)
    thread.start()
    if not before:
        assert seen.wait(60)
    asked = time.monotonic()
    task.on_kill()
    thread.join(20)
    assert not thread.is_alive() and time.monotonic() - asked < 4
    # A plain AirflowException is retried.
    assert [type(error) for error in raised] == [AirflowException] and "position is committed" in str(raised[0])
    rest = operators.RecruitmentCleanOperator(task_id="t", from_=store, to=store).execute({})
    assert before or rest["read"] == 0
    operators.RecruitmentVerifyOperator(task_id="t", raw=store, log_=store, result=store).execute({})


def test_a_task_function_runs_a_step_the_same_way(store: Path, monkeypatch: pytest.MonkeyPatch, connect: object) -> None:
    monkeypatch.setattr("airflow.sdk.get_current_context", dict)
    connect("c", conn_type="headrace", host=f"embedded:{store}")
    from headrace import airflow

    assert airflow.run(recruitment.clean, from_="conn:c", to=store)["read"] == ROWS


def test_progress_goes_into_the_task_state_store_and_never_fails_a_step() -> None:
    progress = headrace.Progress(10, 2, 3.25, 100, True, 7.6, "text")
    written: list[dict[str, object]] = []

    class Store:
        def set(self, key: str, value: dict[str, object]) -> None:
            assert key == "progress"
            written.append(value)
            raise OSError("gone")

    teller = execution.Teller(Store())
    for _ in range(3):
        teller.tell(progress)
    told = {"rows": 10, "rejected": 2, "rows_per_second": 3.2, "text": "text", "bytes_left": 100, "seconds_left": 8}
    assert written == [told]
    execution.Teller(None).tell(progress)


def test_mapped_tasks_have_names() -> None:
    parts = operators.RecruitmentLoadOperator.partial(task_id="t", file="/d/f.csv").expand(split=splits(2))
    assert parts.partial_kwargs["map_index_template"] == "{{ task.map_name }}"
    assert operators.RecruitmentLoadOperator(task_id="t", file="/d/f.csv", split="1/2").map_name == "f.csv part 1/2"
    assert operators.RecruitmentReplayOperator(task_id="t", split="1/2").map_name == "part 1/2"
    assert operators.RecruitmentCleanOperator(task_id="t").map_name == ""
    named = operators.RecruitmentLoadOperator.partial(task_id="t", file="f", map_index_template="mine").expand(split=splits(2))
    assert named.partial_kwargs["map_index_template"] == "mine"
    assert splits(1) == ["1/1"]
    with pytest.raises(ValueError, match="at least one part"):
        splits(0)


def test_airflow_finds_the_provider() -> None:
    from airflow.providers_manager import ProvidersManager

    entry = importlib.metadata.entry_points(group="apache_airflow_provider")
    assert [point.load()() for point in entry if point.value.startswith("headrace")] == [get_provider_info()]
    manager = ProvidersManager()
    hook = manager.hooks["headrace"]
    assert hook is not None and hook.hook_name == "Headrace store"
    assert "headrace.airflow.operator.ReportLink" in manager.extra_links_class_names
    assert manager.providers["headrace"].version == headrace.__version__


def test_a_hook_gives_the_url(connect: object) -> None:
    from headrace.airflow.hook import HeadraceHook

    connect("headrace_default", conn_type="headrace", host="kafka://h:9092")
    assert HeadraceHook().url("topic") == "kafka://h:9092/topic"


def test_a_report_link_leads_to_the_task() -> None:
    from types import SimpleNamespace

    (link,) = HeadraceOperator.operator_extra_links
    key = SimpleNamespace(dag_id="d", run_id="manual__2026-01-01T00:00:00+00:00", task_id="t", map_index=-1)
    assert link.get_link(None, ti_key=key).endswith("/dags/d/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/t/xcom")
    key.map_index = 0
    assert link.get_link(None, ti_key=key).endswith("/tasks/t/mapped/0/xcom")
    assert markdown("One.\n\nArgs:\n    a: b\n        c: d\n") == "One.\n\n- `a`: b\n  c: d"
