"""Real history servers and real small clusters on the loopback, from a release's own archives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from provision import lines
from provision.manifest import FLINK

JAVA_HOME = Path(os.path.realpath(shutil.which("java") or "/none/bin/java")).parents[1]
_SECONDS = 180
# Answers as systemctl(1) does about the one unit that the supervisor below keeps.
SYSTEMCTL = """\
#!{python}
import json, sys
state = json.load(open({state!r}))
for word in sys.argv[1:]:
    if word.startswith("--property="):
        key = word.split("=", 1)[1]
        print(f"{{key}}={{state[key]}}")
"""


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(done: Callable[[], bool]) -> None:
    """Wait until ``done`` says so; fail when it never does."""
    end = time.monotonic() + _SECONDS
    while not done():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.2)


def write_configuration(folder: Path, version: str, options: Mapping[str, str]) -> None:
    """Write ``options`` into ``folder`` as ``version`` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    line = lines.LINES[lines.name_of(version)]
    rows = {"env.java.opts.all": line.java_options, **options}
    quote = "" if line.legacy else "'"
    text = "".join(f"{key}: {quote}{value}{quote}\n" for key, value in rows.items())
    (folder / line.configuration_file).write_text(text)


def environment_of(folder: Path) -> dict[str, str]:
    """Return the environment of one of Flink's programs that has all of its files under ``folder``."""
    (folder / "log").mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "JAVA_HOME": str(JAVA_HOME),
        "FLINK_CONF_DIR": str(folder / "conf"),
        "FLINK_LOG_DIR": str(folder / "log"),
        "FLINK_PID_DIR": str(folder),
        "FLINK_IDENT_STRING": "flink",
        "LANG": "C.UTF-8",
    }


@dataclass
class Server:
    """A history server that is restarted when it ends, as systemd does, and what systemctl would say of it.

    ``options`` stand over the ones that it needs. ``user`` is a user's number. With ``tls`` (names of files)
    it is prepared as by its unit.
    """

    home: Path
    version: str
    archives: str
    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    user: int = 0
    java_home: Path = JAVA_HOME
    tls: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Server:
        self.port = self.port or free_port()
        (self.folder / "bin").mkdir(parents=True)
        options = {
            "env.java.opts.historyserver": "-Xmx256m",
            "historyserver.web.address": "127.0.0.1",
            "historyserver.web.port": str(self.port),
            "historyserver.web.tmpdir": str(self.folder / "web"),
            "historyserver.archive.fs.dir": self.archives,
            "historyserver.archive.fs.refresh-interval": "1 s",
            "historyserver.archive.clean-expired-jobs": "true",
            **self.options,
        }
        write_configuration(self.folder / "conf", self.version, options)
        shutil.copy(self.home / "conf" / "log4j-console.properties", self.folder / "conf")
        self._environment = {**environment_of(self.folder), "JAVA_HOME": str(self.java_home)}
        systemctl = self.folder / "bin" / "systemctl"
        self._state = self.folder / "state.json"
        systemctl.write_text(SYSTEMCTL.format(python=sys.executable, state=str(self._state)))
        systemctl.chmod(0o755)
        if self.user:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, self.user, self.user)
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._show("activating", "start")
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._process:
            self._process.send_signal(signal.SIGKILL)
        self._thread.join(timeout=60)

    def _keep(self) -> None:
        restarts = 0
        while not self._ended.is_set():
            with (self.folder / "out").open("ab") as out:
                if self.tls:
                    self._prepare(out)
                self._process = subprocess.Popen(
                    [str(self.home / "bin" / "historyserver.sh"), "start-foreground"],
                    env=self._environment, stdout=out, stderr=out, user=self.user or None,
                )  # fmt: skip
            self._show("active", "running", self._process.pid, restarts)
            code = self._process.wait()
            self._show("activating", "auto-restart", 0, restarts, code)
            restarts += 1
            self._ended.wait(1)

    def _prepare(self, out: IO[bytes]) -> None:
        runtime, settings = self.folder / "runtime", self.folder / "prepared.json"
        runtime.mkdir(exist_ok=True)
        settings.write_text(json.dumps({"tls": dict(self.tls), "user": "root"}))
        words = [sys.executable, str(FLINK.programs / "history-server-tls"), "prepare"]
        words.append(f"--settings={settings}")
        environment = {"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(runtime)}
        subprocess.run(
            [*words, f"--configuration={self.folder / 'conf'}"],
            env=environment, stdout=out, stderr=out, timeout=60, check=True,
        )  # fmt: skip
        self._environment["FLINK_CONF_DIR"] = str(runtime / "conf")

    def password(self) -> str:
        """Return the key store's password."""
        conf = self.folder / "runtime" / "conf" / lines.LINES[lines.name_of(self.version)].configuration_file
        (row,) = [row for row in conf.read_text().splitlines() if "keystore-password" in row]
        return row.partition(": ")[2]

    def command_line(self) -> str:
        """Return the command lines of the server and of what runs beside it."""
        return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout

    def _show(self, active: str, sub: str, pid: int = 0, restarts: int = 0, code: int = 0) -> None:
        state = {
            "ActiveState": active,
            "SubState": sub,
            "MainPID": str(pid),
            "NRestarts": str(restarts),
            "Result": "exit-code" if code else "success",
            "ExecMainStatus": str(abs(code)),
            "LoadState": "loaded",
        }
        new = self._state.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(self._state)

    @property
    def pid(self) -> int:
        """Return the process id of the server as it is now."""
        return int(json.loads(self._state.read_text())["MainPID"])

    def ready(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Run history-server-ready as provisioning does."""
        settings = {
            "version": self.version,
            "address": "127.0.0.1",
            "port": self.port,
            "java_home": str(self.java_home),
            "user": "nobody" if self.user else "root",
            "archives": self.archives,
            "web": str(self.folder / "web"),
            "logs": str(self.folder / "log"),
            **self.settings,
        }
        path = self.folder / "settings.json"
        path.write_text(json.dumps(settings))
        return subprocess.run(
            [sys.executable, str(FLINK.programs / "history-server-ready"), f"--settings={path}", *more],
            env={**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"},
            capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip

    def ready_as(self, tls: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run history-server-ready with other settings of TLS."""
        old, self.settings = self.settings, {**self.settings, "tls": dict(tls)}
        try:
            return self.ready()
        finally:
            self.settings = old

    def get(self, path: str, context: ssl.SSLContext | None = None) -> Any:
        """GET ``path`` and return the document."""
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        scheme = "https" if context else "http"
        with opener.open(f"{scheme}://127.0.0.1:{self.port}{path}", timeout=30) as reply:
            return json.loads(reply.read())

    def jobs(self, wanted: int) -> set[str]:
        """Return the ids of the jobs that it lists, as soon as they are ``wanted`` in number."""
        found: set[str] = set()

        def enough() -> bool:
            found.clear()
            found.update(job["jid"] for job in self.get("/jobs/overview")["jobs"])
            return len(found) == wanted

        until(enough)
        return found
