from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

from core.errors import UsageError
from mirror import licences, lockfile
from mirror.licence_names import expression, identifiers
from mirror.lockfile import LockedEntry, LockedFile

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("stated", "spdx"),
    [
        ("Apache-2.0", "Apache-2.0"),
        ("apache-2.0", "Apache-2.0"),
        ("The Apache Software License, Version 2.0", "Apache-2.0"),
        ("Apache License 2.0", "Apache-2.0"),
        ("https://www.apache.org/licenses/LICENSE-2.0.txt", "Apache-2.0"),
        ("Apache 2", "Apache-2.0"),
        ("MIT License", "MIT"),
        ("3-Clause BSD License", "BSD-3-Clause"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", "MPL-2.0 AND (Apache-2.0 OR MIT)"),
        ("EPL 2.0 or GPL2 w/ CPE", "EPL-2.0 OR (GPL-2.0-only WITH Classpath-exception-2.0)"),
        ("MIT License or The MIT License", "MIT"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("GPL-2+ or MIT and Expat", "GPL-2.0-or-later OR MIT"),
        # These do not say which licence is meant.
        ("BSD License", ""),
        ("Apache Software License", ""),
        ("BSD License or MIT License", ""),
        ("Public Domain", ""),
        ("", ""),
        ("MIT OR (", ""),
        ("MIT OR ()", ""),
        ("(OR 0", ""),
        ("Classpath-exception-2.0", ""),
        ("x" * 5000, ""),
    ],
)  # fmt: skip
def test_words_become_spdx_only_where_they_leave_no_doubt(stated: str, spdx: str) -> None:
    assert expression(stated) == spdx


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["MIT", "or", "and", "OR", "(", ")", "WITH", "BSD"])).map(" ".join)
)
def test_any_words_are_an_expression_that_the_library_takes_or_none(stated: str) -> None:
    found = expression(stated)
    if found:
        assert not get_spdx_licensing().validate(found).errors
        assert identifiers(found)


def locked(path: str, licence: str, **source: Any) -> LockedFile:
    return LockedFile(path, 1, "0" * 64, "0" * 128, ("one",), {"kind": "url", **source}, licence, {})


@pytest.fixture
def lock(tmp_path: Path) -> Any:
    files = [
        locked("mirror_misc/a.jar", "MIT License"),
        locked("mirror_misc/b.jar", "MIT or GPL-3+"),
        locked("mirror_misc/c.jar", "BSD | <License>"),
        locked("mirror_misc/d.jar", ""),
        locked(
            "x.tar.gz",
            "Apache-2.0",
            kind="assembly",
            distribution="p/x.whl",
            libraries="p/x.tgz",
            additions={},
        ),
    ]
    inputs = [locked("p/x.whl", "GPL-3.0-only"), locked("p/x.tgz", "MIT")]
    return lockfile.save(tmp_path / "x.lock", {"one": LockedEntry(("g",), "0" * 64)}, files, inputs)


def test_the_report_has_every_file_once_and_the_parts_of_archives(lock: Any) -> None:
    uses = {use.licence: use.files for use in licences.report(lock, ["one"])}
    assert uses == {
        "Apache-2.0": ("x.tar.gz",),
        "GPL-3.0-only": ("x.tar.gz: p/x.whl",),
        "MIT": ("mirror_misc/a.jar", "x.tar.gz: p/x.tgz"),
        "MIT OR GPL-3.0-or-later": ("mirror_misc/b.jar",),
        "BSD | <License>": ("mirror_misc/c.jar",),
        "not stated": ("mirror_misc/d.jar",),
    }
    assert next(reversed(uses)) == "not stated"
    assert "| BSD \\| &lt;License> | 1 | no |" in licences.markdown(licences.report(lock, ["one"]))


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["GPL-3.0-only"], ["x.tar.gz: p/x.whl"]),
        (["gpl-3.0-or-later"], []),  # there is a choice
        (["gpl-3.0-or-later", "MIT"], ["mirror_misc/a.jar", "mirror_misc/b.jar", "x.tar.gz: p/x.tgz"]),
        (["MIT License"], ["mirror_misc/a.jar", "x.tar.gz: p/x.tgz"]),
        (["not stated"], ["mirror_misc/d.jar"]),
        (["bsd | <license>"], ["mirror_misc/c.jar"]),
        (["AGPL-3.0-only"], []),
        ([], []),
    ],
)  # fmt: skip
def test_denied_licences_name_the_files_that_need_them(lock: Any, words: list[str], files: list[str]) -> None:
    found = licences.denied(licences.report(lock, ["one"]), words)
    assert sorted(path for use in found for path in use.files) == files


def test_a_denied_word_that_is_no_licence_is_refused(lock: Any) -> None:
    with pytest.raises(UsageError, match="GLP-3"):
        licences.denied(licences.report(lock, ["one"]), ["GLP-3.0-only"])


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "core.program", "mirror.licences", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_task_reports_the_real_lock_and_exits_1_for_a_denied_licence(lock: Any) -> None:
    real = json.loads(command("--json").stdout)
    loaded = lockfile.load(ROOT / "mirror/catalogue.lock")
    files = {path for use in real["licences"] for path in use["files"]}
    assert {item.path for item in loaded.files} <= files
    done = command("--lock", str(lock.path), "--deny", "GPL-3.0-only,not stated", "--json")
    assert done.returncode == 1
    assert len(json.loads(done.stdout)["denied"]) == 2
    assert "mirror_misc/d.jar: not stated" in done.stderr
    assert command("--lock", str(lock.path), "--deny", "GLP-3").returncode == 2
    assert command("--lock", str(lock.path), "--markdown").stdout.startswith("# Licences")
