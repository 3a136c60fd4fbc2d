"""The files under terraform/ hold together, and every name in them that is ours exists in the code.

`terraform validate` needs the providers, which come from a registry that CI does not reach; what it would find in our
own modules (arguments, outputs, references) is checked here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import hcl2
import pytest

from holonstream.client.settings import PREFIX
from holonstream.ops import probe
from holonstream.ops.commands import COMMANDS
from holonstream.ops.pipeline import PipelineStatus
from holonstream.ops.settings import Settings
from holonstream.ops.status import GroupStatus
from holonstream.producers.log.frontier import FrontierHolder, FrontierStatus
from holonstream.producers.relay.status import LogStatus

ROOT = Path(__file__).parents[2]
TERRAFORM = ROOT / "terraform"
FILES = sorted(file for file in TERRAFORM.rglob("*.tf") if ".terraform" not in file.parts)
FOLDERS = sorted({file.parent for file in FILES})
MODULES = [folder for folder in FOLDERS if folder.parent.name == "modules"]
EXAMPLES = [folder for folder in FOLDERS if folder.parent.name == "examples"]
SERVICES = TERRAFORM / "modules" / "services"
DEPLOY = ROOT / "docs" / "deploy.md"
OPTIONS = hcl2.SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)
META = {"source", "version", "count", "for_each", "providers", "depends_on"}

Blocks = dict[str, list[dict[str, Any]]]
in_each_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(TERRAFORM)))
in_each_example = pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)


@cache
def read(folder: Path) -> Blocks:
    """The blocks of all files of a folder, by kind."""
    blocks: Blocks = {}
    for file in sorted(folder.glob("*.tf")):
        with file.open() as opened:
            for kind, found in hcl2.load(opened, serialization_options=OPTIONS).items():
                blocks.setdefault(kind, []).extend(found)
    return blocks


def named(blocks: Blocks, kind: str) -> dict[str, dict[str, Any]]:
    """The blocks of a kind that have one label: variables, outputs, modules."""
    return {name: body for block in blocks.get(kind, []) for name, body in block.items()}


def local_values(folder: Path) -> dict[str, Any]:
    return {name: value for block in read(folder).get("locals", []) for name, value in block.items()}


def code(folder: Path) -> str:
    """The text of a folder's files without comments."""
    text = "\n".join(file.read_text() for file in sorted(folder.glob("*.tf")))
    return re.sub(r"^\s*#.*$", "", text, flags=re.M)


def source(module: dict[str, Any], folder: Path) -> Path:
    return (folder / str(module["source"])).resolve()


def test_modules_and_examples_are_there() -> None:
    assert {folder.name for folder in MODULES} == {
        *("network", "secrets", "postgres", "kafka", "redis", "neo4j", "services", "observability")
    }
    assert {folder.name for folder in EXAMPLES} == {"small", "production"}


if shutil.which("terraform"):

    def test_files_are_formatted() -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        ran = subprocess.run(
            ["terraform", "fmt", "-check", "-diff", "-recursive", str(TERRAFORM)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


@in_each_folder
def test_variables_and_outputs_are_documented(folder: Path) -> None:
    blocks = read(folder)
    for name, variable in named(blocks, "variable").items():
        assert variable.get("description", "").endswith("."), f"variable {name}"
        assert "type" in variable, f"variable {name}"
    for name, output in named(blocks, "output").items():
        assert output.get("description", "").endswith("."), f"output {name}"
    assert blocks["terraform"][0]["required_providers"], "no versions of providers"


@in_each_folder
def test_every_reference_is_declared_and_every_variable_used(folder: Path) -> None:
    blocks, text = read(folder), code(folder)
    used = set(re.findall(r"\bvar\.(\w+)", text))
    declared = set(named(blocks, "variable"))
    assert used == declared, f"not declared: {used - declared}; not used: {declared - used}"
    assert set(re.findall(r"\blocal\.(\w+)", text)) == set(local_values(folder))
    resources = {
        f"{prefix}{kind}.{name}"
        for prefix, group in (("", "resource"), ("data.", "data"))
        for block in blocks.get(group, [])
        for kind, bodies in block.items()
        for name in bodies
    }
    referenced = re.findall(r"(?<![\w.\"/])((?:data\.)?(?:aws|random)_\w+\.\w+)", text)
    assert set(referenced) <= resources


@in_each_example
def test_modules_get_what_they_ask_for(folder: Path) -> None:
    for name, module in named(read(folder), "module").items():
        variables = named(read(source(module, folder)), "variable")
        given = module.keys() - META
        assert given <= variables.keys(), f"module {name} has no variable {given - variables.keys()}"
        required = {variable for variable, body in variables.items() if "default" not in body}
        assert required <= given, f"module {name} is not given {required - given}"


@in_each_example
def test_outputs_that_are_used_exist(folder: Path) -> None:
    modules = named(read(folder), "module")
    used = set(re.findall(r"\bmodule\.(\w+)\.(\w+)", code(folder)))
    assert used
    for module, output in used:
        outputs = named(read(source(modules[module], folder)), "output")
        assert output in outputs, f"module.{module}.{output}"


@in_each_example
def test_the_examples_tfvars_are_variables(folder: Path) -> None:
    with (folder / "terraform.tfvars.example").open() as opened:
        given = hcl2.load(opened, serialization_options=OPTIONS).keys()
    assert given <= named(read(folder), "variable").keys()
    assert "image" in given


def test_settings_exist() -> None:
    known = {PREFIX + name.upper() for name in Settings.__struct_fields__}
    for file in [*FILES, DEPLOY]:
        used = set(re.findall(rf"\b{PREFIX}\w+", file.read_text()))
        assert used <= known, f"{file.relative_to(ROOT)}: no setting {sorted(used - known)}"


def commands_of_containers() -> Iterator[list[str]]:
    for process in local_values(SERVICES)["processes"].values():
        command = process["command"]
        if command[:2] == ["sh", "-c"]:
            yield from (words.split() for words in re.findall(r"holonstream [^|;]+", command[2]))
        elif command[:2] == ["python", "-c"]:
            (script,) = re.findall(r"path\.module}/(\w+\.py)", command[2])
            compile((SERVICES / script).read_text(), script, "exec")
        else:
            yield command


def test_commands_of_containers_exist() -> None:
    commands = {command.name: command for command in COMMANDS}
    found = [words[1:] for words in commands_of_containers()]
    assert sorted(words[0] for words in found) == ["init", "relay", "status", "worker", "worker"]
    for name, *arguments in found:
        with commands[name].make_context(name, arguments) as context:
            assert isinstance(context, click.Context)  # raises when an argument or option is unknown


def test_topics_that_are_written_about_exist() -> None:
    topics = {Settings().topic, Settings().dead_letter_topic}
    for file in [*FILES, *(ROOT / "docs").glob("*.md"), ROOT / "docker-compose.yml"]:
        named = set(re.findall(r"`(holonstream\.[a-z-]*(?:events|letters)[a-z-]*)`", file.read_text()))
        assert named <= topics, file
    assert "`holonstream.events`" in DEPLOY.read_text()


def test_commands_that_are_written_about_exist() -> None:
    for file in [*TERRAFORM.rglob("*.tf"), *TERRAFORM.rglob("*.md"), DEPLOY]:
        used = set(re.findall(r"`holonstream (\w+)", file.read_text()))
        assert used <= {command.name for command in COMMANDS}, file


def test_processes_are_confined() -> None:
    text = code(SERVICES)
    assert text.count("container_definitions") == 1
    assert re.search(r"readonlyRootFilesystem\s*=\s*true", text)
    assert re.search(r"user\s*=\s*var\.user", text)
    processes, services = local_values(SERVICES)["processes"], set(local_values(SERVICES)["services"])
    assert services | {"init", "logins"} == processes.keys()
    as_owner = {name for name, process in processes.items() if "postgres_owner" in process["stores"]}
    assert as_owner == {"init", "logins"}, "what runs all the time must not be able to write to the log"


def test_what_runs_all_the_time_is_asked_how_it_is() -> None:
    values = local_values(SERVICES)
    assert values["health_check"]["command"] == ["CMD", "python", "-m", probe.__name__, "livez"]
    assert values["health_check"]["timeout"] > probe.TIMEOUT
    assert values["pages"].keys() == {f"{PREFIX}METRICS_PORT"}
    assert set(values["services"]) - set(values["checked"]) == {"status"}, "a loop of sh has no page to ask"
    assert code(SERVICES).count("contains(local.checked, each.key)") == 2


def test_nothing_on_kafka_is_ever_deleted_by_age() -> None:
    assert "log.retention.ms=-1\n" in code(TERRAFORM / "modules" / "kafka")


def test_values_are_evicted_from_redis_before_tombstones() -> None:
    resources = {
        kind: body for block in read(TERRAFORM / "modules" / "redis")["resource"] for kind, body in block.items()
    }
    parameters = resources["aws_elasticache_parameter_group"]["this"]["parameter"]
    assert {"name": "maxmemory-policy", "value": "volatile-ttl"} in parameters


def report_fields() -> set[str]:
    """Paths of the numbers and objects in what `holonstream status --json` prints; the namespace is left open."""
    frontier = FrontierStatus(1, 1, FrontierHolder(1, 1, None, None, None, 1.0, None, None), [])
    groups = {name: GroupStatus(name, "stable", [], []) for name in ("graph", "cache")}
    document = PipelineStatus(1, LogStatus(frontier, 0, 0.0, None), groups, []).document()
    return {
        *(f"$.relay.{name}" for name in document["relay"]),
        *(f"$.log.{name}" for name in document["log"]),
        *(f"$.log.holder.{name}" for name in document["log"]["holder"]),
        *(
            f"$.groups.${{var.namespace}}-{name}.{field}"
            for name, group in document["groups"].items()
            for field in group
        ),
    }


def test_metrics_are_made_of_what_status_reports() -> None:
    known = report_fields()
    for name, metric in local_values(SERVICES)["report_metrics"].items():
        assert metric["field"] in known, name
    assert "$.relay.leader IS NULL" in local_values(SERVICES)["log_metrics"]["NoLeader"]["pattern"]
    assert Settings().group("graph") == Settings().namespace + "-graph"


def test_events_that_are_counted_are_logged() -> None:
    python = "\n".join(
        file.read_text() for package in ("producers", "sinks", "streams") for file in (ROOT / package).rglob("*.py")
    )
    for name, metric in local_values(SERVICES)["log_metrics"].items():
        for event in re.findall(r'\$\.event = \\*"([\w.]+)', metric["pattern"]):
            assert f'("{event}"' in python, name


def test_alarms_scaling_and_dashboard_use_metrics_that_are_made() -> None:
    made = local_values(SERVICES)["report_metrics"].keys() | local_values(SERVICES)["log_metrics"].keys()
    watched = local_values(TERRAFORM / "modules" / "observability")
    text = code(TERRAFORM / "modules" / "observability")
    used = set(re.findall(r"namespace\s*=\s*local\.pipeline,\s*metric\s*=\s*\"(\w+)\"", text))
    used |= {name for name in re.findall(r'"([A-Z]\w+)"', str(watched["graphs"])) if name in made or "Lag" in name}
    used |= {group["metric"] for group in local_values(SERVICES)["groups"].values()}
    assert len(used) > 5
    assert used <= made, used - made
    assert {f"{process}Errors" for process in ("Relay", "Graph", "Cache")} <= made


def test_checks_are_skipped_with_a_reason() -> None:
    for file in TERRAFORM.rglob("*"):
        for line in file.read_text().splitlines() if file.is_file() and file.suffix == ".tf" else ():
            if "checkov:skip" in line:
                assert re.search(r"#checkov:skip=CKV2?_AWS_\d+:(as above|.{30})", line), f"{file}: {line.strip()}"
