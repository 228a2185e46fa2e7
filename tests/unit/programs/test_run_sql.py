"""The SQL client's front with a client that records and says what it is told to: codes, streams, signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provision.manifest import FLINK

RUN_SQL = FLINK.programs / "run-sql"
# Stands for sql-client.sh: it finds the pipe as log4j does, in the Java options.
CLIENT = """\
#!{python}
import json, os, re, signal, sys
options = os.environ.get("JVM_ARGS", "")
found = re.search("-Dpnda.sql.outcome=([^ ]+)", options)
with open(os.environ["RECORD"], "w") as stream:
    json.dump({{"arguments": [os.fsencode(word).hex() for word in sys.argv[1:]], "options": options,
               "pid": os.getpid()}}, stream)
if os.environ.get("SAYS"):
    open(found[1], "ab").write(os.environb[b"SAYS"])
if os.environ.get("READ"):
    for line in sys.stdin:
        sys.stdout.write(line.upper())
        sys.stdout.flush()
if os.environ.get("SLEEP"):
    import time
    if os.environ.get("CATCH"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("ready", flush=True)
    time.sleep(60)
sys.exit(int(os.environ.get("CODE", "0")))
"""
STARTED = {"method": "createLineReader", "thrown": ""}
INITIALIZED = {"method": "executeInitialization", "thrown": ""}


def failed(thrown: str) -> dict[str, str]:
    return {"method": "printExecutionException", "thrown": thrown}


# As Flink 1.20.5 logs a statement that names no table (most lines of the traces left out).
NO_TABLE = (
    "org.apache.flink.table.client.gateway.SqlExecutionException: Failed to get response for operation x.\n"
    "\tat org.apache.flink.table.client.gateway.ExecutorImpl.getFetchResultResponse(ExecutorImpl.java:489)\n"
    "Caused by: org.apache.flink.runtime.rest.util.RestClientException: [Internal server error., <Exception "
    "on server side:\norg.apache.flink.table.gateway.api.utils.SqlGatewayException: Failed to fetchResults.\n"
    "\tat org.apache.flink.table.gateway.service.SqlGatewayServiceImpl.fetchResults(X.java:91)\n"
    "Caused by: org.apache.calcite.sql.validate.SqlValidatorException: Object 'nothing' not found\n"
    "\tat java.base/java.lang.reflect.Constructor.newInstance(Constructor.java:481)\n\t... 34 more\n\n"
    "End of exception on server side>]\n"
    "\tat org.apache.flink.runtime.rest.RestClient.parseResponse(RestClient.java:644)\n"
)


class Client:
    def __init__(self, base: Path) -> None:
        self.base, self.record, self.script = base, base / "record.json", base / "sql-client.sh"
        self.script.write_text(CLIENT.format(python=sys.executable))
        self.script.chmod(0o755)

    def words(self, *arguments: str | bytes) -> list[str | bytes | Path]:
        return [RUN_SQL, "/usr/lib/sql outcome.properties", self.script, *arguments]

    def environment(self, *events: dict[str, str], **more: str) -> dict[str, str]:
        says = "".join(f"{json.dumps(event)}\n" for event in events)
        return {
            "PATH": "/usr/bin:/bin",
            "FLINK_HOME": "/opt/pnda/flink-1.20.5",
            "JVM_ARGS": "-Xmx1g",
            "RECORD": str(self.record),
            "SAYS": says,
            **more,
        }

    def run(
        self, *arguments: str | bytes, events: tuple[dict[str, str], ...] = (STARTED,), **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*arguments), env=self.environment(*events, **more), capture_output=True, text=True,
            timeout=60, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.words(*arguments), env=self.environment(STARTED, SLEEP="1", **more), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    @property
    def recorded(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.record.read_text())
        return found


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


SCRIPTS = (
    ["-f", "x.sql"],
    ["--file", "x.sql"],
    ["--file=x.sql"],
    ["-fx.sql"],
    ["-file", "x"],
    ["-u", "INSERT"],
    ["gateway", "-e", "host:1", "-f", "x"],
    ["-i", "init.sql", "-f", "x"],
)


@pytest.mark.parametrize("arguments", SCRIPTS)
def test_a_failed_statement_is_1_with_its_error_last(client: Client, arguments: list[str]) -> None:
    done = client.run(*arguments, events=(STARTED, INITIALIZED, failed(NO_TABLE)))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "sql-client.sh: a statement failed: "
        "org.apache.calcite.sql.validate.SqlValidatorException: Object 'nothing' not found"
    )


@pytest.mark.parametrize("arguments", SCRIPTS)
def test_without_a_failure_it_is_0(client: Client, arguments: list[str]) -> None:
    done = client.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("code", [1, 2, 31, 143])
def test_the_clients_own_code_comes_first(client: Client, code: int) -> None:
    done = client.run("-f", "x", events=(STARTED, failed(NO_TABLE)), CODE=str(code))
    assert (done.returncode, done.stderr) == (code, "")


def test_data_that_looks_like_an_error_is_data(client: Client) -> None:
    done = subprocess.run(
        client.words("-f", "x"), env=client.environment(STARTED, READ="1"), input="[error] as data\n",
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "[ERROR] AS DATA\n"


@pytest.mark.parametrize(
    ("says", "word"),
    [
        ("", "logged nothing"),
        ('{"method": "x"', "cannot tell"),
        ("[]\n", "cannot tell"),
        ('{"thrown": 1}\n', "cannot tell"),
    ],
)
def test_where_nobody_can_tell_it_is_1(client: Client, says: str, word: str) -> None:
    done = client.run("-f", "x", events=(), SAYS=says)
    assert done.returncode == 1
    assert word in done.stderr
    assert "cure:" in done.stderr


def test_help_is_no_failure(client: Client) -> None:
    assert client.run("-f", "x", "--help", events=()).returncode == 0


def test_a_failed_initialization_is_1_and_what_is_typed_after_a_good_one_is_not(client: Client) -> None:
    assert client.run("-i", "x", events=(STARTED, failed(NO_TABLE), INITIALIZED)).returncode == 1
    assert client.run("-i", "x", events=(STARTED, INITIALIZED, STARTED, failed(NO_TABLE))).returncode == 0
    assert client.run("--init", "x", "-f", "y", events=(INITIALIZED, failed(NO_TABLE))).returncode == 1


@pytest.mark.parametrize("arguments", [[], ["-D", "a=b"], ["-Dfile=x"], ["embedded", "-l", "/jars"], ["-h"]])
def test_without_a_script_it_becomes_the_client(client: Client, arguments: list[str]) -> None:
    with subprocess.Popen(client.words(*arguments), env=client.environment(CODE="7", SAYS="")) as process:
        assert process.wait(timeout=60) == 7
    assert client.recorded["pid"] == process.pid
    assert client.recorded["options"] == "-Xmx1g"


@pytest.mark.parametrize("arguments", [[], ["-f", "x"]])
def test_a_broken_pipe_ends_the_client(client: Client, arguments: list[str]) -> None:
    """Python ignores SIGPIPE, and a process that it starts would inherit that."""
    client.script.write_text("#!/bin/sh\ngrep SigIgn /proc/self/status\nexit 3\n")
    done = client.run(*arguments)
    ignored = int(done.stdout.split()[1], 16)
    assert ignored & 1 << signal.SIGPIPE - 1 == 0
    assert done.returncode == 3


def test_arguments_and_options_reach_the_client(client: Client) -> None:
    words = [b"-f", b"a b", b"", b"*", "é".encode(), b"\xff", b"-Dx='y'"]
    assert client.run(*words, FLINK_CONF_DIR="/etc/my flink").returncode == 0
    assert client.recorded["arguments"] == [word.hex() for word in words]
    options = str(client.recorded["options"])
    assert options.startswith(
        "-Xmx1g -Dlog4j2.configurationFile=file:/etc/my%20flink/log4j-cli.properties,"
        "file:/usr/lib/sql%20outcome.properties -Dpnda.sql.outcome=/proc/self/fd/"
    )
    client.run("-f", "x")
    assert "file:/opt/pnda/flink-1.20.5/conf/log4j-cli.properties," in str(client.recorded["options"])


def test_output_streams_on_as_it_comes(client: Client) -> None:
    with subprocess.Popen(
        client.words("-f", "x"), env=client.environment(STARTED, READ="1"), text=True, bufsize=1,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for line in ("one", "two"):
            process.stdin.write(f"{line}\n")
            assert process.stdout.readline() == f"{line.upper()}\n"
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_is_passed_on_and_its_end_is_ours(client: Client, sent: signal.Signals) -> None:
    with client.start("-f", "x") as process:
        process.send_signal(sent)
        process.communicate(timeout=60)
        # Python's own answer to SIGINT is an exception, and then the same signal.
        assert process.returncode == -sent


def test_a_client_that_ends_on_its_own_when_asked_gives_its_code(client: Client) -> None:
    with client.start("-f", "x", CATCH="1") as process:
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 143


def test_a_killed_front_leaves_no_client_behind(client: Client) -> None:
    with client.start("-f", "x") as process:
        child = int(str(client.recorded["pid"]))
        process.kill()
        process.communicate(timeout=60)  # its standard output ends with the client
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_reaches_the_client_once(client: Client) -> None:
    """On a terminal the kernel sends it to both; what is passed on would be a second one."""
    client.script.write_text(
        f"#!{sys.executable}\nimport signal, sys, time\nseen = []\n"
        "signal.signal(signal.SIGINT, lambda *_: seen.append(1))\nprint('ready', flush=True)\n"
        "end = time.monotonic() + 3\n"
        "while time.monotonic() < end:\n    time.sleep(0.1)\nsys.exit(10 + len(seen))\n"
    )
    child, terminal = pty.fork()
    if child == 0:
        words = [os.fspath(word) for word in client.words("-f", "x")]
        os.execve(words[0], words, client.environment())
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 100)
    os.write(terminal, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 11
    os.close(terminal)


def test_a_long_trace_does_not_fill_the_pipe(client: Client) -> None:
    client.script.write_text(
        f"#!{sys.executable}\nimport json, os, re\n"
        "found = re.search('-Dpnda.sql.outcome=([^ ]+)', os.environ['JVM_ARGS'])\n"
        "event = {'method': 'm', 'thrown': 'E: m\\n' + '\\tat x\\n' * 200000}\n"
        "open(found[1], 'w').write(json.dumps(event) + '\\n')\n"
    )
    done = client.run("-f", "x")
    assert done.returncode == 1
    assert done.stderr == "sql-client.sh: a statement failed: E: m\n"


@pytest.mark.parametrize(
    ("thrown", "shown"),
    [
        ("java.io.IOException", "java.io.IOException"),
        ("A: b\n\tat c\nCaused by: D: two\nlines\n\tat e\n", "D: two\nlines"),
        (" A: b\n\tat c\n", "A: b"),
        ("A: b\n\tat c\nCaused by: D: \n\t... 3 more", "D:"),
        ("A: b\nCaused by: B: c\nCaused by: C: d\n\tat e", "C: d"),
    ],
)
def test_the_innermost_cause_is_shown(client: Client, thrown: str, shown: str) -> None:
    done = client.run("-f", "x", events=(STARTED, failed(thrown)))
    assert done.stderr == f"sql-client.sh: a statement failed: {shown}\n"


def test_a_wrong_call(tmp_path: Path) -> None:
    done = subprocess.run([RUN_SQL, "x"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "usage" in done.stderr
