"""An EDGE node in a folder: what the manifest names and install-release brings, moved under a base path."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mirror.lockfile import load
from provision import cluster as clusters
from provision import facts, preview
from tests.openness import open_to_all

ROOT = Path(__file__).resolve().parents[2]
_PLACES = re.compile(rb"/(?=(?:opt/pnda|etc/flink|var/log/pnda|var/lib/pnda|usr/lib/pnda)\b)")
CLUSTER = """\
format: 1
name: edge
flavor: pico
mirror: {{base_uri: "{mirror}"}}
hosts:
  edge-1: {{roles: [EDGE]}}
  manager-1: {{roles: [FLINK, GRAPHITE]}}
hadoop: {{classpath: {hadoop}}}
flink:
  versions: [1.20.5, 2.3.0]
  storage: file:///pnda/flink
"""


@dataclass(frozen=True)
class Done:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class EdgeNode:
    """A node under ``base``, and the folder of its users' temporary files."""

    base: Path

    @property
    def tmp(self) -> Path:
        """Return the folder that TMPDIR names."""
        return self.base / "tmp"

    def path(self, absolute: str) -> Path:
        """Return where ``absolute`` of a real node lies."""
        return self.base / absolute.lstrip("/")

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a user of this node."""
        return {
            "PATH": f"{self.base}/usr/bin:/usr/bin:/bin",
            "HOME": str(self.tmp),
            "TMPDIR": str(self.tmp),
            "PNDA_FLINK_SETTINGS": str(self.path("/etc/flink/client.env")),
            **more,
        }

    def command(self, name: str) -> Path:
        """Return the path of the command ``name``."""
        return self.base / "usr" / "bin" / name

    def run(
        self, *words: str, stdin: str = "", timeout: float = 600, user: str = "", umask: int = -1, **more: str
    ) -> Done:
        """Run one of the node's commands as its user would; ``user`` is another one than the tests'."""
        identity: dict[str, Any] = {"umask": umask}
        if user:
            identity |= {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        done = subprocess.run(
            [str(self.command(words[0])), *words[1:]],
            env=self.environment(**more), input=stdin, cwd=self.tmp, **identity,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)


def provision(base: Path, release: Path, hadoop: str = "mirror") -> EdgeNode:
    """Make edge-1 of a small cluster under ``base``, from the published ``release``."""
    with serving(release) as uri:
        description = base / "cluster.yml"
        description.write_text(CLUSTER.format(mirror=uri, hadoop=hadoop))
        its = facts.resolve(clusters.load(description), load(ROOT / "mirror" / "catalogue.lock"))["edge-1"]
        node = EdgeNode(base)
        for entry in its["flink_directories"]:
            node.path(entry["destination"]).mkdir(parents=True, exist_ok=True)
            node.path(entry["destination"]).chmod(int(entry["mode"], 8))
        modes = {entry["destination"]: int(entry["mode"], 8) for entry in its["flink_files"]}
        for destination, content in preview.render(its).items():
            node.path(destination).parent.mkdir(parents=True, exist_ok=True)
            node.path(destination).write_bytes(_moved(content, base))
            node.path(destination).chmod(modes[destination])
        for item in its["flink_releases"]:
            record = node.path(f"{its['flink_state_directory']}/release-{item['version']}.json")
            program = node.path(f"{its['flink_program_directory']}/install-release")
            subprocess.run([program, record], check=True, timeout=600)
    for entry in its["flink_links"]:
        link = node.path(entry["destination"])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.fsdecode(_moved(entry["target"].encode(), base)))
    node.tmp.mkdir()
    node.tmp.chmod(0o1777)
    open_to_all(base)
    return node


def install_python(node: EdgeNode, release: Path, version: str) -> None:
    """Make PyFlink's environment for ``version`` as provisioning does, from the index in ``release``."""
    environment = node.path(f"/opt/pnda/pyflink-{version}").readlink()
    requirements = node.path(f"/var/lib/pnda/flink/python-{version}.txt")
    with serving(release) as uri:
        program = node.path("/usr/lib/pnda/flink/install-python")
        subprocess.run([program, requirements, environment, uri], check=True, timeout=900)


def _moved(content: bytes, base: Path) -> bytes:
    return _PLACES.sub(os.fsencode(base) + b"/", content)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve ``folder`` by HTTP on the loopback and give its URI."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
