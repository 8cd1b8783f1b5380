"""The Astro project at the root, as far as reading its files can tell; `./run test-image` builds and starts it."""

from __future__ import annotations

import json
import re
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
STORES = ("cassandra", "kafka", "mysql")
COMPILERS = re.compile(r"\b(gcc|g\+\+|cc|clang|make|cmake|perl|rustc|rustup|cargo|maturin|build-essential|apt-get|apt)\b")


def read(name: str) -> str:
    return (ROOT / name).read_text()


def load(name: str) -> Any:
    return yaml.safe_load(read(name))


def services() -> dict[str, dict[str, Any]]:
    return load("docker-compose.override.yml")["services"]


def connections() -> dict[str, dict[str, Any]]:
    return {one["conn_id"]: one for one in load("airflow_settings.yaml")["airflow"]["connections"]}


def stages() -> list[tuple[str, list[str]]]:
    """What each stage of the Dockerfile is built from, and its instructions, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", read("Dockerfile"), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[tuple[str, list[str]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append((rest, []))
        elif found:
            found[-1][1].append(line)
    return found


def argument(name: str) -> str:
    """The default of a build argument."""
    return re.search(rf"^ARG {name}=(\S+)$", read("Dockerfile"), re.MULTILINE)[1]


def is_sent(path: str) -> bool:
    """Whether a path is part of the build's context: the last matching line of .dockerignore decides."""
    sent = True
    for line in read(".dockerignore").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        include, pattern = pattern.startswith("!"), pattern.removeprefix("!").strip("/")
        if any(matches(str(part), pattern) for part in (PurePosixPath(path), *PurePosixPath(path).parents[:-1])):
            sent = include
    return sent


def matches(path: str, pattern: str) -> bool:
    """Docker's patterns: `*` stays within a folder, a leading `**/` is any folder or none."""
    parts = path.split("/")
    if pattern.startswith("**/"):
        wanted = pattern.removeprefix("**/").split("/")
        parts = parts[-len(wanted):]
    else:
        wanted = pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def test_the_project_has_a_name_that_compose_takes() -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", load(".astro/config.yaml")["project"]["name"])


def test_the_image_is_built_from_the_runtime_once_and_never_by_the_builder() -> None:
    runtime = re.fullmatch(r"astrocrpublic\.azurecr\.io/runtime:(3\.3-\d+)", argument("BASE_IMAGE"))
    assert runtime
    first, builder, last = (base for base, _ in stages())
    # The astro command reads the Airflow version from here.
    assert first.split() == [argument("BASE_IMAGE"), "AS", "version"]
    # Nothing uses that stage, so builders skip it, and the runtime's ONBUILD steps run once.
    assert stages()[0][1] == []
    assert {found for _, lines in stages() for line in lines for found in re.findall(r"from=(\w+)", line)} == {"builder"}
    assert builder == "${BUILDER_IMAGE} AS builder" and "runtime" not in argument("BUILDER_IMAGE")
    assert last == "${BASE_IMAGE}"


def test_the_last_stage_has_the_wheel_and_the_command_but_no_compiler() -> None:
    _, builder, last = (lines for _, lines in stages())
    tools = {found for line in builder for found in COMPILERS.findall(line)}
    assert {"gcc", "make", "perl", "cargo", "maturin"} <= tools
    for line in last:
        # File names of the sources that are removed are no tools.
        assert not COMPILERS.findall(re.sub(r"\bCargo\.(toml|lock)\b", "", line)), line
    assert [line for line in last if "pip install" in line and ".whl" in line]
    assert "COPY --from=builder /build/bin/headrace /usr/local/bin/headrace" in last
    assert [line for line in last if line.startswith("USER ")][-1] == "USER astro"


def test_versions_and_labels_are_those_of_the_workspace() -> None:
    section = read("Cargo.toml").split("[workspace.package]\n")[1].split("\n[")[0]
    package = dict(re.findall(r'^([\w-]+) = "([^"]+)"$', section, re.MULTILINE))
    assert argument("RUST_VERSION").rsplit(".", 1)[0] == package["rust-version"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', " ".join(stages()[-1][1])))
    assert labels["title"] == "headrace" and labels["description"]
    assert labels["version"] == package["version"]
    assert labels["licenses"] == package["license"]
    assert labels["source"] == package["repository"]


@pytest.mark.parametrize("path", [
    "Cargo.toml", "Cargo.lock", "workers/core/src/lib.rs", "workers/cli/Cargo.toml", "pylib/pyproject.toml", "pylib/src/lib.rs",
    "pylib/README.md", "pylib/python/headrace/__init__.py", "dags/recruitment.py", "packages.txt", "requirements.txt",
])  # fmt: skip
def test_the_context_has_what_the_build_needs(path: str) -> None:
    assert (ROOT / path).exists() and is_sent(path)


@pytest.mark.parametrize("path", [
    ".git/HEAD", ".gitignore", ".headrace/dist/x.jar", "target/debug/headrace", "workers/core/target/x", "dist/headrace.whl", ".env",
    "dags/.env", ".venv/bin/python", ".astro/standalone/airflow.db", "airflow_settings.yaml", "docker-compose.override.yml",
    "astro/mysql/init.sql", "headrace-demo/report.html", "tests/image.sh", "workers/pipelines/tests/x.rs", "pylib/tests/conftest.py",
    "dags/__pycache__/recruitment.cpython-311.pyc", "pylib/python/headrace/_native.abi3.so", "tracking.csv",
    "pylib/.mypy_cache/3.11/cache.db",
])  # fmt: skip
def test_the_context_has_nothing_else(path: str) -> None:
    assert not is_sent(path)


def test_every_store_is_pinned_checked_kept_and_open_on_this_machine_only() -> None:
    volumes = load("docker-compose.override.yml")["volumes"]
    for name in STORES:
        service = services()[name]
        assert re.search(r":\d+\.\d+(\.\d+)?$", service["image"]), name
        check = service["healthcheck"]
        assert check["test"][0] in ("CMD", "CMD-SHELL") and len(check["test"]) > 1
        assert check["interval"] and check["timeout"] and check["retries"] and check["start_period"]
        assert service["ports"] and all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert f"{name}_data" in volumes and any(volume.startswith(f"{name}_data:/") for volume in service["volumes"])
        assert service["networks"] == ["airflow"]
    assert all("ports" not in service for name, service in services().items() if name not in STORES)


def test_what_is_mounted_is_there_and_cannot_be_changed_from_inside() -> None:
    mounts = [mount.split(":") for service in services().values() for mount in service.get("volumes", []) if mount.startswith("./")]
    assert len(mounts) >= 4
    for source, _, options in mounts:
        assert (ROOT / source).exists() and "ro" in options.split(",")


def test_airflow_waits_for_the_stores() -> None:
    assert services()["scheduler"]["depends_on"] == {"stores": {"condition": "service_completed_successfully"}}
    waits = services()["stores"]["depends_on"]
    assert {name: one["condition"] for name, one in waits.items()} == dict.fromkeys(STORES, "service_healthy")
    # Everything else a service waits for is defined, too.
    assert {name for service in services().values() for name in service.get("depends_on", {})} <= set(services())


def test_the_environment_says_what_the_settings_say() -> None:
    environment = services()["scheduler"]["environment"]
    assert services()["triggerer"]["environment"] == environment
    wanted = {f"AIRFLOW_CONN_{name.upper()}" for name in connections()}
    assert wanted == {name for name in environment if name.startswith("AIRFLOW_CONN_")}
    for name, connection in connections().items():
        value = environment[f"AIRFLOW_CONN_{name.upper()}"]
        if value.startswith("{"):
            assert json.loads(value) == {"conn_type": connection["conn_type"], "extra": json.loads(connection["conn_extra"])}
            continue
        url = urlsplit(value)
        found = (url.scheme, url.hostname, url.port, url.path.strip("/"), url.username, unquote(url.password or ""))
        assert found == tuple(connection[f"conn_{part}"] for part in ("type", "host", "port", "schema", "login", "password"))
        assert environment[f"HEADRACE_{url.scheme.upper()}_PASSWORD"] == url.password


def test_connections_name_services_and_are_told_of() -> None:
    told = read("dags/recruitment.py") + read("astro/README.md")
    for name, connection in connections().items():
        host = connection.get("conn_host") or json.loads(connection["conn_extra"])["bootstrap.servers"].split(":")[0]
        assert host in STORES and host in services()
        assert f"conn:{name}/" in told, f"nothing says how to use {name}"


def test_variables_fill_the_form_of_the_dag() -> None:
    dag = read("dags/recruitment.py")
    for one in load("airflow_settings.yaml")["airflow"]["variables"]:
        assert f'"{one["variable_name"].removeprefix("recruitment_")}"' in dag
        connection, _, place = one["variable_value"].removeprefix("conn:").partition("/")
        assert connection in connections() and place


def test_the_users_that_are_made_have_the_passwords_that_are_used() -> None:
    sql, cql = read("astro/mysql/init.sql"), read("astro/cassandra/init.cql")
    mysql, cassandra = connections()["headrace_mysql"], connections()["headrace_cassandra"]
    assert f"{mysql['conn_login']}@'%' IDENTIFIED BY '{mysql['conn_password']}'" in sql
    assert f"ROLE IF NOT EXISTS {cassandra['conn_login']} WITH LOGIN = true AND PASSWORD = '{cassandra['conn_password']}'" in cql
    assert f"CREATE DATABASE IF NOT EXISTS {mysql['conn_schema']} " in sql
    assert f"CREATE KEYSPACE IF NOT EXISTS {cassandra['conn_schema']} " in cql


def test_the_users_that_are_made_may_use_their_own_place_only() -> None:
    grants = re.findall(r"^GRANT (.+?) ON (.+?) TO", read("astro/mysql/init.sql"), re.MULTILINE)
    assert [place for _, place in grants] == ["`spark\\_stream`.*"]
    assert "ALL" not in grants[0][0].split() and "GRANT OPTION" not in read("astro/mysql/init.sql")
    granted = re.findall(r"^GRANT (.+?) ON (.+?) TO", read("astro/cassandra/init.cql"), re.MULTILINE)
    assert {place for _, place in granted} == {"KEYSPACE kafka_stream"}
    assert {right for right, _ in granted} == {"CREATE", "SELECT", "MODIFY"}
    assert "SUPERUSER" not in read("astro/cassandra/init.cql")
    # Tables are made by the steps that need them.
    assert not re.search(r"CREATE TABLE", read("astro/mysql/init.sql") + read("astro/cassandra/init.cql"), re.IGNORECASE)


def test_requirements_and_packages_need_no_index_for_headrace() -> None:
    for name in ("requirements.txt", "packages.txt"):
        lines = [line for line in read(name).splitlines() if line.strip() and not line.startswith("#")]
        assert not [line for line in lines if line.startswith("headrace")], "the wheel is not in an index when this is installed"


def test_the_image_is_compiled_for_speed_unless_told_otherwise() -> None:
    _, builder, _ = (lines for _, lines in stages())
    assert argument("PROFILE") == "release"
    assert [line for line in builder if line.count('--profile "$PROFILE"') == 2 and "--locked" in line]


def test_every_service_of_the_compose_file_has_a_local_stand_in() -> None:
    stand_in = load("tests/image/compose.yaml")["services"]
    assert set(services()) <= set(stand_in)
    assert {one["image"].split("/")[0] for one in stand_in.values() if "image" in one} == {"localhost"}


SCRIPTS = ["astro/cassandra/init.sh", "tests/image.sh", *(f"tests/image/{name}.sh" for name in (*STORES, "postgres", "standalone"))]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_can_be_read(script: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
