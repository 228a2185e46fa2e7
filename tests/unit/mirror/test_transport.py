from __future__ import annotations

from pathlib import Path

import pytest

from mirror.ways import trust


def test_the_machines_own_bundle_counts_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, system, named = (tmp_path / name for name in ("missing", "system", "named"))
    system.touch()
    named.touch()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert trust(True, [missing, system]) == str(system)
    assert trust(True, [missing]) is True
    assert trust("/company.pem", [system]) == "/company.pem"
    assert trust(False, [system]) is False
    monkeypatch.setenv("SSL_CERT_FILE", str(named))
    assert trust(True, [system]) == str(named)
    monkeypatch.setenv("SSL_CERT_FILE", str(missing))
    assert trust(True, [system]) == str(system)
