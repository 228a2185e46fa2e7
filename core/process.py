"""Run other programs: argument lists, time limits, output kept and shown when they fail."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import PndaError, UsageError, WorldError

_TAIL_LINES = 40
_TIED = Path(__file__).with_name("tied.py")
_END_SECONDS = 10.0
_LATE = -1000  # no exit code; a signal that ended a program is its number below 0
_starting = threading.Lock()  # held while a program is started, or all are ended
_running: set[subprocess.Popen[bytes]] = set()
_interrupted = threading.Event()
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
    tied: bool = False,
) -> Finished:
    """Run ``args`` to its end and return what it printed.

    ``timeout`` is in seconds; on expiry the whole process group is killed. ``env`` is added to
    this process's environment. With ``check`` a non-zero exit code raises ``failure``, whose
    message holds ``what`` (a phrase for people) and the tail of the output. With ``tied`` nothing
    that the program started outlives this process, even where that is killed.
    """
    words = tuple(str(word) for word in args)
    label = what or words[0]
    payload = stdin.encode() if isinstance(stdin, str) else stdin
    with _Tie() if tied else nullcontext() as tie:
        try:
            process = _start(words, cwd, env, payload is not None, tie)
        except FileNotFoundError as error:
            raise UsageError(
                f"{label}: the program {words[0]} is not installed", cure or f"install {words[0]}"
            ) from error
        done = _ended(process, payload, timeout, tie, words)
    if _interrupted.is_set():
        raise KeyboardInterrupt
    if done.code == _LATE:
        raise failure(f"{label}: no end after {timeout:g} s\n{done.tail()}".rstrip(), cure)
    if check and done.code != 0:
        raise failure(f"{label}: exit code {done.code}\n{done.tail()}".rstrip(), cure)
    return done


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of ``count`` threads that run programs; an interruption ends these programs.

    Without it Ctrl-C would wait until the last of them has come to its end.
    """
    with ThreadPoolExecutor(count) as pool:
        try:
            yield pool
        except KeyboardInterrupt:
            with _starting:
                _interrupted.set()
                for process in [one for one in _running if one.returncode is None]:
                    _kill_group(process)
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            _interrupted.clear()


class _Tie:
    """A pipe; what is started with its reading end ends when its writing end, ours alone, is closed."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        self._writing = os.fdopen(writing, "wb")

    def __enter__(self) -> _Tie:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.reading)
        self.cut()

    def cut(self) -> None:
        """Close the writing end, once or more often."""
        self._writing.close()


def _start(
    words: Sequence[str], cwd: Path | None, env: Mapping[str, str] | None, fed: bool, tie: _Tie | None
) -> subprocess.Popen[bytes]:
    if tie and shutil.which(words[0]) is None:
        raise FileNotFoundError(words[0])
    with _starting:
        if _interrupted.is_set():
            raise KeyboardInterrupt
        process = subprocess.Popen(
            (sys.executable, "-I", "-S", str(_TIED), str(tie.reading), *words) if tie else words,
            cwd=cwd,
            env={**os.environ, **env} if env is not None else None,
            stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=(tie.reading,) if tie else (),
        )
        _running.add(process)
    return process


def _ended(
    process: subprocess.Popen[bytes],
    payload: bytes | None,
    timeout: float,
    tie: _Tie | None,
    words: tuple[str, ...],
) -> Finished:
    """Feed ``process`` and return how it ended; its code is _LATE where it had to be ended."""
    try:
        out, err = process.communicate(payload, timeout=timeout)
        code = process.returncode
    except subprocess.TimeoutExpired:
        _end(process, tie)
        out, err = process.communicate()
        code = _LATE
    except BaseException:
        _end(process, tie)
        process.wait()
        raise
    finally:
        _running.discard(process)
    return Finished(words, code, _text(out), _text(err))


def _end(process: subprocess.Popen[bytes], tie: _Tie | None) -> None:
    if tie:
        tie.cut()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
    _kill_group(process)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
