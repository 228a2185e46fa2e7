"""Roll facts out by Salt without a master: states and pillar go over ssh, salt-call runs on the node."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from typing import Any

from core.errors import PndaError
from core.process import Finished, run, threads
from provision import nodes, pillar, privilege
from provision.cluster import Cluster
from provision.fact_text import FactTexts
from provision.facts import Facts
from provision.hosts_section import Host
from provision.manifest import formulas_of
from provision.progress import Progress
from provision.report import HostResult

_SECONDS = 3600
_WAIT = 900  # seconds for another run on the same node to end
_NOT_REACHED = HostResult(0, (), "left as it is: the mirror's server failed before")
# Not the script `salt-call`: its first line names the Python of the machine where it was installed.
_SALT_CALL = "import sys; from salt.scripts import salt_call; sys.argv[0] = 'salt-call'; salt_call()"


def roll_out(cluster: Cluster, facts: Mapping[str, Facts], check: bool) -> dict[str, HostResult]:
    """Apply the formula on the hosts in ``facts`` and return what happened on each."""
    shutil.rmtree(cluster.build / "salt", ignore_errors=True)
    hosts = [host for host in cluster.hosts if host.name in facts]
    # The mirror first: the others fetch from it.
    servers = [host for host in hosts if facts[host.name]["mirror_server_components"]]
    found: dict[str, HostResult] = {}
    texts = FactTexts()
    progress = Progress(len(hosts))

    def one(host: Host) -> HostResult:
        try:
            result = _host(cluster, host, texts.text(facts[host.name]), facts[host.name], check)
        except PndaError as error:  # of this host: the others go on
            result = HostResult(0, (), error.message)
        progress.ended(host.name, result)
        return result

    with threads(cluster.at_once) as pool:
        for batch in (servers, [host for host in hosts if host not in servers]):
            results = pool.map(one, batch)
            found |= dict(zip([host.name for host in batch], results, strict=True))
            if any(result.failed for result in found.values()):
                break
    return {host.name: found.get(host.name, _NOT_REACHED) for host in hosts}


def _host(cluster: Cluster, host: Host, text: str, facts: Facts, check: bool) -> HostResult:
    folder = pillar.write(cluster, host, text, check)
    formulas = ",".join(formulas_of(facts))
    words = [
        "ssh",
        *nodes.ssh_options(cluster),
        host.name,
        _remote(cluster, _script(cluster, formulas, check)),
    ]
    done = run(words, timeout=_SECONDS, stdin=pillar.bundle(folder), check=False, what=f"ssh {host.name}")
    (folder / "salt-call.log").write_text(done.stdout + done.stderr)
    if done.code == 255:
        reason = f"cannot be reached by ssh: {done.tail()}{nodes.hint(cluster, done.tail())}"
        return HostResult(0, (), reason)
    if done.code == 77:
        return HostResult(0, (), done.tail())
    refusal = privilege.refusal(cluster, done.stderr) if done.code != 0 else ""
    return HostResult(0, (), refusal) if refusal else result_of(done)


def _script(cluster: Cluster, formulas: str, check: bool) -> str:
    """Return what the shell on a node runs; its standard input is the bundle of states and pillar."""
    node = pillar.PLAN if check else pillar.NODE
    call = (
        f'{cluster.salt_python} -c "{_SALT_CALL}" --local -c {node} --retcode-passthrough '
        f"--out=json --log-level=error state.apply {formulas}"
    )
    return (
        # A run whose caller was ended goes on here, and must keep its states until its end.
        f"set -eu; mkdir -p {node}; chmod 700 {node}; exec 9>{node}/lock; "
        f"flock -w {_WAIT} 9 || {{ echo 'another run of Salt is at work on this node' >&2; exit 77; }}; "
        + (f"trap 'cd {node} && rm -rf states pillar root minion' EXIT; " if check else "")
        + f"rm -rf {node}/states {node}/pillar; "
        f"said=$(tar -xf - -C {node} 2>&1) || {{ echo 'the states cannot be written to {node}: '"
        '"$(echo "$said" | head -n 1)" >&2; exit 77; }; '
        f"test -x {cluster.salt_python} || {{ echo 'the node has no {cluster.salt_python}; "
        f"set connection.salt_python' >&2; exit 77; }}; {f'{call} test=True' if check else f'exec {call}'}"
    )


def _remote(cluster: Cluster, script: str) -> str:
    return shlex.join(privilege.as_root(cluster, ["sh", "-c", script])) if cluster.become else script


def result_of(done: Finished) -> HostResult:
    """Return what a finished salt-call says happened (also one that did not get as far as a state)."""
    try:
        local = json.loads(done.stdout[done.stdout.index("{") :])["local"]
    except (ValueError, KeyError):
        return HostResult(0, (), f"salt-call ended with {done.code}:\n{done.tail()}")
    if not isinstance(local, dict):
        errors = local if isinstance(local, list) else [local]
        return HostResult(
            0, (), "the states cannot be rendered:\n" + "\n".join(str(error) for error in errors)
        )
    states = sorted(local.values(), key=lambda state: state.get("__run_num__", 0))
    made = [state for state in states if state["result"] is not False and _changes(state)]
    changes = tuple(_phrase(state) for state in made)
    failed = [f"{state.get('__id__')}: {_reason(state)}" for state in states if state["result"] is False]
    reason = failed[0] if failed else ""
    if done.code != 0 and not failed:
        reason = f"salt-call ended with {done.code}:\n{done.tail()}"
    return HostResult(len(changes), changes, reason, tuple(_diff(state) for state in made))


def _changes(state: Mapping[str, Any]) -> bool:
    return bool(state["changes"]) or state["result"] is None  # None: a dry run would change it


def _diff(state: Mapping[str, Any]) -> str:
    changes = state.get("changes")
    found = changes.get("diff", "") if isinstance(changes, dict) else ""
    return found.rstrip() if isinstance(found, str) else ""


def _phrase(state: Mapping[str, Any]) -> str:
    return str(state.get("__id__", state.get("name", "?")))


def _reason(state: Mapping[str, Any]) -> str:
    changes = state.get("changes") or {}
    said = str(changes.get("stderr") or changes.get("stdout") or "").strip()
    return said or str(state.get("comment", "")).strip()
