from __future__ import annotations

import hashlib
import json
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab import snapshot
from provision import nodes


def test_differences_name_host_and_thing() -> None:
    left: dict[str, Any] = {"a": {"path:/x": {"mode": "0o644"}, "path:/y": {"mode": "0o755"}}}
    right: dict[str, Any] = {"a": {"path:/x": {"mode": "0o600"}, "path:/z": {}}, "b": {"unit:u": {}}}
    found = snapshot.differences(left, right)
    assert [line.split(":")[0] + ":" + line.split(":")[1] for line in found] == [
        "a path:/x",
        "a path:/y",
        "a path:/z",
        "b unit:u",
    ]
    assert snapshot.differences(left, left) == []


def test_the_probe_describes_files_links_and_what_is_absent(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("Managed by lab one\nx\n")
    (tmp_path / "tree" / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("tree/file")
    wanted = {
        "paths": [str(tmp_path / "link"), str(tmp_path / "gone")],
        "trees": [str(tmp_path / "tree")],
        "units": [],
        "users": ["root", "nobody-of-this-name"],
        "neutral": "Managed by lab one",
    }
    done = subprocess.run(
        [sys.executable, "-c", nodes.PROBE.read_text()],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found[f"path:{tmp_path}/link"]["target"] == "tree/file"
    assert found[f"path:{tmp_path}/gone"] == {"type": "absent"}
    file = found[f"path:{tmp_path}/tree/file"]
    assert file["mode"] == "0o640"
    assert file["sha256"] == hashlib.sha256(b"\nx\n").hexdigest()
    assert found["user:root"]["home"] == pwd.getpwnam("root").pw_dir
    assert found["user:nobody-of-this-name"] == {"type": "absent"}
