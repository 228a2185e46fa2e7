"""An Ansible callback that writes what happened on each host, one JSON document a line.

The file is named by PNDA_SUMMARY; without it nothing is written. A line is
``{"host": ..., "task": ..., "kind": "changed" | "failed" | "unreachable", "text": ..., "diff": ...}``;
``diff`` is empty unless Ansible was asked for differences (``--diff``). A line of the kind ``ended``
comes for each host that has done its last task, and at the end for each that any task was run on.
"""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]  # it ships no types

_END = "End of this host"  # the last task in site.yml

DOCUMENTATION = """
name: summary
type: notification
short_description: Writes changes and failures of a run as JSON lines
description:
  - Writes one line for each change and failure to the file that PNDA_SUMMARY names.
options: {}
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # untyped, see above
    """Writes changes and failures to the summary file."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "summary"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result: Any) -> None:
        """Note a task that changed something; tasks with a loop are noted by item."""
        if result.task.get_name() == _END:
            self._note(result, "ended", "")
        elif result.result.get("changed") and "results" not in result.result:
            self._note(result, "changed", "", self._diff(result.result))

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Note an item that changed something."""
        if result.result.get("changed"):
            self._note(result, "changed", self._label(result), self._diff(result.result))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note a task that failed; tasks with a loop are noted by item."""
        if not ignore_errors and "results" not in result.result:
            self._note(result, "failed", self._reason(result.result))

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """Note an item that failed."""
        self._note(result, "failed", f"{self._label(result)}: {self._reason(result.result)}")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note a host that does not answer."""
        self._note(result, "unreachable", self._reason(result.result))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Note each host that any task was run on, also one that failed."""
        for host in sorted(stats.processed):
            self._write({"host": host, "task": "", "kind": "ended", "text": "", "diff": ""})

    def _label(self, result: Any) -> str:
        return str(result.result.get("_ansible_item_label", ""))

    def _reason(self, result: dict[str, Any]) -> str:
        streams = [str(result.get(key, "")).strip() for key in ("stderr", "stdout")]
        said = next((text for text in streams if text), "")
        message = str(result.get("msg", "")).strip()
        # A program of ours says itself what is wrong; Ansible's "non-zero return code" adds nothing.
        return said or message or "failed without a message"

    def _diff(self, result: dict[str, Any]) -> str:
        """Return what a module says that differs: texts, tables of a state, or a program's words."""
        found = result.get("diff") or []
        if not found:
            return str(result.get("stdout", "")).rstrip()
        lines: list[str] = []
        for one in found if isinstance(found, list) else [found]:
            sides = [one.get(side, "") for side in ("before", "after")]
            before, after = (
                text.splitlines()
                if isinstance(text, str)
                else json.dumps(text, indent=0, sort_keys=True).splitlines()
                for text in sides
            )
            lines += difflib.unified_diff(before, after, "now", "then", lineterm="")
        return "\n".join(lines)

    def _note(self, result: Any, kind: str, text: str, diff: str = "") -> None:
        about = {"host": result.host.name, "task": result.task.get_name()}
        self._write({**about, "kind": kind, "text": text, "diff": diff})

    def _write(self, line: dict[str, str]) -> None:
        target = os.environ.get("PNDA_SUMMARY")
        if target:
            with Path(target).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
