"""Nodes that reach their mirror by TLS refuse one that the site's authority does not vouch for."""

from __future__ import annotations

import pytest
import trustme

from lab.containers import execute
from lab.model import Lab
from tests.lab.conftest import inv

HOST = "manager-1"


@pytest.mark.parametrize("engine", ["ansible", "salt"])
def test_another_authority_stops_an_apply_before_anything_is_installed(bare_lab: Lab, engine: str) -> None:
    other = bare_lab.folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    text = bare_lab.cluster_file.read_text()
    ours = (bare_lab.site / "tls" / "ca.pem").relative_to(bare_lab.checkout)
    assert f"  ca: {ours}\n" in text
    path = bare_lab.folder / "other.yml"
    path.write_text(text.replace(f"  ca: {ours}\n", f"  ca: {other.relative_to(bare_lab.checkout)}\n"))
    at = ("--cluster", str(path), "--limit", HOST)
    try:
        done = inv("provision.apply", "--engine", engine, *at, check=False)
        left = execute(bare_lab, HOST, "sh", "-c", "ls -A /opt/pnda || :").split()
    finally:
        inv("provision.remove", *at)
    assert done.returncode == 1
    assert "the certificate of https://mirror-1 is refused by the authority in" in done.stdout + done.stderr
    assert left == []
