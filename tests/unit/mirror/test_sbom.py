from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from mirror import derived, identity, lockfile, sbom
from mirror.lockfile import LockedEntry, LockedFile
from mirror.needs import needs

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ("mirror/catalogue.lock", "lab/catalogue.lock")


def document(lock: Any) -> Any:
    raw = sbom.files(lock, lock.entries(), lock.files)[sbom.PATH].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(raw) is None
    return json.loads(raw)


def references(components: Any) -> list[str]:
    found = []
    for item in components:
        found += [item["bom-ref"], *references(item.get("components", []))]
        found += references(item.get("pedigree", {}).get("ancestors", []))
    return found


@pytest.mark.parametrize("path", LOCKS)
def test_the_real_locks_have_a_valid_bill_with_every_file(path: str) -> None:
    lock = lockfile.load(ROOT / path)
    bill = document(lock)
    assert "timestamp" not in bill["metadata"]
    by_path = {item["bom-ref"]: item for item in bill["components"]}
    assert set(by_path) == {item.path for item in lock.files}
    for item in lock.files:
        hashes = {row["alg"]: row["content"] for row in by_path[item.path]["hashes"]}
        assert hashes == {"SHA-256": item.sha256, "SHA-512": item.sha512}
        assert PackageURL.from_string(by_path[item.path]["purl"]).name
    known = references(bill["components"])
    assert len(known) == len(set(known))
    made = [item for item in lock.files if derived.inputs_of(item.source)]
    assert len(known) == len(lock.files) + sum(len(derived.inputs_of(item.source)) for item in made)
    for row in bill["dependencies"]:
        assert {row["ref"], *row.get("dependsOn", [])} <= {*known, "release"}
        assert row["ref"] not in row.get("dependsOn", [])


def locked(path: str, licence: str = "", via: Any = None, evidence: Any = None, **source: Any) -> LockedFile:
    digests = hashlib.sha256(path.encode()).hexdigest(), hashlib.sha512(path.encode()).hexdigest()
    return LockedFile(path, 1, *digests, ("one",), source, licence, evidence or {}, (), via or {})


def test_what_each_kind_of_file_becomes(tmp_path: Path) -> None:
    files = [
        locked("mirror_maven/g/a/1/a-1-tests.jar", "MIT or Apache 2.0", kind="maven",
               coordinate="g:a:jar:tests:1"),
        locked("mirror_maven/g/a/1/a-1.pom", "My Own", kind="maven", coordinate="g:a:pom:1"),
        locked("mirror_python/packages/x_y-2-py3-none-any.whl", kind="python", project="x-y"),
        locked("mirror_python/packages/z-3-py3-none-any.whl", "MIT", kind="built", project="z",
               input="python/z-3.tar.gz"),
        locked("mirror_deb/pool/bookworm/n_1.0_all.deb", "GPL-2+", kind="deb", package="n", version="1:1.0",
               architecture="all", suite="bookworm"),
        locked("mirror_misc/any.bin", kind="url", url="https://example.org/x"),
        locked("flink-9.tar.gz", kind="assembly", recipe="flink", version="9", additions={},
               distribution="python/z-3.tar.gz", libraries="python/w-1.tar.gz",
               evidence={"signature": "made here", "agreed": [], "signers": ["<&\u2028\x00"]}),
    ]  # fmt: skip
    inputs = [
        locked("python/z-3.tar.gz", kind="python", project="z", filename="z-3.tar.gz"),
        locked("python/w-1.tar.gz", kind="python", project="w", filename="w-1.tar.gz"),
    ]
    table = {"one": LockedEntry(("g",), "0" * 64)}
    lock = lockfile.save(tmp_path / "x.lock", table, files, inputs)
    found = {item["bom-ref"]: item for item in document(lock)["components"]}
    purls = {path: item["purl"] for path, item in found.items()}
    assert purls == {
        "flink-9.tar.gz": "pkg:generic/flink@9",
        "mirror_deb/pool/bookworm/n_1.0_all.deb": "pkg:deb/debian/n@1:1.0?arch=all&distro=bookworm",
        "mirror_maven/g/a/1/a-1-tests.jar": "pkg:maven/g/a@1?classifier=tests",
        "mirror_maven/g/a/1/a-1.pom": "pkg:maven/g/a@1?type=pom",
        "mirror_misc/any.bin": "pkg:generic/any.bin?file_name=any.bin",
        "mirror_python/packages/x_y-2-py3-none-any.whl": "pkg:pypi/x-y@2?file_name=x_y-2-py3-none-any.whl",
        "mirror_python/packages/z-3-py3-none-any.whl": "pkg:pypi/z@3?file_name=z-3-py3-none-any.whl",
    }
    said = {path: item.get("licenses") for path, item in found.items()}
    declared = {"acknowledgement": "declared"}
    assert said["mirror_maven/g/a/1/a-1-tests.jar"] == [{"expression": "MIT OR Apache-2.0", **declared}]
    assert said["mirror_maven/g/a/1/a-1.pom"] == [{"license": {"name": "My Own", **declared}}]
    assert said["mirror_deb/pool/bookworm/n_1.0_all.deb"] == [
        {"license": {"id": "GPL-2.0-or-later", **declared}}
    ]
    assert said["flink-9.tar.gz"] is None
    assert {part["name"] for part in found["flink-9.tar.gz"]["components"]} == {"z", "w"}
    built = found["mirror_python/packages/z-3-py3-none-any.whl"]
    assert [item["purl"] for item in built["pedigree"]["ancestors"]] == ["pkg:pypi/z@3?file_name=z-3.tar.gz"]
    stated = {row["name"]: row["value"] for row in found["flink-9.tar.gz"]["properties"]}
    assert stated["flink-on-pnda:signature"] == "made here"
    assert stated["flink-on-pnda:signer"] == "<&\u2028\x00"


def test_who_needs_whom_follows_from_the_ways_in_the_lock() -> None:
    top, middle = "g:top:jar:1", "g:middle:jar:1"
    files = [
        locked("mirror_maven/g/top/1/top-1.jar", coordinate=top),
        locked("mirror_apps/x/lib/top-1.jar", coordinate=top),
        locked("mirror_maven/g/middle/1/middle-1.jar", coordinate=middle, via={"one": (top,)}),
        locked("mirror_apps/x/lib/leaf-1.jar", coordinate="g:leaf:jar:1", via={"one": (top, middle)}),
        locked("mirror_maven/g/top/1/top-1.pom", coordinate="g:top:pom:1", via={"one": (top,)}),
        locked("mirror_python/packages/a.whl", project="Big.App"),
        locked("mirror_python/packages/b.whl", project="lib", via={"one": ("big-app",), "two": ("other",)}),
        locked("mirror_python/packages/c.whl", project="lost", via={"one": ("nobody-has-it",)}),
    ]
    found = needs(reversed(files), ["one"])
    assert found.named == (
        "mirror_apps/x/lib/top-1.jar", "mirror_maven/g/top/1/top-1.jar", "mirror_python/packages/a.whl"
    )  # fmt: skip
    assert {path: needed for path, needed in found.needs.items() if needed} == {
        "mirror_maven/g/middle/1/middle-1.jar": ("mirror_apps/x/lib/leaf-1.jar",),
        "mirror_maven/g/top/1/top-1.jar": (
            "mirror_maven/g/middle/1/middle-1.jar", "mirror_maven/g/top/1/top-1.pom"
        ),
        "mirror_python/packages/a.whl": ("mirror_python/packages/b.whl",),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["x.whl", "nonsense", "-.tar.gz"])
def test_a_file_name_without_a_version_is_no_fault(name: str) -> None:
    assert identity.of(locked(f"mirror_python/packages/{name}", kind="python", project="p")).version == ""


SCRIPT = """
import dataclasses, hashlib, json, os, sys
from pathlib import Path
from mirror import lockfile
from mirror.contents import contents
os.umask(int(sys.argv[2], 8))
path = Path(sys.argv[1])
lock = lockfile.load(path)
if sys.argv[3] == "reversed":
    lock = dataclasses.replace(lock, files=lock.files[::-1], inputs=lock.inputs[::-1])
    lock = dataclasses.replace(lock, entry_table=dict(reversed(lock.entry_table.items())))
names = lock.entries()[::-1] if sys.argv[3] == "reversed" else lock.entries()
found = contents(lock, path.read_bytes(), names)
print(json.dumps({name: item.sha256 for name, item in found.items() if item.data is not None}))
"""


def test_generated_content_is_the_same_in_any_process() -> None:
    """Whatever the seed of hashes, the time zone, the language, the umask, the folder, and the order."""
    makers = [
        (("022", "as it is"), {"PYTHONHASHSEED": "1", "TZ": "UTC", "LANG": "C.UTF-8"}, ROOT),
        (("077", "reversed"), {"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LANG": "tr_TR.ISO-8859-9",
                               "LC_ALL": "C", "PYTHONUTF8": "0"}, Path("/")),
    ]  # fmt: skip
    answers = []
    for words, environment, folder in makers:
        answers.append(
            subprocess.run(
                [sys.executable, "-c", SCRIPT, str(ROOT / "mirror/catalogue.lock"), *words],
                cwd=folder, env={**os.environ, **environment, "PYTHONPATH": str(ROOT)}, capture_output=True,
                text=True, timeout=120, check=True,
            ).stdout
        )  # fmt: skip
    first, second = map(json.loads, answers)
    assert {name for name in first if first[name] != second.get(name)} == set()
    assert set(first) == set(second)
    assert {"sbom.cdx.json", "index.html", "SHA512SUMS"} <= set(first)
