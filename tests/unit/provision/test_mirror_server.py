from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import inventory, manifest, preview
from provision.cluster import Cluster
from provision.facts import Facts
from tests.unit.provision import samples

KEY = "    site_key: tests/unit/provision/site-key.asc\n"
CERTIFICATE = "    certificate: /etc/pnda-mirror/tls/server.crt\n"


def test_only_the_mirror_host_gets_the_server(served: dict[str, Facts]) -> None:
    found = {host: its["mirror_server_components"] for host, its in served.items()}
    assert [host for host, components in found.items() if components] == ["mirror-1"]
    assert manifest.components_of(served["mirror-1"]) == ("mirror_server.server",)
    assert manifest.has_components(served["mirror-1"])
    assert served["edge-1"]["mirror_server_files"] == served["edge-1"]["mirror_server_packages"] == []
    assert served["edge-1"]["mirror_server_site_key"] == ""


def test_without_a_section_a_mirror_host_is_left_as_it_is(tmp_path: Path) -> None:
    path = samples.cluster_file(tmp_path / "plain.yml", samples.SERVED[0])
    assert clusters.load(path).mirror_server is None


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("    root: /srv/pnda-mirror\n", "", "server", "'root'"),
        (KEY, "", "server", "'site_key'"),
        ("/srv/pnda-mirror", "srv/mirror", "root", "root"),
        ("/srv/pnda-mirror", "/srv/a mirror", "root", "root"),
        ("/srv/pnda-mirror", "/srv/$host;", "root", "root"),
        (CERTIFICATE, "", "server", "https_port is 443, and certificate is missing"),
        (KEY, KEY + "    http_port: 443\n", "server", "both 443"),
        (KEY, KEY + "    http_port: 0\n    https_port: 0\n", "server", "both 0"),
        (KEY, KEY + "    http_port: 70000\n", "http_port", "http_port"),
        (KEY, KEY + "    address: localhost\n", "address", "address"),
        (KEY, KEY + "    adress: 127.0.0.1\n", "adress", "adress"),
        ("site-key.asc", "no-such-key.asc", "site_key", "cannot be read"),
        ("site-key.asc", "samples.py", "site_key", "no armored block"),
        ("{roles: [MIRROR]}", "{roles: [KAFKA]}", "server", "no host has the role MIRROR"),
    ],
)
def test_a_bad_section_is_refused(
    tmp_path: Path, lock: Lock, old: str, new: str, at: str, message: str
) -> None:
    path = samples.cluster_file(tmp_path / "bad.yml", *samples.SERVED, (old, new))
    with pytest.raises(UsageError) as caught:
        fact_module.resolve(clusters.load(path), lock)
    lines = path.read_text().splitlines()
    (number,) = [count for count, line in enumerate(lines, 1) if line.startswith((f"    {at}:", f"  {at}:"))]
    assert caught.value.message.startswith(f"{path}:{number}: ")
    assert message in caught.value.message


def test_a_secret_key_is_refused_and_not_shown(tmp_path: Path, lock: Lock) -> None:
    secret = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nc2VjcmV0\n-----END PGP PRIVATE KEY BLOCK-----\n"
    (tmp_path / "secret.asc").write_text(secret)
    change = ("tests/unit/provision/site-key.asc", str(tmp_path / "secret.asc"))
    path = samples.cluster_file(tmp_path / "bad.yml", *samples.SERVED, change)
    with pytest.raises(UsageError, match="pgp private key block") as caught:
        fact_module.resolve(clusters.load(path), lock)
    assert "c2VjcmV0" not in f"{caught.value.message}{caught.value.cure}"


@pytest.mark.parametrize(
    ("ports", "there", "absent"),
    [
        ("", ["listen 0.0.0.0:80 ", "listen 0.0.0.0:443 ssl", "ssl_certificate_key /etc"], []),
        ("    http_port: 0\n", ["listen 0.0.0.0:443 ssl"], [":80 ", ":0 "]),
        ("    https_port: 0\n", ["listen 0.0.0.0:80 "], ["ssl default", "ssl_certificate"]),
        ("    address: 10.1.2.3\n    http_port: 8080\n", ["listen 10.1.2.3:8080 "], ["0.0.0.0"]),
    ],
)
def test_what_nginx_listens_on(
    tmp_path: Path, lock: Lock, ports: str, there: list[str], absent: list[str]
) -> None:
    path = samples.cluster_file(tmp_path / "some.yml", *samples.SERVED, (KEY, KEY + ports))
    its = fact_module.resolve(clusters.load(path), lock)["mirror-1"]
    text = preview.render(its)["/etc/pnda-mirror/nginx.conf"].decode()
    assert all(words in text for words in there), text
    assert not any(words in text for words in absent), text


def test_the_inventory_knows_the_server(
    served: dict[str, Facts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    monkeypatch.setattr(Cluster, "build", property(lambda _: tmp_path))
    cluster = clusters.load(samples.cluster_file(tmp_path / "served.yml", *samples.SERVED))
    folder = inventory.write(cluster, served)
    groups = json.loads((folder / "inventory" / "hosts.json").read_text())["all"]["children"]
    assert list(groups["mirror_server"]["hosts"]) == ["mirror-1"]
    assert "mirror-1" in groups["flink"]["hosts"]  # what it had of Flink before is taken away
    assert served["mirror-1"]["flink_files"] == served["mirror-1"]["flink_managed"] == []
