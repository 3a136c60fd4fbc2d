"""Every argument and block under terraform/ is one that the AWS provider knows, and none that it requires is missing.

`terraform validate` would say so, but providers come from a registry of their own, which CI does not reach. A package
of bindings for Python is made from the provider's schema; it is read here, not imported. `make terraform-schema` gets
it.
"""

from __future__ import annotations

import ast
import os
import re
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.unit.test_terraform import FOLDERS, META, TERRAFORM, read

PACKAGE = "cdktf_cdktf_provider_aws"
OURS = META | {"lifecycle", "provider", "provisioner", "connection"}
GENERAL = {"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"}


class Parameter(NamedTuple):
    """An argument or block of a resource, as the bindings have it."""

    required: bool
    block: str | None
    """the class of its own arguments"""


Classes = dict[str, dict[str, Parameter]]
"""the parameters of each class; those of the resource itself are under its kind"""


@pytest.fixture(scope="module")
def bindings() -> Iterator[zipfile.ZipFile]:
    folder = Path(os.environ["TERRAFORM_SCHEMA"])
    (wheel,) = folder.glob(f"{PACKAGE}-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        yield opened


@cache
def classes(bindings: zipfile.ZipFile, kind: str) -> Classes:
    """The classes with which a resource or data source is made, with their parameters."""
    found: Classes = {}
    tree = ast.parse(bindings.read(f"{PACKAGE}/{kind}/__init__.py"))
    definitions = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    names = {node.name for node in definitions}
    for node in definitions:
        for made in node.body:
            if isinstance(made, ast.FunctionDef) and made.name == "__init__":
                parameters = zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True)
                name = kind if "TerraformMetaArguments" in "".join(map(ast.unparse, node.bases)) else node.name
                found[name] = {
                    argument.arg.removesuffix("_"): Parameter(default is None, _block(argument.annotation, names))
                    for argument, default in parameters
                }
    return found


def _block(annotation: ast.expr | None, names: set[str]) -> str | None:
    words = re.findall(r"\w+", "" if annotation is None else ast.unparse(annotation))
    return next((word for word in words if word in names), None)


def resources() -> list[tuple[str, str, dict[str, Any]]]:
    """(where, kind in the bindings, body) of everything of AWS's."""
    return [
        (f"{folder.relative_to(TERRAFORM)}: {kind}.{name}", prefix + kind.removeprefix("aws_"), body)
        for folder in FOLDERS
        for group, prefix in (("resource", ""), ("data", "data_aws_"))
        for block in read(folder).get(group, [])
        for kind, bodies in block.items()
        if kind.startswith("aws_")
        for name, body in bodies.items()
    ]


def faults(body: dict[str, Any], parameters: dict[str, Parameter], known: Classes, where: str) -> Iterator[str]:
    given = {name: value for name, value in body.items() if name not in OURS and not name.startswith("__")}
    for dynamic in given.pop("dynamic", []):
        given |= {name: block["content"] for name, block in dynamic.items()}
    for name, value in given.items():
        if name not in parameters or name in GENERAL:
            yield f"{where}: no {name}"
            continue
        block = parameters[name].block
        for inner in value if isinstance(value, list) else [value]:
            if block is not None and isinstance(inner, dict):
                yield from faults(inner, known[block], known, f"{where}.{name}")
    for name, parameter in parameters.items():
        if parameter.required and name not in given:
            yield f"{where}: {name} is required"


RESOURCES = resources()


@pytest.mark.parametrize("resource", RESOURCES, ids=[where for where, _, _ in RESOURCES])
def test_it_fits_the_providers_schema(resource: tuple[str, str, dict[str, Any]], bindings: zipfile.ZipFile) -> None:
    where, kind, body = resource
    known = classes(bindings, kind)
    assert list(faults(body, known[kind], known, where)) == []


def test_a_wrong_argument_and_a_missing_one_are_found(bindings: zipfile.ZipFile) -> None:
    known = classes(bindings, "msk_cluster")
    body = {"cluster_name": "x", "kafka_version": "3", "brokers": 3, "broker_node_group_info": [{"az": 1}]}
    found = list(faults(body, known["msk_cluster"], known, "here"))
    assert "here: no brokers" in found
    assert "here: number_of_broker_nodes is required" in found
    assert "here.broker_node_group_info: no az" in found
    assert "here.broker_node_group_info: instance_type is required" in found
