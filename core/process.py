"""Run other programs: argument lists, time limits, output kept and shown when they fail."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import PndaError, UsageError, WorldError

_TAIL_LINES = 40
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # Maven colours even what no terminal reads


@dataclass(frozen=True)
class Finished:
    """A process that ended: its arguments, exit code and captured output (text)."""

    args: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def tail(self) -> str:
        """Return the last lines of what it printed, standard error last."""
        text = "\n".join(part.rstrip() for part in (self.stdout, self.stderr) if part.strip())
        lines = [line for line in _COLOUR.sub("", text).splitlines() if line.strip()]
        return "\n".join(lines[-_TAIL_LINES:])


def run(
    args: Sequence[str | Path],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes | None = None,
    check: bool = True,
    what: str = "",
    failure: type[PndaError] = WorldError,
    cure: str = "",
) -> Finished:
    """Run ``args`` to its end and return what it printed.

    ``timeout`` is in seconds; on expiry the whole process group is killed. ``env`` is added to
    this process's environment. With ``check`` a non-zero exit code raises ``failure``, whose
    message holds ``what`` (a phrase for people) and the tail of the output.
    """
    words = tuple(str(word) for word in args)
    label = what or words[0]
    payload = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env={**os.environ, **env} if env is not None else None,
            stdin=subprocess.PIPE if payload is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise UsageError(
            f"{label}: the program {words[0]} is not installed", cure or f"install {words[0]}"
        ) from error
    try:
        out, err = process.communicate(payload, timeout=timeout)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        out, err = process.communicate()
        done = Finished(words, -1, _text(out), _text(err))
        raise failure(f"{label}: no end after {timeout:g} s\n{done.tail()}".rstrip(), cure) from None
    except BaseException:
        _kill_group(process)
        process.wait()
        raise
    done = Finished(words, process.returncode, _text(out), _text(err))
    if check and done.code != 0:
        raise failure(f"{label}: exit code {done.code}\n{done.tail()}".rstrip(), cure)
    return done


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
