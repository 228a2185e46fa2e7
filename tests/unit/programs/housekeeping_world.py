"""A node for `housekeeping`: real files under a temporary folder, servers that answer like Hadoop's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from provision.manifest import FLINK

PROGRAM = FLINK.programs / "housekeeping"
DAY = 86400.0
ALONE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
NOT_FOUND = {
    "RemoteException": {
        "exception": "NotFoundException",
        "message": "java.lang.Exception: app with id: {} not found",
        "javaClassName": "org.apache.hadoop.yarn.webapp.NotFoundException",
    }
}
Answer = Callable[[BaseHTTPRequestHandler], None]


class Loopback:
    """A real HTTP server on the loopback; ``asked`` are the paths that were asked for."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.asked: list[str] = []
        self.over = threading.Event()
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked.append(f"{self.command} {self.path}")
                answer(self)

            def do_DELETE(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes | dict[str, Any], **headers: str) -> None:
    """Answer with ``status`` and ``body``."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {
        "Content-Type": "application/json",
        "Content-Length": str(len(raw)),
        **headers,
    }.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(raw)


class ResourceManager:
    """Answers as YARN's ResourceManager does: ``apps`` by id; ``special`` overrules it for a path."""

    def __init__(self, ha: str = "ACTIVE", state: str = "STARTED") -> None:
        self.info: Any = {"clusterInfo": {"id": 1, "state": state, "haState": ha}}
        self.apps: dict[str, dict[str, Any]] = {}
        self.special: dict[str, Answer] = {}
        self.server = Loopback(self._answer)
        self.uri = self.server.uri

    def app(self, name: str, state: str, ended_hours_ago: float = 0.0, **more: Any) -> None:
        ended = int((time.time() - ended_hours_ago * 3600) * 1000) if ended_hours_ago else 0
        status = {"FINISHED": "SUCCEEDED"}.get(state, state if ended else "UNDEFINED")
        found = {
            "id": name,
            "state": state,
            "finalStatus": status,
            "startedTime": 1000,
            "finishedTime": ended,
        }
        self.apps[name] = {**found, **more}

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = urlsplit(handler.path).path
        name = path.rpartition("/")[2]
        if path in self.special:
            self.special[path](handler)
        elif path == "/ws/v1/cluster/info":
            reply(handler, 200, self.info)
        elif path == "/ws/v1/cluster/apps":
            states = parse_qs(urlsplit(handler.path).query)["states"][0].split(",")
            living = [app for app in self.apps.values() if app["state"] in states]
            reply(handler, 200, {"apps": {"app": living} if living else None})
        elif name in self.apps:
            reply(handler, 200, {"app": self.apps[name]})
        else:
            reply(handler, 404, json.loads(json.dumps(NOT_FOUND).replace("{}", name)))


class NameNode:
    """Answers WebHDFS from a folder of this machine, whose folders' owners are in ``owners`` (path: user)."""

    def __init__(self, root: Path, page: int = 3) -> None:
        self.root, self.page, self.standby = root, page, False
        self.owners: dict[str, str] = {}
        self.server = Loopback(self._answer)
        self.uri = self.server.uri

    def owner_of(self, path: str) -> str:
        while path and path not in self.owners:
            path = path.rpartition("/")[0]
        return self.owners.get(path, "hdfs")

    def _status(self, path: Path, suffix: str) -> dict[str, Any]:
        info = path.stat()
        name = "/" + str(path.relative_to(self.root))
        kind = "DIRECTORY" if path.is_dir() else "FILE"
        size = 0 if path.is_dir() else info.st_size
        changed = int(info.st_mtime * 1000)
        return {
            "pathSuffix": suffix, "type": kind, "length": size, "owner": self.owner_of(name),
            "group": "hadoop", "modificationTime": changed, "fileId": info.st_ino, "permission": "755",
        }  # fmt: skip

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        words = {key: value[0] for key, value in parse_qs(parts.query).items()}
        name = unquote(parts.path).removeprefix("/webhdfs/v1")
        path = self.root / name.lstrip("/")
        if self.standby:
            message = "Operation category READ is not supported in state standby"
            reply(handler, 403, {"RemoteException": {"exception": "StandbyException", "message": message}})
        elif words["op"] == "DELETE":
            self._delete(handler, name, path, words)
        elif not path.exists():
            missing = {"exception": "FileNotFoundException", "message": f"File does not exist: {name}"}
            reply(handler, 404, {"RemoteException": missing})
        elif words["op"] == "GETFILESTATUS":
            reply(handler, 200, {"FileStatus": self._status(path, "")})
        else:
            names = sorted(one.name for one in path.iterdir() if one.name > words.get("startAfter", ""))
            found = [self._status(path / one, one) for one in names[: self.page]]
            remaining = max(0, len(names) - self.page)
            listing = {
                "partialListing": {"FileStatuses": {"FileStatus": found}},
                "remainingEntries": remaining,
            }
            reply(handler, 200, {"DirectoryListing": listing})

    def _delete(self, handler: BaseHTTPRequestHandler, name: str, path: Path, words: dict[str, str]) -> None:
        user = words["user.name"]
        if user not in (self.owner_of(name), self.owner_of(name.rpartition("/")[0])):
            message = f"Permission denied: user={user}, access=WRITE, inode={name!r}"
            denied = {"exception": "AccessControlException", "message": message}
            reply(handler, 403, {"RemoteException": denied})
            return
        if not path.exists():
            reply(handler, 200, {"boolean": False})
            return
        if path.is_dir() and any(path.iterdir()) and words["recursive"] != "true":
            busy = {"exception": "PathIsNotEmptyDirectoryException", "message": f"{name} is non empty"}
            reply(handler, 403, {"RemoteException": busy})
            return
        for one in sorted(path.rglob("*"), reverse=True) if path.is_dir() else []:
            one.rmdir() if one.is_dir() else one.unlink()
        path.rmdir() if path.is_dir() else path.unlink()
        reply(handler, 200, {"boolean": True})


class Node:
    """A node whose every folder is under ``base``; ``settings`` is what its configuration file holds."""

    def __init__(self, base: Path) -> None:
        self.base, self.beside = base, ""
        for name in ("state", "archives", "homes", "opt", "lib", "tmp"):
            (base / name).mkdir()
        self.settings: dict[str, Any] = {
            "format": 1,
            "managed_by": "a test",
            "state": str(base / "state"),
            "name_nodes": [],
            "hdfs_user": "flink",
            "archives.enabled": True,
            "archives.folder": f"file://{base}/archives",
            "archives.days": 30,
            "archives.most": 1000,
            "archives.youngest_hours": 1,
            "staging.enabled": True,
            "staging.homes": f"file://{base}/homes",
            "staging.resource_managers": [],
            "staging.hours_after_end": 1,
            "staging.unknown_days": 7,
            "libraries.enabled": True,
            "libraries.folder": str(base / "opt"),
            "libraries.record": str(base / "applied.json"),
            "libraries.versions": [],
            "libraries.days": 14,
            "shared_libraries.enabled": False,
            "shared_libraries.folder": "",
            "shared_libraries.versions": [],
            "shared_libraries.days": 30,
            "temporary.enabled": True,
            "temporary.folders": [str(base / "tmp")],
            "temporary.days": 7,
        }
        self.configuration = base / "housekeeping.json"

    def words(self, *arguments: str) -> list[str]:
        self.configuration.write_text(json.dumps(self.settings))
        return [sys.executable, str(PROGRAM), "--configuration", str(self.configuration), *arguments]

    def run(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run the program, alone with ``beside`` (a command that says something when it is ready).

        Elsewhere there may be processes that not even root can look into.
        """
        script = (
            'if [ -n "$BESIDE" ]; then sh -c "$BESIDE" >"$SAID" & '
            'while ! [ -s "$SAID" ]; do sleep 0.05; done; fi; exec "$@"'
        )
        said = self.base / "said"
        said.unlink(missing_ok=True)
        environment = (
            {**os.environ, "BESIDE": self.beside, "SAID": str(said)} if self.beside else dict(os.environ)
        )
        return subprocess.run(
            [*ALONE, "sh", "-c", script, "sh", "env", "-u", "BESIDE", *self.words(*arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=environment,
        )

    def clean(self, part: str, code: int = 0) -> dict[str, Any]:
        """Run one part: dry first, which must say the same and change nothing; return its report."""
        before = tree(self.base)
        dry = self.run("--only", part, "--json", "--dry-run")
        assert tree(self.base) == before, "a dry run changed something"
        done = self.run("--only", part, "--json")
        assert (dry.returncode, done.returncode) == (code, code), done.stderr + done.stdout + dry.stdout
        told, report = (json.loads(one.stdout)["parts"][part] for one in (dry, done))
        assert told == report
        found: dict[str, Any] = report
        return found

    def archive(self, name: str, days: float = 0.0, size: int = 3) -> Path:
        path = self.base / "archives" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        age(path, days)
        return path

    def application(self, cluster: str, name: str, days: float, jobs: Sequence[str]) -> Path:
        folder = self.base / "archives" / cluster / "applications" / name
        for job in jobs:
            self.archive(f"{cluster}/applications/{name}/jobs/{job}", days)
        self.archive(f"{cluster}/applications/{name}/application-summary", days)
        age(folder / "jobs", days)
        age(folder, days)
        return folder

    def staged(self, user: str, name: str, days: float = 1.0) -> Path:
        folder = self.base / "homes" / user / ".flink" / name
        (folder / "lib").mkdir(parents=True)
        (folder / "lib" / "some.jar").touch()
        (folder / "flink-conf.yaml").touch()
        age(folder, days)
        return folder

    def seen(self, **document: Any) -> None:
        (self.base / "state" / "seen.json").write_text(json.dumps({"format": 1, **document}))

    def what_was_seen(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.base / "state" / "seen.json").read_text())
        return found


def age(path: Path, days: float) -> None:
    """Let ``path`` have been changed so many days ago."""
    then = time.time() - days * DAY
    os.utime(path, (then, then), follow_symlinks=False)


def tree(base: Path) -> dict[str, tuple[int, int, int]]:
    """Return mode, size and time of everything under ``base``, but for the configuration."""
    return {
        str(path): (info.st_mode, info.st_size, info.st_mtime_ns)
        for path in sorted(base.rglob("*"))
        if (info := path.lstat()) and path.name != "housekeeping.json" and path.parent != base
    }


def ids(number: int, first: int = 0) -> list[str]:
    """Return ``number`` different names of 32 hex digits."""
    return [f"{value:032x}" for value in range(first, first + number)]
