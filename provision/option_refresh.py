"""Ask a Flink distribution which options it knows, and keep the answer as ``options/<version>.tsv``."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from core.errors import WorldError
from core.files import write_atomic
from core.process import run
from mirror.lockfile import Lock
from provision import lines
from provision.flink_archive import require_java, unpacked
from provision.option_catalogue import FOLDER, UNKNOWN_SUCCESSOR, Option, path_of, render

PROGRAM = FOLDER / "FlinkOptions.java"
_SECONDS = 300
# bin/config.sh reads some options that no class of Flink has: KEY_ENV_PID_DIR="env.pid.dir".
_SHELL_KEY = re.compile(r'^KEY_[A-Z_]+="([a-z.-]+)"', re.MULTILINE)


def refresh(lock: Lock, root: Path, version: str) -> Path:
    """Write the catalogue of ``version``, from the mirror at ``root``, and return its path."""
    path = path_of(version)
    write_atomic(path, made(lock, root, version))
    return path


def made(lock: Lock, root: Path, version: str) -> bytes:
    """Return the catalogue of ``version`` as the distribution on the mirror at ``root`` tells it."""
    with unpacked(root, lock, version, is_wanted) as home:
        answer = ask(home, version, "list")
        shell = _SHELL_KEY.findall((home / "bin" / "config.sh").read_text(encoding="utf-8"))
    return render(options_of(answer, shell))


def is_wanted(path: PurePosixPath) -> bool:
    """Tell whether a file of a distribution has a part in what options there are."""
    jar = path.suffix == ".jar" and path.parts[0] in ("lib", "opt", "plugins")
    return jar or path == PurePosixPath("bin/config.sh")


def ask(home: Path, version: str, question: str, stdin: str = "") -> str:
    """Run FlinkOptions.java with the jars of ``home`` and return what it prints."""
    require_java()
    legacy = lines.LINES[lines.name_of(version)].legacy
    jars = sorted(str(path) for path in home.rglob("*.jar"))
    # What a default is made of must not depend on the machine.
    settings = ["-Djava.io.tmpdir=/tmp", "-Duser.timezone=UTC", "-Duser.language=en", "-Dfile.encoding=UTF-8"]
    words = ["java", *settings, PROGRAM, question, "legacy" if legacy else "yaml", *jars]
    what = f"asking Flink {version} for its options"
    return run(words, timeout=_SECONDS, stdin=stdin, what=what).stdout


def options_of(answer: str, shell: list[str]) -> list[Option]:
    """Return the options in ``answer`` (what ``FlinkOptions.java list`` prints), and those of ``shell``.

    Raises WorldError when there are so few that the answer cannot be whole.
    """
    found: dict[str, Option] = {}
    names: dict[str, dict[bool, list[str]]] = {}
    for line in answer.splitlines():
        fields = line.split("\t")
        if fields[0] == "=":
            _, other, deprecated, key = fields
            names.setdefault(other, {True: [], False: []})[deprecated == "true"].append(key)
            continue
        key, kind, default, values, deprecated, _ = fields
        old = (UNKNOWN_SUCCESSOR,) if deprecated else ()
        found[key] = Option(key, kind, default, tuple(values.split(",")) if values else (), old)
    if len(found) < 500:
        raise WorldError(
            f"Flink names only {len(found)} options", "look at what it printed: ./inv options.refresh --debug"
        )
    for other, its in names.items():
        _add_name(found, other, its)
    for key in shell:
        found.setdefault(key, Option(key, "String", "", (), ()))
    return list(found.values())


def _add_name(found: dict[str, Option], other: str, keys: dict[bool, list[str]]) -> None:
    """Add another name of options; ``keys`` are those it is an old name of (True) or a fallback for."""
    successors = tuple(sorted(set(keys[True])))
    if other not in found:
        model = found[(keys[True] or keys[False])[0]]
        found[other] = Option(other, model.kind, "", model.values, successors)
    elif found[other].successors and successors:
        own = found[other]
        found[other] = Option(other, own.kind, own.default, own.values, successors)
