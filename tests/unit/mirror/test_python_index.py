from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from core.errors import UpstreamError, UsageError, WorldError
from mirror.catalogue import Target
from mirror.locations import Location, redact
from mirror.python_index import parse_html, parse_json, parse_settings
from mirror.python_solver import parse_compiled, parse_report
from mirror.resolve_python import find_sdist, licence_in
from mirror.wheel_tags import best_wheel, platforms

PAGE = Location("https://me:secret@index.example/simple/dill/")
TARGET = Target("here", "3.11", "x86_64", "2.36")
TOLD = {
    "index_url": "https://index.example/simple/", "extra_index_urls": [], "no_index": False, "cert": None,
    "client_cert": None, "proxy": "", "trusted_hosts": [],
}  # fmt: skip


def test_json_page() -> None:
    row = {
        "filename": "dill-0.3.tar.gz",
        "url": "../../p/dill-0.3.tar.gz",
        "hashes": {"sha256": "A" * 64},
        "size": 5,
    }
    (item,) = parse_json(json.dumps({"files": [row]}), PAGE)
    assert item.location.url == "https://me:secret@index.example/p/dill-0.3.tar.gz"
    assert (item.sha256, item.size, item.yanked) == ("a" * 64, 5, False)
    assert "secret" not in repr(item)


def test_html_page() -> None:
    text = (
        '<html><a href="../../p/dill-0.3.tar.gz#sha256='
        + "b" * 64
        + '" data-requires-python="&gt;=3.7">x</a>'
        '<a href="http://[broken">y</a><a href="javascript:alert(1)">z</a><a>w</a></html>'
    )
    (item,) = parse_html(text, PAGE)
    assert item.filename == "dill-0.3.tar.gz"
    assert item.sha256 == "b" * 64
    assert item.requires_python == ">=3.7"
    assert "#" not in item.location.url


@given(st.text(max_size=200))
def test_any_html_is_read_without_a_crash(text: str) -> None:
    parse_html(text, PAGE)


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda t: st.lists(t) | st.dictionaries(st.text(), t))
)
def test_any_json_gives_files_or_an_upstream_error(value: Any) -> None:
    for document in (value, {"files": value}):
        with contextlib.suppress(UpstreamError):
            parse_json(json.dumps(document), PAGE)


def test_what_is_no_index_page_is_said_without_secrets() -> None:
    with pytest.raises(UpstreamError) as caught:
        parse_json("{}", PAGE)
    assert "index.example" in caught.value.message
    assert "secret" not in str(caught.value)


def test_pips_settings_become_locations() -> None:
    told = {
        **TOLD,
        "extra_index_urls": ["https://second.example/simple"],
        "proxy": "http://p:1",
        "cert": "/ca.pem",
    }
    first, second = parse_settings(told).indexes
    assert first.url == "https://index.example/simple"
    assert second.proxies == {"http": "http://p:1", "https": "http://p:1"}
    assert first.verify == "/ca.pem"


def test_a_trusted_host_is_not_verified_and_others_are() -> None:
    told = {
        **TOLD,
        "extra_index_urls": ["https://second.example/simple"],
        "trusted_hosts": ["second.example:443"],
    }
    first, second = parse_settings(told).indexes
    assert first.verify is None
    assert second.verify is False


@pytest.mark.parametrize("change", [{"no_index": True}, {"index_url": ""}])
def test_no_index_is_a_usage_error(change: Any) -> None:
    with pytest.raises(UsageError):
        parse_settings({**TOLD, **change})


def test_platform_tags_of_a_target() -> None:
    tags = platforms(TARGET)
    assert tags[0] == "manylinux_2_36_x86_64"
    assert "manylinux2014_x86_64" in tags
    assert "manylinux1_x86_64" in tags
    assert "manylinux_2_37_x86_64" not in tags
    assert platforms(Target("arm", "3.11", "aarch64", "2.28"))[-2:] == (
        "manylinux2014_aarch64",
        "linux_aarch64",
    )


@pytest.mark.parametrize(
    ("filename", "answer"),
    [
        ("x-1-cp311-cp311-manylinux2014_x86_64.whl", True),
        ("x-1-py3-none-any.whl", True),
        ("x-1-cp312-cp312-manylinux2014_x86_64.whl", False),
        ("x-1-cp311-cp311-manylinux_2_40_x86_64.whl", False),
        ("x-1-cp311-cp311-macosx_11_0_arm64.whl", False),
        ("x-1.tar.gz", False),
    ],
)
def test_which_wheels_run_on_a_target(filename: str, answer: Any) -> None:
    assert best_wheel([filename], Version("1"), TARGET) == (filename if answer else "")


def test_the_best_wheel_of_a_version_is_taken() -> None:
    names = [
        "x-1-py3-none-any.whl",
        "x-1-cp39-abi3-manylinux_2_28_x86_64.whl",
        "x-1-cp311-cp311-manylinux_2_17_x86_64.whl",
        "x-1-cp311-cp311-manylinux_2_28_x86_64.whl",
        "x-1-1-cp311-cp311-manylinux_2_28_x86_64.whl",
        "x-2-cp311-cp311-manylinux_2_28_x86_64.whl",
        "no wheel",
    ]
    assert best_wheel(names, Version("1"), TARGET) == names[4]
    assert best_wheel(names[:2], Version("1"), TARGET) == names[1]
    assert best_wheel(names[:4], Version("1"), Target("old", "3.10", "x86_64", "2.17")) == names[0]
    assert best_wheel(names, Version("3"), TARGET) == ""


def test_uvs_output_gives_versions_and_ways() -> None:
    text = "App==1.0    # via -r /tmp/x.in\nmid-dle==2+local    # via app\nleaf==3  # via app, mid.dle\n"
    pins, found = parse_compiled(text)
    assert pins == {"app": "1.0", "mid-dle": "2+local", "leaf": "3"}
    assert found == {"app": (), "mid-dle": ("app",), "leaf": ("app",)}
    with pytest.raises(WorldError):
        parse_compiled("x @ https://x.example/x.whl\n")


def test_the_source_archive_is_found_by_version() -> None:
    names = [
        "hdfs-2.7.3.zip",
        "hdfs-2.7.2.tar.gz",
        "hdfs-2.7.3.tar.gz",
        "nonsense",
        "hdfs-2.7.3-py3-none-any.whl",
    ]
    rows = [{"filename": name, "url": name, "hashes": {}} for name in names]
    files = parse_json(json.dumps({"files": rows}), PAGE)
    found = find_sdist(files, "2.7.3")
    assert found is not None
    assert found.filename == "hdfs-2.7.3.tar.gz"
    assert find_sdist(files, "9") is None


def test_pips_report() -> None:
    report = {
        "install": [
            {
                "download_info": {
                    "url": "https://x.example/a/ruamel_yaml-1%2Blocal-py3-none-any.whl#sha256=0"
                },
                "metadata": {"name": "ruamel.yaml", "version": "1+local"},
            }
        ]
    }
    (item,) = parse_report(json.dumps(report))
    assert item.project == "ruamel-yaml"
    assert item.filename == "ruamel_yaml-1+local-py3-none-any.whl"


def test_pips_report_tells_the_way_to_each_wheel() -> None:
    def row(name: str, *needs: str, asked: bool = False) -> dict[str, Any]:
        return {
            "download_info": {"url": f"https://x.example/{name}-1-py3-none-any.whl"},
            "metadata": {"name": name, "version": "1", "requires_dist": list(needs)},
            "requested": asked,
        }

    report = {
        "install": [
            row("app", "Mid>=1", 'never; python_version < "3"', "broken requirement !", asked=True),
            row("mid", "leaf"),
            row("leaf", "app"),
            row("never"),
        ]
    }
    found = {item.project: item.via for item in parse_report(json.dumps(report))}
    assert found == {"app": (), "mid": ("app",), "leaf": ("app", "mid"), "never": ()}


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ("License-Expression: MIT\nClassifier: License :: OSI Approved :: BSD License\n", "MIT"),
        ("License: BSD-3-Clause\nClassifier: License :: OSI Approved :: BSD License\n", "BSD-3-Clause"),
        ("License: Apache 2.0\nClassifier: License :: OSI Approved :: MIT License\n", "MIT License"),
        ("License: long\nClassifier: License :: OSI Approved :: BSD License\n", "BSD License"),
        ("License: Apache 2.0\n        and much more\nClassifier: License :: OSI Approved\n", "Apache 2.0"),
        ("", ""),
    ],
)
def test_licences_by_how_exactly_they_are_stated(tmp_path: Path, metadata: str, licence: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as packed:
        packed.writestr("x/_vendor/y-1.dist-info/METADATA", "Name: y\nLicense: other\n")
        packed.writestr("x-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: x\n{metadata}\ntext")
    assert licence_in(tmp_path / "x.whl", "x.whl") == licence


def test_what_is_no_wheel_has_no_licence(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as packed:
        packed.writestr("x.py", "")
    with pytest.raises(WorldError):
        licence_in(tmp_path / "x.whl", "x.whl")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@host.example:8443/a?token=1#x", "https://host.example:8443/a"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("http://[broken", "an address that cannot be read"),
        ("http://host:notaport/", "an address that cannot be read"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, shown: Any) -> None:
    assert redact(url) == shown
