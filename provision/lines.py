"""What each Flink line (the first two numbers of a version) wants that another line does not."""

from __future__ import annotations

from dataclasses import dataclass

# From `env.java.opts.all` in the conf/config.yaml that Flink 1.20.5 and 2.3.0 ship: without it the
# command line client dies on Java 17 (InaccessibleObjectException).
_COMPILER = ("api", "file", "parser", "tree", "util")
_OPENED = [
    "java.lang",
    "java.net",
    "java.io",
    "java.nio",
    "sun.nio.ch",
    "java.lang.reflect",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
]
_JAVA_OPTIONS = " ".join(
    [
        "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
        *(f"--add-exports=jdk.compiler/com.sun.tools.javac.{name}=ALL-UNNAMED" for name in _COMPILER),
        "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
        *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED),
    ]
)


@dataclass(frozen=True)
class Line:
    """One Flink line: ``name`` such as ``1.20``, the configuration file that it reads, its Java options.

    ``scala`` is the Scala line that its Scala shell is made of.

    ``legacy`` tells that the file is read by the old parser: one ``key: value`` a line, everything
    after a ``#`` dropped, no quoting, the platform's character set.
    """

    name: str
    configuration_file: str
    legacy: bool
    java_options: str
    scala: str


LINES = {
    line.name: line
    for line in (
        Line(
            "1.20",
            "flink-conf.yaml",  # 1.x takes this file before config.yaml; 2.x reads only config.yaml
            True,
            f"--add-exports=java.base/sun.net.util=ALL-UNNAMED {_JAVA_OPTIONS}",
            "2.12",
        ),
        Line("2.3", "config.yaml", False, _JAVA_OPTIONS, "2.12"),
    )
}


def name_of(version: str) -> str:
    """Return the line's name of ``version``: ``1.20`` for ``1.20.5``."""
    return ".".join(version.split(".")[:2])


def order_of(version: str) -> tuple[int, ...]:
    """Return the numbers of ``version``, which sort as versions do."""
    return tuple(int(part) for part in version.split("."))
