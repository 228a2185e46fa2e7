from __future__ import annotations

import errno
import json

import pytest
from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from core import console
from core.bootstrap import BootstrapError
from core.errors import BusyError, DiskError, PndaError, UpstreamError, UsageError, WorldError
from core.program import PndaProgram

RAISED: dict[str, BaseException] = {
    "world": WorldError("w", "c"),
    "usage": UsageError("u", "c"),
    "busy": BusyError("b", "c"),
    "upstream": UpstreamError("n", "c"),
    "disk": DiskError("d", "c"),
    "full": OSError(errno.ENOSPC, "no space", "/data/x"),
    "ours": KeyError("x"),
    "base": PndaError("p"),
    "environment": BootstrapError("pip says no"),
    "stop": KeyboardInterrupt(),
    "exit": Exit("enough", 7),
}


@task
def fail(_: Context, how: str) -> None:
    """Fail."""
    raise RAISED[how]


@task
def good(_: Context, number: int = 0) -> None:
    """Print one result."""
    console.say("working")
    console.result({"b": 1, "a": [2]}, "as text")


PROGRAM = PndaProgram(name="inv", binary="./inv", version="0", namespace=Collection(fail, good))


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        PROGRAM.run(["inv", *words])
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("world", 1), ("usage", 2), ("busy", 3), ("upstream", 4), ("disk", 5), ("full", 5),
        ("ours", 70), ("base", 70), ("environment", 4), ("stop", 130), ("exit", 7),
    ],
)  # fmt: skip
def test_each_error_has_its_code_and_no_traceback(
    how: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("fail", "--how", how) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["nothing"], ["--nonsense"], ["good", "--nonsense"], ["fail"]])
def test_a_wrong_call_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words) == 2
    assert "cure: ./inv --list" in capsys.readouterr().err


def test_a_number_that_is_none_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("good", "--number", "7") == 0
    assert call("good", "--number", "x") == 2
    assert "'x' is not a number" in capsys.readouterr().err


def test_results_go_to_standard_output_and_talk_does_not_mix_into_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("good", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": [2], "b": 1}
    assert "working" in captured.err
    assert call("good", "--quiet") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("as text\n", "")


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("fail", "--how", "ours", "--debug") == 70
    assert "Traceback" in capsys.readouterr().err
