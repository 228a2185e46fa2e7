from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError, WorldError
from mirror import client_config, lockfile
from mirror.certificates import CertificateRequest, issue
from mirror.client_config import CLIENTS, Site, base_uri, files, folder_on_client, notes, public_keys
from mirror.client_site import SiteRequest, make_site
from mirror.lockfile import LockedEntry, LockedFile
from mirror.openpgp import armour, packets
from tests.unit.mirror.pgp_world import Signer

NS = {"m": "http://maven.apache.org/SETTINGS/1.0.0"}
KEY = armour("PUBLIC KEY BLOCK", b"\xc6\x01\x04\xcd\x01a")


def site(base: str = "https://mirror.site:8443", **values: Any) -> Site:
    given: dict[str, Any] = {"ca": b"", "keys": KEY, "at": "/etc/pnda-mirror", "suite": "bookworm"}
    return Site(**{"base": base, **given, "archives": {"flink-1.tar.gz": "ab" * 64}, **values})


@pytest.mark.parametrize(
    ("given", "found"),
    [("https://Mirror.Site:8443/", "https://mirror.site:8443"), ("http://10.0.0.1", "http://10.0.0.1"),
     ("https://[fd00::1]:1/releases/7/", "https://[fd00::1]:1/releases/7")],
)  # fmt: skip
def test_base_uris(given: str, found: str) -> None:
    assert base_uri(given) == found


@pytest.mark.parametrize(
    "given",
    ["", "mirror.site", "ftp://m", "https://", "https://m:x", "https://m:99999", "https://m:0",
     "https://m/a b",
     "https://m/?q", "https://m/#f", "https://m/?", "https://m/../x", "https://m/%41", "https://[::1", "//m",
     "https://m/\n", "https://m\n[global]", "https://m/<x>", 'https://m/"',
     "https://münchen.site", "https://m//a"],
)  # fmt: skip
def test_what_is_no_base_uri(given: str) -> None:
    with pytest.raises(UsageError):
        base_uri(given)


def test_credentials_are_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as error:
        base_uri("https://joe:hunter2@mirror.site/")
    assert "hunter2" not in str(error.value)


@given(st.text(max_size=40))
def test_any_text_is_a_base_uri_or_an_error(text: str) -> None:
    for address in (text, f"https://{text}", f"https://m/{text}"):
        try:
            found = base_uri(address)
        except UsageError:
            continue
        assert not set(found) & set(" \"'<>&$`\\\n%#?;")


@pytest.mark.parametrize("given", ["", "/", "relative", "/a b", "/a/../b", "/a;b", "/a\n", "//a", '/a"'])
def test_folders_that_a_client_could_misread(given: str) -> None:
    with pytest.raises(UsageError):
        folder_on_client(given)


def test_settings_send_everything_to_the_mirror_and_want_right_checksums() -> None:
    root: Any = ElementTree.fromstring(files(site(), ["maven"])["settings.xml"])
    mirror = root.find("m:mirrors/m:mirror", NS)
    assert mirror.find("m:mirrorOf", NS).text == "*"
    assert mirror.find("m:url", NS).text == "https://mirror.site:8443/mirror_maven/"
    policies = root.findall(".//m:checksumPolicy", NS)
    assert [policy.text for policy in policies] == ["fail", "fail"]
    assert len(root.findall("m:mirrors/m:mirror", NS)) == 1


def test_pip_has_one_index() -> None:
    config = configparser.RawConfigParser()
    config.read_string(files(site(ca=b"x"), ["pip"])["pip.conf"].decode())
    found = dict(config["global"])
    assert found["index-url"] == "https://mirror.site:8443/mirror_python/simple/"
    assert (found["extra-index-url"], found["cert"]) == ("", "/etc/pnda-mirror/ca.pem")
    assert "trusted-host" not in found


def test_the_apt_source_holds_the_key_in_deb822() -> None:
    lines = files(site(), ["apt"])["pnda-mirror.sources"].decode().splitlines()
    assert lines[:5] == [
        "Types: deb", "URIs: https://mirror.site:8443/mirror_deb", "Suites: bookworm", "Components: main",
        "Signed-By:",
    ]  # fmt: skip
    assert all(line.startswith(" ") for line in lines[5:])
    assert "\n".join(line[1:].replace(".", "", line == " .") for line in lines[5:]) + "\n" == KEY


def test_apt_trusts_the_authority_for_the_mirror_alone() -> None:
    conf = files(site(ca=b"x"), ["apt"])["90pnda-mirror"].decode()
    assert conf == 'Acquire::https::mirror.site::CAInfo "/etc/pnda-mirror/ca.pem";\n'
    conf = files(site("https://[fd00::1]:9", ca=b"x"), ["apt"])["90pnda-mirror"].decode()
    assert conf == 'Acquire::https::CAInfo "/etc/pnda-mirror/ca.pem";\n'


def test_salt_states_are_yaml_with_the_locks_digests() -> None:
    (state,) = yaml.safe_load(files(site(), ["salt"])["flink.sls"])["flink-1"]["archive.extracted"][:1]
    assert state == {"name": "/opt/pnda"}
    rows = yaml.safe_load(files(site(), ["salt"])["flink.sls"])["flink-1"]["archive.extracted"]
    merged = {key: value for row in rows for key, value in row.items()}
    assert merged["source"] == "https://mirror.site:8443/flink-1.tar.gz"
    assert merged["source_hash"] == "sha512=" + "ab" * 64
    assert yaml.safe_load(files(site(archives={}), ["salt"])["flink.sls"]) == {}


def test_plain_http_says_what_will_not_work() -> None:
    text = "\n".join(notes(site("http://m"), list(CLIENTS)))
    assert "pip ignores" in text
    assert not notes(site(), list(CLIENTS))
    assert "--trust" in "\n".join(notes(site(keys=""), list(CLIENTS)))


def test_keys_are_public_or_refused() -> None:
    with Signer("site") as signer:
        public = signer.public().encode()
        secret = signer.gpg("--armor", "--export-secret-keys")
        binary = signer.gpg("--export")
    found = public_keys(public, "k")
    assert found == public_keys(binary, "k")
    assert found.count("BEGIN PGP PUBLIC KEY BLOCK") == 1
    for bad in (secret, public + secret, b"", b"hello", public[:100], b"\xff" * 50):
        with pytest.raises(UsageError):
            public_keys(bad, "k")


@given(st.binary(max_size=80))
def test_any_bytes_are_keys_or_an_error(data: bytes) -> None:
    try:
        text = public_keys(data, "k")
    except UsageError:
        return
    assert text.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert list(packets(data))


def test_keytool_lists_the_trust_store(tmp_path: Path) -> None:
    issued = issue(CertificateRequest(("m",), tmp_path))
    store = tmp_path / "t.p12"
    store.write_bytes(client_config.trust_store(issued.ca.read_bytes() + issued.certificate.read_bytes()))
    done = subprocess.run(
        ["keytool", "-list", "-keystore", store, "-storepass", "changeit"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.count("trustedCertEntry") == 2, done.stdout + done.stderr


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    item = LockedFile("flink-1.tar.gz", 1, "0" * 64, "1" * 128, ("one",), {"kind": "url", "url": "http://x"})
    lockfile.save(tmp_path / "x.lock", {"one": LockedEntry(("g",), "0" * 64)}, [item], [])
    return tmp_path / "x.lock"


def request(lock: Path, **values: Any) -> SiteRequest:
    given: dict[str, Any] = {
        "base_uri": "https://m",
        "ca": "",
        "trust": "",
        "at": "/etc/m",
        "suite": "bookworm",
    }
    return SiteRequest(**{**given, **values}, lock=lock)


def test_wrong_options_are_said(lock: Path, tmp_path: Path) -> None:
    issued = issue(CertificateRequest(("m",), tmp_path))
    cases: list[tuple[dict[str, Any], list[str], str]] = [
        ({}, ["ant"], "no such client"), ({}, [], "names nobody"), ({"suite": "a b"}, ["all"], "no suite"),
        ({"ca": str(issued.ca), "base_uri": "http://m"}, ["all"], "--ca is for https"),
        ({"ca": str(issued.certificate)}, ["all"], "no authority's"),
        ({"ca": "/none"}, ["all"], "No such file"),
        ({"trust": "/none"}, ["all"], "No such file"), ({"trust": str(issued.ca)}, ["all"], "public keys"),
        ({"at": "/a b"}, ["all"], "on a client"), ({"only": ("none",)}, ["all"], "none"),
    ]  # fmt: skip
    for values, names, text in cases:
        with pytest.raises(UsageError, match=text):
            make_site(request(lock, **values), names)


def test_only_certificates_are_handed_on(lock: Path, tmp_path: Path) -> None:
    issued = issue(CertificateRequest(("m",), tmp_path))
    both = tmp_path / "both.pem"
    both.write_bytes((tmp_path / "ca.key").read_bytes() + issued.ca.read_bytes())
    found, clients = make_site(request(lock, ca=str(both)), ["all"])
    assert found.ca == issued.ca.read_bytes()
    assert clients == ["maven", "pip", "salt"]
    with pytest.raises(UsageError, match="--trust"):
        files(found, make_site(request(lock), ["apt"])[1])


def test_an_authority_that_has_ended_is_refused(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirror import certificates

    monkeypatch.setattr(certificates, "_CA_DAYS", 0)
    ca, _ = certificates._make_authority(tmp_path / "ca.pem", tmp_path / "ca.key")
    assert ca
    with pytest.raises(WorldError, match="it ended on"):
        make_site(request(lock, ca=str(tmp_path / "ca.pem")), ["all"])


def test_the_command_prints_and_writes(lock: Path, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    words: list[Any] = [sys.executable, "-m", "core.program", "mirror.client-config", "--lock", lock]
    done = subprocess.run([*words, "--base-uri", "http://m:80"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0
    assert "http://m:80/mirror_maven/" in done.stdout
    assert "plain http: pip ignores" in done.stderr
    into = tmp_path / "made"
    done = subprocess.run(
        [*words, "--base-uri", "https://m", "--client", "pip", "--into", into],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, sorted(path.name for path in into.iterdir())) == (0, ["README.txt", "pip.conf"])
    done = subprocess.run([*words], cwd=root, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
