"""Configuration for the clients of a mirror: Maven, pip, apt, Salt; computed, nothing is read or asked."""

from __future__ import annotations

import configparser
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET  # only to write: nothing is parsed here

from core.errors import UsageError
from mirror import openpgp

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~+-]+)*")
_FOLDER = re.compile(r"(?:/[A-Za-z0-9._+@=-]+)+")
_NAME = "pnda-mirror"
# It protects nothing (a trust store holds no secret), but Java wants one, and uses this one unasked.
_PASSWORD = "changeit"  # noqa: S105
_BEFORE_PIP = (
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CERT", "PIP_TRUSTED_HOST",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip
_PUBLIC_PACKETS = {6, 14, 13, 17, 2}  # keys, subkeys, users and signatures over them (RFC 9580, 5)
CA, TRUST_STORE, SETTINGS = "ca.pem", "truststore.p12", "settings.xml"
PIP, SOURCES, APT, SALT, MINION = "pip.conf", f"{_NAME}.sources", f"90{_NAME}", "flink.sls", f"{_NAME}.conf"
READ_ME = "README.txt"


@dataclass(frozen=True)
class Site:
    """What clients are to know: ``base`` as :func:`base_uri` returns it.

    ``ca`` is the authority's certificate in PEM (b"" for one that clients trust anyway), ``keys``
    the site's armoured public keys or "", ``at`` the folder where the files lie on a client,
    ``suite`` the apt repository's, ``archives`` the SHA-512 of each archive at the release's top.
    """

    base: str
    ca: bytes
    keys: str
    at: str
    suite: str
    archives: Mapping[str, str]

    @property
    def secure(self) -> bool:
        """Tell whether the mirror is reached by https."""
        return self.base.startswith("https:")


def base_uri(text: str) -> str:
    """Return the mirror's address without a slash at its end. Raises UsageError for what is none."""
    cure = "give http(s)://HOST[:PORT], with a path such as /releases/7 if clients are to stay there"
    try:
        parts = urlsplit(text)
        port = parts.port  # raises for what is no port
    except ValueError as error:
        raise UsageError("--base-uri is no address", cure) from error
    if parts.username is not None or parts.password is not None:
        # Not shown: it may hold a secret.
        raise UsageError(
            "--base-uri holds a user's name or password", "a mirror is read by all; leave it out"
        )
    path = parts.path.rstrip("/")
    fits = (
        text.isprintable()  # urlsplit drops line ends silently
        and parts.scheme in ("http", "https")
        and _AUTHORITY.fullmatch(parts.netloc)
        and _PATH.fullmatch(path)
        and not {"..", "."} & set(path.split("/"))
        and port != 0
        and not any(mark in text for mark in "?#")
    )
    if not fits:
        raise UsageError(f"--base-uri {text!r} is no address of a mirror", cure)
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def folder_on_client(text: str) -> str:
    """Return ``text`` if it is an absolute folder that every client's syntax can hold unquoted."""
    found = text.rstrip("/")
    if not _FOLDER.fullmatch(found) or {"..", "."} & set(found.split("/")):
        raise UsageError(
            f"{text!r} cannot be the folder of these files on a client",
            "give --at an absolute path of letters, digits and . _ + @ = -",
        )
    return found


def public_keys(data: bytes, name: str) -> str:
    """Return the OpenPGP public keys in ``data`` (armoured or binary) as one armoured block.

    Raises UsageError for anything else, above all for a secret key; ``name`` is the file's.
    """
    cure = "give the site's public keys (gpg --export --armor), as mirror_keys/site.asc in a release"
    raw = data
    try:
        if b"-----BEGIN PGP" in data:
            parts = list(openpgp.blocks(data.decode("utf-8", "replace")))
            if any(part.fault or part.kind != "PUBLIC KEY BLOCK" for part in parts):
                raise openpgp.FormatError("it holds more, or less, than public keys")
            raw = b"".join(part.data for part in parts)
        tags = [tag for tag, _ in openpgp.packets(raw)]
    except openpgp.FormatError as error:
        raise UsageError(f"{name}: {error}", cure) from error
    if not tags or tags[0] != 6 or not set(tags) <= _PUBLIC_PACKETS:
        raise UsageError(f"{name}: it holds more, or less, than public keys", cure)
    return openpgp.armour("PUBLIC KEY BLOCK", raw)


def trust_store(ca: bytes) -> bytes:
    """Return a PKCS#12 trust store of the certificates in ``ca`` (PEM), as Java 8u301 and later read it."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    found = x509.load_pem_x509_certificates(ca)
    entries = [
        pkcs12.PKCS12Certificate(item, f"{_NAME}-{number}".encode()) for number, item in enumerate(found)
    ]
    return pkcs12.serialize_java_truststore(entries, BestAvailableEncryption(_PASSWORD.encode()))


def files(site: Site, clients: Sequence[str]) -> dict[str, bytes]:
    """Return the files that ``clients`` (keys of CLIENTS) need, by name, README.txt with the commands.

    Raises UsageError when one of them was named that cannot work with what is known of the site.
    """
    found: dict[str, bytes] = {CA: site.ca} if site.ca else {}
    words = [f"How the clients of {site.base} are set up. The files lie in {site.at} there.", ""]
    for client in clients:
        made, lines = CLIENTS[client](site)
        found |= made
        words += [f"{client}", *(f"  {line}" for line in lines), ""]
    return found | {READ_ME: "\n".join([*words, *_plain(site)]).encode()}


def notes(site: Site, clients: Sequence[str]) -> list[str]:
    """Return what clients will refuse or miss, one line each."""
    found = []
    if not site.secure:
        said = {
            "pip": "pip ignores an index at http:// (but on loopback)",
            "maven": "nothing proves to Maven that the checksums are the mirror's own",
            "salt": "nothing proves to Salt that the .sha512.txt is the mirror's own; the digests in "
            f"{SALT} are the lock's",
        }
        found += [f"plain http: {text}" for client, text in said.items() if client in clients]
    if "apt" in clients and not site.keys:
        found.append("apt: left out, because it needs the key that signs releases (--trust)")
    return found


def _maven(site: Site) -> tuple[dict[str, bytes], list[str]]:
    url = f"{site.base}/mirror_maven/"
    root = ET.Element("settings", xmlns="http://maven.apache.org/SETTINGS/1.0.0")
    _fill(ET.SubElement(ET.SubElement(root, "mirrors"), "mirror"), id=_NAME, mirrorOf="*", url=url)
    profile = ET.SubElement(ET.SubElement(root, "profiles"), "profile")
    ET.SubElement(profile, "id").text = _NAME
    # Maven's own repository has the policy `warn`; one of the same name replaces it.
    for kind in ("repository", "pluginRepository"):
        folder = "repositories" if kind == "repository" else "pluginRepositories"
        repository = ET.SubElement(ET.SubElement(profile, folder), kind)
        _fill(repository, id="central", url=url)
        _fill(ET.SubElement(repository, "releases"), enabled="true", checksumPolicy="fail")
        _fill(ET.SubElement(repository, "snapshots"), enabled="false")
    ET.SubElement(ET.SubElement(root, "activeProfiles"), "activeProfile").text = _NAME
    ET.indent(root)
    text = ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
    made, lines = {SETTINGS: text}, []
    if site.ca:
        made[TRUST_STORE] = trust_store(site.ca)
        options = [f"-Djavax.net.ssl.trustStore={site.at}/{TRUST_STORE}",
                   "-Djavax.net.ssl.trustStoreType=PKCS12",
                   f"-Djavax.net.ssl.trustStorePassword={_PASSWORD}"]  # fmt: skip
        lines.append(f'export MAVEN_OPTS="{" ".join(options)}"')
    lines.append(f"mvn --settings {site.at}/{SETTINGS} --strict-checksums package")
    return made, lines


def _fill(element: ET.Element, **texts: str) -> None:
    for name, text in texts.items():
        ET.SubElement(element, name).text = text


def _pip(site: Site) -> tuple[dict[str, bytes], list[str]]:
    # Empty values take away what other files of pip's add.
    values = {
        "index-url": f"{site.base}/mirror_python/simple/", "extra-index-url": "", "find-links": "",
        **({"cert": f"{site.at}/{CA}"} if site.ca else {}), "disable-pip-version-check": "true",
    }  # fmt: skip
    config = configparser.RawConfigParser()
    config["global"] = values
    text = io.StringIO()
    config.write(text)
    lines = [
        f"export PIP_CONFIG_FILE={site.at}/{PIP}    # or copy it to /etc/pip.conf",
        # pip's own variables come before its files, and requests' before what pip tells it.
        f"unset {' '.join(_BEFORE_PIP)}",
        "pip install --require-hashes -r requirements.txt",
    ]
    return {PIP: text.getvalue().strip().encode() + b"\n"}, lines


def _apt(site: Site) -> tuple[dict[str, bytes], list[str]]:
    if not site.keys:
        raise UsageError(
            "apt believes a mirror by the key that signs its releases, and none is given",
            "give --trust FILE with the site's public key, or leave apt out of --client",
        )
    key = "".join(f" {line or '.'}\n" for line in site.keys.splitlines())
    source = (
        f"Types: deb\nURIs: {site.base}/mirror_deb\nSuites: {site.suite}\nComponents: main\nSigned-By:\n{key}"
    )
    made, lines = {SOURCES: source.encode()}, [f"cp {site.at}/{SOURCES} /etc/apt/sources.list.d/"]
    if site.ca:
        # By host where apt's syntax allows it; in an IPv6 address its `::` would end the name.
        host = urlsplit(site.base).hostname or ""
        where = "" if ":" in host else f"{host}::"
        made[APT] = f'Acquire::https::{where}CAInfo "{site.at}/{CA}";\n'.encode()
        lines.append(f"cp {site.at}/{APT} /etc/apt/apt.conf.d/")
    lines.append(
        "apt-get update    # after removing the other sources, where the mirror is to be the only one"
    )
    return made, lines


def _salt(site: Site) -> tuple[dict[str, bytes], list[str]]:
    states = []
    for path, digest in sorted(site.archives.items()):
        states.append(
            f"# Pinned by the lock; `source_hash: {site.base}/{path}.sha512.txt` would believe the mirror.\n"
            f"{json.dumps(path.removesuffix('.tar.gz'))}:\n"
            "  archive.extracted:\n"
            "    - name: /opt/pnda\n"
            f"    - source: {json.dumps(f'{site.base}/{path}')}\n"
            f"    - source_hash: sha512={digest}\n"
            f"    - if_missing: {json.dumps('/opt/pnda/' + path.removesuffix('.tar.gz') + '/bin')}\n"
            "    - user: root\n"
            "    - group: root\n"
        )
    made = {SALT: ("\n".join(states) or "{}\n").encode()}
    lines = [f"cp {site.at}/{SALT} /srv/salt/    # an example; salt-states/flink is the whole"]
    if site.ca:
        made[MINION] = f"ca_bundle: {site.at}/{CA}\n".encode()
        lines.append(f"cp {site.at}/{MINION} /etc/salt/minion.d/")
    return made, [*lines, "salt-call state.apply flink"]


def _plain(site: Site) -> list[str]:
    trust = f"--cacert {site.at}/{CA} " if site.ca else ""
    lines = ["by hand"]
    for path in sorted(site.archives):
        lines.append(f"  curl {trust}-fO {site.base}/{path} -fO {site.base}/{path}.sha512.txt")
        lines.append(f"  sha512sum -c {path}.sha512.txt")
    return [*lines, ""]


CLIENTS: dict[str, Callable[[Site], tuple[dict[str, bytes], list[str]]]] = {
    "maven": _maven, "pip": _pip, "apt": _apt, "salt": _salt,
}  # fmt: skip
