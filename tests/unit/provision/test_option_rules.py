"""A value that passes the check arrives in Flink as it was written, through either parser."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import option_rules, preview
from provision.manifest import FLINK
from tests.unit.provision import samples

KEY = "pipeline.name"


def read_by_legacy_parser(raw: bytes) -> dict[str, str]:
    """Flink 1.20.5, GlobalConfiguration.loadLegacyYAMLResource, in the C locale of a systemd unit."""
    found = {}
    # Java's BufferedReader.readLine knows three ends of a line, and US-ASCII replaces what it cannot read.
    text = raw.decode("ascii", "replace").replace("\r\n", "\n").replace("\r", "\n")
    for line in text.split("\n"):
        conf = line.split("#", 1)[0].strip(JAVA_TRIM)
        pair = conf.split(": ", 1)
        if len(pair) == 2 and pair[0].strip(JAVA_TRIM) and pair[1].strip(JAVA_TRIM):
            found[pair[0].strip(JAVA_TRIM)] = pair[1].strip(JAVA_TRIM)
    return found


JAVA_TRIM = "".join(chr(code) for code in range(33))  # String.trim: up to and with the space


def render(name: str, value: str) -> bytes:
    entry = {"component": "client", "release": "x"}
    release = {"configuration": {"a.first": "1", KEY: value, "z.last": "2"}}
    text = (
        preview.environment(FLINK)
        .get_template(name)
        .render(flink_managed_by="managed", flink_file=entry, flink_release=release)
    )
    return text.encode()


values = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="ab:# '\"\\{}%\n\r\t\0\x85\u2028é=-&*!|>[],?@`", max_size=12),
)


@settings(max_examples=400, deadline=None)
@given(values)
def test_what_passes_for_flink_1_is_read_as_written(value: str) -> None:
    if option_rules.value_fault(value, legacy=True) is None:
        found = read_by_legacy_parser(render("flink-conf.yaml.j2", value))
        assert found == {"a.first": "1", KEY: value, "z.last": "2"}


@settings(max_examples=400, deadline=None)
@given(values)
def test_what_passes_for_flink_2_is_read_as_written(value: str) -> None:
    if option_rules.value_fault(value, legacy=False) is None:
        found = yaml.load(render("config.yaml.j2", value), Loader=yaml.BaseLoader)
        assert found == {"a.first": "1", KEY: value, "z.last": "2"}


@pytest.mark.parametrize(
    "value", ["a\nb", "a#b", "a # b", " a", "a ", "", "é", "a\rb", "{{ x }}", "{% x %}", "{# x #}"]
)
def test_what_flink_1_would_misread_is_refused(value: str) -> None:
    assert option_rules.value_fault(value, legacy=True)


@pytest.mark.parametrize(
    "value", ["a: b", "'quoted'", '"x"', "a\\b", "*", "- x", "true", "1e3", "{a}", "%x", "@x", "`"]
)
def test_what_both_read_alike_is_accepted(value: str) -> None:
    assert option_rules.value_fault(value, legacy=True) is None
    assert read_by_legacy_parser(render("flink-conf.yaml.j2", value))[KEY] == value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values)
def test_cluster_check_refuses_or_keeps(tmp_path: Path, lock: Lock, value: str) -> None:
    """The same through a real cluster file: refused with its line, or in the rendered file as written."""
    quoted = yaml.safe_dump(value, default_style='"', allow_unicode=False).strip()
    path = samples.cluster_file(tmp_path / "c.yml", ("taskmanager.numberOfTaskSlots: 4", f"{KEY}: {quoted}"))
    if option_rules.value_fault(value, legacy=True):
        with pytest.raises(UsageError, match=r"c\.yml:\d+: "):
            clusters.load(path)
        return
    its = fact_module.resolve(clusters.load(path), lock)["both-1"]
    files = preview.render(its)
    assert read_by_legacy_parser(files["/etc/flink/1.20.5/flink-conf.yaml"])[KEY] == value
    assert yaml.safe_load(files["/etc/flink/2.3.0/config.yaml"])[KEY] == value


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (4, "4"), (0.5, "0.5"), ("a", "a")]
)
def test_scalars_as_flink_writes_them(value: str | float | bool, text: str) -> None:
    assert option_rules.text_of(value) == text
