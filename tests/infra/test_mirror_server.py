"""The web server of a mirror: its unit, its hardening, where its packages came from, and what it answers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

COMPONENT = "mirror_server"
UNIT = "pnda-mirror.service"
MOST_EXPOSURE = 3.0
ASK = """
import json, ssl, sys, http.client as c
tls, port, method, path, accept, span = json.loads(sys.argv[1])
context = ssl._create_unverified_context()
host = "127.0.0.1"
kind = {"context": context} if tls else {}
link = (c.HTTPSConnection if tls else c.HTTPConnection)(host, port, timeout=10, **kind)
link.request(method, path, headers={k: v for k, v in (("Accept", accept), ("Range", span)) if v})
answer = link.getresponse()
body = answer.read(1 << 16).decode("utf-8", "replace")
headers = {k.lower(): v for k, v in answer.getheaders()}
print(json.dumps({"status": answer.status, "headers": headers, "body": body}))
"""


def ask(
    host: Any, facts: dict[str, Any], path: str, *, tls: bool = False, method: str = "GET", accept: str = "",
    span: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Ask the server on the node itself; return status, headers (lower case) and the body's beginning."""
    port = facts["mirror_server_https_port" if tls else "mirror_server_http_port"]
    words = json.dumps([tls, port, method, path, accept, span])
    answer: dict[str, Any] = json.loads(host.check_output("python3 -c %s %s", ASK, words))
    return answer


def ports(facts: dict[str, Any]) -> list[bool]:
    """Return for each port that is configured whether TLS is spoken there."""
    both = {False: facts["mirror_server_http_port"], True: facts["mirror_server_https_port"]}
    return [tls for tls, port in both.items() if port]


def record(host: Any, facts: dict[str, Any]) -> str:
    """Return the record of the release that is published on the node's disk."""
    return str(host.check_output("cat %s", f"{facts['mirror_server_root']}/current/release.json"))


def test_unit_is_enabled_and_runs(host: Any) -> None:
    shown = host.check_output("systemctl show -p ActiveState,SubState,UnitFileState %s", UNIT)
    assert dict(line.split("=", 1) for line in shown.splitlines()) == {
        "ActiveState": "active",
        "SubState": "running",
        "UnitFileState": "enabled",
    }, host.run("journalctl --no-pager -n 30 -u %s", UNIT).stdout


def test_debians_own_unit_stays_off(host: Any) -> None:
    assert host.run("systemctl is-enabled nginx.service").stdout.strip() == "masked"


def test_packages_are_those_of_the_release(host: Any, facts: dict[str, Any]) -> None:
    index = f"{facts['mirror_server_root']}/current/mirror_deb/dists/bookworm/main/binary-amd64/Packages"
    text = host.check_output("cat %s", index)
    offered = dict(re.findall(r"(?m)^Package: (\S+)\n(?:.+\n)*?Version: (\S+)$", text))
    assert facts["mirror_server_packages"]
    for name in facts["mirror_server_packages"]:
        assert host.check_output("dpkg-query -W -f '${Version}' %s", name) == offered[name]


def test_workers_give_up_root(host: Any) -> None:
    users = {process.user for process in host.process.filter(comm="nginx")}
    assert users == {"root", "www-data"}, "one master, which opens the ports, and its workers"


def test_each_port_serves_the_published_release(host: Any, facts: dict[str, Any]) -> None:
    wanted = record(host, facts)
    assert ports(facts)
    for tls in ports(facts):
        answer = ask(host, facts, "/release.json", tls=tls)
        assert (answer["status"], answer["body"].strip()) == (200, wanted.strip())
        assert answer["headers"]["content-type"].startswith("application/json")


def test_a_release_is_reached_by_its_serial(host: Any, facts: dict[str, Any]) -> None:
    wanted = record(host, facts)
    serial = json.loads(wanted)["serial"]
    answer = ask(host, facts, f"/releases/{serial}/release.json", tls=ports(facts)[0])
    assert (answer["status"], answer["body"].strip()) == (200, wanted.strip())
    assert ask(host, facts, f"/releases/{serial}/", tls=ports(facts)[0])["status"] == 200
    assert ask(host, facts, "/releases/", tls=ports(facts)[0])["status"] in (403, 404)


@pytest.mark.parametrize(
    "path", ["/../releases/", "/%2e%2e/store/", "/..%2f..%2fetc/passwd", "//etc/passwd", "/no-such-file"]
)
def test_nothing_but_the_release_is_served(host: Any, facts: dict[str, Any], path: str) -> None:
    assert ask(host, facts, path, tls=ports(facts)[0])["status"] in (400, 403, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nobody_writes(host: Any, facts: dict[str, Any], method: str) -> None:
    assert ask(host, facts, "/release.json", tls=ports(facts)[0], method=method)["status"] == 405


def test_ranges_and_tags(host: Any, facts: dict[str, Any]) -> None:
    answer = ask(host, facts, "/SHA512SUMS", tls=ports(facts)[0], span="bytes=5-9")
    assert (answer["status"], len(answer["body"])) == (206, 5)
    assert answer["headers"]["content-range"].startswith("bytes 5-9/")
    assert answer["headers"]["etag"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/vnd.pypi.simple.v1+json, text/html;q=0.01", "application/vnd.pypi.simple.v1+json"),
        ("text/html", "text/html"),
        ("", "text/html"),
    ],
)
def test_python_index_in_both_forms(host: Any, facts: dict[str, Any], accept: str, kind: str) -> None:
    if not host.file(f"{facts['mirror_server_root']}/current/mirror_python/simple/index.html").exists:
        assert ask(host, facts, "/mirror_python/simple/", tls=ports(facts)[0])["status"] == 404
        return
    answer = ask(host, facts, "/mirror_python/simple/", tls=ports(facts)[0], accept=accept)
    assert answer["status"] == 200
    assert answer["headers"]["content-type"].startswith(kind)


def test_packed_files_stay_packed(host: Any, facts: dict[str, Any]) -> None:
    path = "/mirror_deb/dists/bookworm/main/binary-amd64/Packages.gz"
    answer = ask(host, facts, path, tls=ports(facts)[0], method="HEAD")
    assert answer["status"] == 200
    assert answer["headers"]["content-type"] == "application/gzip"
    assert "content-encoding" not in answer["headers"]


def test_unit_is_hardened(host: Any, figure: Any) -> None:
    said = host.run("systemd-analyze security --no-pager %s", UNIT).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    figure(f"systemd-analyze security {UNIT}: {found[1]}")
    assert float(found[1]) <= MOST_EXPOSURE
