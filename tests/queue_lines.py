"""Command lines as people type them, with the queue that each gets: for stubs and for the real scripts.

The policy is POLICY; who runs the lines is in the group ``ours``: ``default`` without a request, ``other``
on request, nothing else.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

POLICY = b"# for the tests\nsomebody: theirs\n:ours default\n:ours other\n"
KEY = "yarn.application.queue"
_D, _Y, _Q = f"-D{KEY}=", "--yarnqueue=", "--queue="
# What is put in, after the first word (before it for yarn-session.sh): SAME nothing; DENIED: nothing is run.
SAME, DENIED = "", "!"


@dataclass(frozen=True)
class Line:
    """A command with its arguments, and what the launcher makes of them: ``option`` as above."""

    command: str
    words: tuple[str, ...]
    option: str

    @property
    def script(self) -> str:
        """Return the script of Flink's that runs."""
        return "flink" if self.command == "pyflink.sh" else self.command

    @property
    def passed(self) -> list[str] | None:
        """Return the arguments that Flink's script must get; None where it must not run."""
        if self.option == DENIED:
            return None
        words = list(self.words)
        if self.command == "pyflink.sh":
            words = ["run", *([] if not words or words[0][:1] in ("", "-") else ["-py"]), *words]
        at = 0 if self.command == "yarn-session.sh" else 1
        return [*words[:at], *([self.option] if self.option else []), *words[at:]]


def _lines(command: str, text: str, default: str) -> list[Line]:
    """Read rows ``RESULT arguments``: ``-`` unchanged, ``!`` denied, else the queue that is put in."""
    found = []
    for row in text.strip().splitlines():
        result, *words = shlex.split(row)
        option = {"-": SAME, "!": DENIED}.get(result, default + result)
        found.append(Line(command, tuple(words), option))
    return found


# Each row of the table of what PNDA's wrapper did (the file a.jar stands for any).
UPSTREAM = [
    *_lines("flink", "default run -m yarn-cluster a.jar\n- run -yqu other -m yarn-cluster a.jar", _Y),
    *_lines(
        "flink",
        """
- run --yarnqueue other a.jar
- run -yqu nosuch a.jar
default run -t yarn-application a.jar --queue userarg -qu x
default run -t yarn-application a.jar --yarnqueue=other
- list
- cancel -yid application_1_2 0123456789abcdef0123456789abcdef
-
- run --yarnqueue
! run -t yarn-application -yqu nosuch a.jar
""",
        _D,
    ),
    *_lines("pyflink.sh", "- wc.py - in out\ndefault -t yarn-application -py wc.py - in out", _D),
    *_lines("yarn-session.sh", "default -nm x\n- -nm x -qu other\n! -nm x -qu nosuch", _D),
]

FLINK = _lines(
    "flink",
    f"""
default run -t yarn-per-job a.jar
default run -t yarn-application a.jar
default run --target yarn-application a.jar
default run --target=yarn-application a.jar
default run -t=yarn-application a.jar
default run -tyarn-application a.jar
default run -target yarn-application a.jar
default run --targ yarn-application a.jar
default run -dt yarn-per-job a.jar
default run -e yarn-per-job a.jar
default run --executor=yarn-per-job a.jar
default run -Dexecution.target=yarn-application a.jar
default run -D execution.target=yarn-application a.jar
default run -D execution.target yarn-application a.jar
default run -t local -Dexecution.target=yarn-per-job a.jar
default run -t YARN-Application a.jar
default run -d -p 4 -c org.example.Main -C file:///x.jar -s hdfs:///s -n -t yarn-application a.jar in out
default run -t yarn-application
default run -t yarn-application -j a.jar
default run -t yarn-application -a x y -t local
default run -t yarn-application -- a.jar -yqu other
default run -t yarn-application -py job.py
default run -py job.py -pyfs lib.zip -pyexec v/bin/python -pyarch v.zip -pym m -t yarn-application in -qu out
default run -t yarn-application -Dyarn.application.name='a b' -D k='v=w' a.jar
default run -t yarn-application a.jar -D{KEY}=other
default run -t yarn-application a.jar -t local -yqu nosuch -D{KEY}=nosuch --queue=nosuch
default run -t yarn-application -foo a.jar
default run -t yarn-application -yqu=other a.jar
default run-application -t yarn-application a.jar
default run-application -t yarn-application -Dyarn.tags=x a.jar 'x y'
- run -t yarn-application -D{KEY}=other a.jar
- run -t yarn-application -D {KEY}=other a.jar
- run -t yarn-application -D {KEY} other a.jar
- run -D{KEY}=nosuch -t yarn-application -D{KEY}=other a.jar
- run -dD {KEY}=other -t yarn-application a.jar
other run -t yarn-application -yqu other a.jar
other run -t yarn-application --yarnqueue other a.jar
other run -t yarn-application --yarnqueue=other a.jar
other run -t yarn-application -yarnqueue=other a.jar
other run -t yarn-application -yarnqueue other a.jar
other run -t yarn-application -yD {KEY}=other a.jar
other run-application -t yarn-application -yqu other a.jar
! run -t yarn-application -D{KEY}=nosuch a.jar
! run -t yarn-application -D {KEY}=nosuch a.jar
! run -t yarn-application -D {KEY} nosuch a.jar
! run -t yarn-application -D{KEY}=other -D{KEY}=nosuch a.jar
! run -D{KEY}=nosuch -t yarn-application -yqu other a.jar
! run -dD {KEY}=nosuch -t yarn-application a.jar
! run -t yarn-application --yarnqueue=nosuch a.jar
! run -t yarn-application -D{KEY}= a.jar
! run -t yarn-application -D{KEY} a.jar
! run -t yarn-application -D{KEY}='other ' a.jar
! run -t yarn-application -D{KEY}='o*' a.jar
! run -t yarn-application -D{KEY}='*' a.jar
! run -t yarn-application -D{KEY}=OTHER a.jar
! run -t yarn-application -D{KEY}=root.other a.jar
! run -t yarn-application -D{KEY}='other;default' a.jar
! run -t yarn-application -D{KEY}='$(echo other)' a.jar
! run -t yarn-application -D{KEY}=-other a.jar
! run -t yarn-application -D{KEY}=öther a.jar
! run-application -t yarn-application -D{KEY}=nosuch a.jar
- run a.jar
- run -t local a.jar
- run -t remote a.jar
- run -t kubernetes-application a.jar
- run -t kubernetes-session a.jar
- run -t yarn-session -Dyarn.application.id=application_1_2 a.jar
- run -yid application_1_2 a.jar
- run -m yarn-cluster -yid application_1_2 a.jar
- run -t local -t yarn-application a.jar
- run -t yarn-application -Dexecution.target=local a.jar
- run -m host:8081 a.jar
- run -Dyarn.application.name=x a.jar -t yarn-application
- run a.jar -t yarn-application
- run '' -t yarn-application
- run - -t yarn-application
- run
- run -t
- run -t yarn-application -D
- run -t yarn-application -c
- run -t yarn-application -yqu
- run -t yarn-application --yarnq other a.jar
- run -h -t yarn-application
- run --help
- run-application
- list -t yarn-application -Dyarn.application.id=application_1_2
- list -a
- stop -p /s 0123456789abcdef0123456789abcdef
- savepoint 0123456789abcdef0123456789abcdef /s -t yarn-session -Dyarn.application.id=application_1_2
- info -c Main a.jar --queue x
- checkpoint 0123456789abcdef0123456789abcdef
- --version
- -h
- RUN -t yarn-application a.jar
- -t yarn-application run a.jar
""",
    _D,
)
LEGACY = _lines(
    "flink",
    f"""
default run --jobmanager yarn-cluster a.jar
default run -m=yarn-cluster a.jar
default run -myarn-cluster a.jar
default run -d -m yarn-cluster -yjm 1024m -ytm 1024m -ys 2 -ynm n -yD k=v a.jar -yqu nosuch
- run -m yarn-cluster --yarnqueue other a.jar
- run -m yarn-cluster --yarnqueue=other a.jar
- run -m yarn-cluster -yqu nosuch -yD {KEY}=other a.jar
other run -m yarn-cluster -D{KEY}=other a.jar
! run -m yarn-cluster -yqu nosuch a.jar
! run -m yarn-cluster -D{KEY}=nosuch a.jar
! run -m yarn-cluster -yqu other -yD {KEY}=nosuch a.jar
! run -m yarn-cluster -yqu '' a.jar
- run -m yarn-cluster -t local a.jar
""",
    _Y,
)
PYTHON = _lines(
    "pyflink.sh",
    f"""
default -t yarn-application -py job.py in out
default -t yarn-application -pyfs a,b -py job.py
other -t yarn-application --yarnqueue other -py job.py
- -t yarn-application -D{KEY}=other -py job.py
! -t yarn-application -D{KEY}=nosuch -py job.py
- job.py -t yarn-application -yqu nosuch
- job.py
- -t local -py job.py
""",
    _D,
)
# With the file before the options, those that follow it are still Flink's.
PYTHON[5] = Line("pyflink.sh", PYTHON[5].words, DENIED)
SESSION = _lines(
    "yarn-session.sh",
    f"""
default
default -d -jm 1024m -tm 2g -s 2 -nm 'a b'
default -D k=v -Dx=y
default -nm -qu
- -qu other
- --queue other
- --queue=other
- -D{KEY}=other
- -D {KEY}=other
- -qu nosuch -D{KEY}=other
! -qu nosuch
! --queue=nosuch
! -D{KEY}=nosuch
! -qu other -D{KEY}=nosuch
! -qu ''
default x -qu nosuch
default -n 2 -qu other
default -- -qu other
- -id application_1_2
- -id application_1_2 -qu nosuch
- -q
- -h
- -qu
- --que other
""",
    _D,
)
# An option is missing its value where another option follows.
SESSION[3] = Line("yarn-session.sh", SESSION[3].words, SAME)
SHELL = _lines(
    "pyflink-shell.sh",
    """
default yarn
default yarn -jm 1024m -tm 1024m -nm n -s 2
default yarn -Dyarn.application.queue=nosuch
default yarn x -qu nosuch
- yarn -qu other
- yarn --queue other
- yarn --queue=other
- yarn -qu=other
- yarn -qu other -qu nosuch
! yarn -qu nosuch
! yarn --queue=nosuch
! yarn -qu nosuch -qu other
- local
- local -qu nosuch
- remote host 8081
- yarn -qu
- -h
-
""",
    _Q,
)
LINES = [*UPSTREAM, *FLINK, *LEGACY, *PYTHON, *SESSION, *SHELL]
