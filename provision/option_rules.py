"""Which Flink options a cluster file may set, and which values arrive on a node as they were written."""

from __future__ import annotations

import re

KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
# Ansible would expand them a second time; Salt would not.
_BRACES = ("{{", "}}", "{%", "%}", "{#", "#}")

# One name for one thing: these are made from other keys of the cluster file.
OWNED = {
    "env.java.home": "flink.java_home",
    "jobmanager.archive.fs.dir": "flink.storage",
    "execution.checkpointing.dir": "flink.storage",
    "execution.checkpointing.savepoint-dir": "flink.storage",
    "historyserver.archive.fs.dir": "flink.storage",
    "historyserver.web.port": "flink.history_server.port",
    "historyserver.web.address": "flink.history_server.address",
    "historyserver.archive.fs.refresh-interval": "flink.history_server.refresh_seconds",
    "historyserver.web.refresh-interval": "flink.history_server.refresh_seconds",
    "historyserver.archive.retained-jobs": "flink.history_server.retained_jobs",
    "historyserver.archive.retained-applications": "flink.history_server.retained_jobs",
    "historyserver.archive.retained-ttl": "flink.history_server.retained_ttl",
    "metrics.reporter.grph.host": "flink.metrics.graphite_host",
    "metrics.reporter.grph.port": "flink.metrics.graphite_port",
    "metrics.reporter.grph.filter.includes": "flink.metrics.includes",
    "metrics.reporter.grph.interval": "flink.metrics.interval_seconds",
    "yarn.application.queue": "flink.yarn_queue",
}
# These belong to the layout of a node: tests, launchers and the unit rely on them.
FIXED = frozenset(
    {
        "env.log.dir",
        "env.pid.dir",
        "historyserver.web.tmpdir",
        "python.executable",
        "python.client.executable",
    }
)
# What a history server's key store would want: its password must not stand in a cluster file.
_TLS = re.compile(r"security\.ssl\.((rest|internal)\..*|enabled|.*(keystore|truststore|password).*)")
_OWN_SECTION = "flink.history_server.configuration"


def text_of(value: str | int | float | bool) -> str:
    """Return ``value`` as Flink reads it: ``true``, ``4``, ``0.5`` or the string itself."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def key_fault(key: str, history: bool) -> tuple[str, str] | None:
    """Return (what is wrong, the cure) for an override's ``key``, or None. ``history``: in that section."""
    if not KEY.fullmatch(key):
        return f"{key!r} is no Flink option", "write a dotted key, such as parallelism.default"
    if key.startswith("security.kerberos."):
        return (
            f"{key}: Kerberos is not supported yet",
            "remove it: this release works on clusters without Kerberos",
        )
    if key in OWNED:
        return f"{key} is made from {OWNED[key]}", f"set {OWNED[key]} instead"
    if key in FIXED:
        return f"{key} is part of the node's layout", "remove it"
    if history and (_TLS.fullmatch(key) or key == "historyserver.web.ssl.enabled"):
        return f"{key} is made from flink.history_server.tls", "set flink.history_server.tls instead"
    if key.startswith("historyserver.") and not history:
        return f"{key} is read by the history server only", f"move it to {_OWN_SECTION}"
    return None


def value_fault(text: str, legacy: bool) -> tuple[str, str] | None:
    """Return (what is wrong, the cure) for an override's value, or None.

    ``legacy`` tells that Flink 1.x's parser reads it. That parser cuts a line at ``#``, trims it,
    drops an empty value and decodes with the platform's character set (1.20.5,
    ``GlobalConfiguration.loadLegacyYAMLResource``).
    """
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text) or any(
        character in text for character in "\x85\u2028\u2029\ufeff"
    ):
        return "the value has a line break or a control character", "write it on one line"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "the value has half a character (a lone surrogate)", "write it in UTF-8"
    if any(brace in text for brace in _BRACES):
        return "the value holds template braces", "remove them: templates are not expanded here"
    if text != text.strip():
        return "the value begins or ends with a space", "remove the space"
    if not text:
        return "the value is empty", "remove the key: Flink's own default counts then"
    if legacy and "#" in text:
        return "the value holds '#', and Flink 1.x drops the rest of the line", "write it without '#'"
    if legacy and not text.isascii():
        return "the value is not ASCII, which Flink 1.x reads wrongly in the C locale", "write it in ASCII"
    return None
