"""The rules under which one template gives the same bytes in Ansible, in Salt and in the preview.

Each rule stands for a difference that was seen between ansible-core's `template` and Salt's
`file.managed`: trim_blocks, undefined names, filters and tests of one engine only, include paths.
"""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest
from jinja2 import meta, nodes

from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision.manifest import FORMULAS
from tests.unit.provision import samples

FILTERS = {"dictsort", "replace", "tojson", "default", "join", "lower"}
TESTS = {"defined", "string", "sequence"}
FORBIDDEN = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.ExprStmt, nodes.Block)


def faults(text: str) -> list[str]:
    """Return what breaks the rules in the template ``text``."""
    found = []
    tree = jinja2.Environment(autoescape=False).parse(text)
    found += [f"filter {node.name}" for node in tree.find_all(nodes.Filter) if node.name not in FILTERS]
    found += [f"test {node.name}" for node in tree.find_all(nodes.Test) if node.name not in TESTS]
    found += [type(node).__name__ for node in tree.find_all(FORBIDDEN)]
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        for tag in re.findall(r"{%.*?%}", line):
            if tag.startswith("{%-") or tag.startswith("{%+"):
                found.append(f"line {number}: a tag begins with {tag[:3]}")
            if not tag.endswith("-%}"):
                found.append(f"line {number}: a tag does not end with -%}}")
            if not line.startswith("{%") or line.strip() != tag:
                found.append(f"line {number}: a tag does not stand alone at the line's begin")
        if "{#" in line and not line.endswith("-#}"):
            found.append(f"line {number}: a comment does not end with -#}}")
        if line.lower().startswith("#jinja2:"):
            found.append(f"line {number}: a header of one engine")
    last = lines[-2] if len(lines) > 1 else ""
    if lines[-1] or not last or "{" in last.replace("${", ""):
        found.append("the file must end with literal text and one line break")
    return found


def templates() -> list[Path]:
    found = sorted(path for formula in FORMULAS for path in formula.templates.glob("*.j2"))
    assert found
    return found


@pytest.mark.parametrize("path", templates(), ids=lambda path: path.name)
def test_a_template_keeps_the_rules(path: Path) -> None:
    assert faults(path.read_text()) == []


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("names")
    lock: Lock = samples.lock(folder / "lock")
    found = fact_module.resolve(clusters.load(samples.cluster_file(folder / "sample.yml")), lock)
    return {*found["both-1"], "flink_file", "flink_release", "mirror_server_file", "yarn_queues_file"}


@pytest.mark.parametrize("path", templates(), ids=lambda path: path.name)
def test_a_template_asks_for_facts_only(path: Path, names: set[str]) -> None:
    tree = jinja2.Environment(autoescape=False).parse(path.read_text())
    assert meta.find_undeclared_variables(tree) <= names


@pytest.mark.parametrize(
    "text",
    [
        "{%- if x -%}\na\n{% endif -%}\nend\n",
        "{% if x %}\na\n{% endif -%}\nend\n",
        "  {% if x -%}\na\n{% endif -%}\nend\n",
        "{% if x -%} a\n{% endif -%}\nend\n",
        "{{ x | to_json }}\nend\n",
        "{{ x | yaml }}\nend\n",
        "{% if x is list -%}\n{% endif -%}\nend\n",
        "{% include 'x' -%}\nend\n",
        "{% import 'x' as y -%}\nend\n",
        "{# note #}\nend\n",
        "#jinja2: trim_blocks: False\nend\n",
        "{% if x -%}\na\n{% endif -%}\n",
        "{{ x }}\n",
        "end",
        "end\n\n",
    ],
)
def test_the_rules_see_what_they_are_for(text: str) -> None:
    assert faults(text)
