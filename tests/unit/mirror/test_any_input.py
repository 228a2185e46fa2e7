"""Each parser of what others write: any input gives a result, or an error with an exit code of ours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.version import Version

from core.errors import PndaError, UpstreamError, UsageError, WorldError
from mirror import (
    answers,
    catalogue,
    digests,
    gpg,
    keys,
    lockfile,
    maven,
    maven_closure,
    maven_settings,
    openpgp,
    outdated,
    partial,
    poms,
    python_index,
    python_solver,
    wheel_tags,
)
from mirror.locations import Location, redact

PAGE = Location("https://me:secret@index.example/simple/dill/")
TARGET = catalogue.Target("here", "3.11", "x86_64", "2.36")

LATIN = st.text(st.characters(max_codepoint=255), max_size=60)
HEADER = (
    LATIN
    | st.from_regex(r"[0-9\xb2\xb3\xb9]{1,400}", fullmatch=True)
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,30} [A-Z][a-z]{2} [0-9]{1,30} [0-9:]{1,9} ([+-][0-9]+|GMT)?",
                    fullmatch=True)
)  # fmt: skip


def pieces(*words: str, most: int = 20) -> Any:
    """Texts made of the words that a parser looks for, in any order."""
    return st.lists(st.sampled_from(words), max_size=most).map("".join)


def json_of(*keys_: str) -> Any:
    """JSON values with the keys that a parser looks for, in any place."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(keys_) | st.text(max_size=5), inner, max_size=6)
        ),
        max_leaves=12,
    )


def changed(document: Any, values: Any) -> Any:
    """``document`` with one value somewhere inside replaced by any other."""

    def change(steps: list[int], value: Any) -> Any:
        whole = json.loads(json.dumps(document))
        node = whole
        for step in steps[:-1]:
            names = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not names or not isinstance(node[names[step % len(names)]], (dict, list)):
                break
            node = node[names[step % len(names)]]
        names = list(node) if isinstance(node, dict) else list(range(len(node)))
        if names:
            node[names[steps[-1] % len(names)]] = value
        return whole

    return st.builds(change, st.lists(st.integers(0, 8), min_size=1, max_size=6), values)


# --- what servers say of their bytes


@given(HEADER)
@example("\xb2")
@example("9" * 400)
def test_retry_after_is_a_wait_or_nothing(value: str) -> None:
    wait = answers._retry_after(value)
    assert wait is None or wait >= 0


@given(st.integers(0, 10**12))
def test_retry_after_in_seconds(seconds: int) -> None:
    assert answers._retry_after(f" {seconds} ") == float(seconds)


@given(st.dictionaries(st.sampled_from(["ETag", "Last-Modified", "Date"]), HEADER))
def test_a_validator_is_strong_or_none(headers: dict[str, str]) -> None:
    found = partial.validator_of(headers)
    assert found == "" or found in (headers.get("ETag", "").strip(), headers.get("Last-Modified", "").strip())
    assert not found.startswith("W/")


@given(
    span=HEADER
    | st.from_regex(r"bytes [0-9\xb2]{1,30}-[0-9]{1,30}/([0-9]{1,30}|\*)", fullmatch=True)
    | st.just("bytes 1048576-2097151/2097152"),
    length=HEADER | st.just("2097152"),
)
def test_only_exactly_the_rest_is_put_behind_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, span: str, length: str
) -> None:
    folder = tmp_path_factory.mktemp("partial")
    with partial.partial(folder, "http://127.0.0.1/x", "x", ()) as part:
        part.restart({"ETag": '"one"', "Content-Length": "2097152"})
        part.write(bytes(1 << 20))
        if part.fits({"ETag": '"one"', "Content-Range": span}):
            assert span.strip() == "bytes 1048576-2097151/2097152"
        part.restart({"ETag": '"one"', "Content-Length": length})
        assert part.offset == 0


@given(LATIN)
def test_a_redirects_target_is_an_address_or_an_upstream_error(header: str) -> None:
    with contextlib.suppress(UpstreamError):
        answers.redirected("http://127.0.0.1/x", header)


@given(st.text(max_size=80), LATIN.filter(str.isalnum).map("pass-{}".format))
def test_no_message_shows_a_password(rest: str, password: str) -> None:
    assert password not in redact(f"https://me:{password}@host.example/path?{password}#{rest}")
    redact(rest)


CHECKSUM = pieces(
    "0" * 40, "a" * 40, "A" * 40, "SHA1", "SHA-1", "(", ")", " = ", "x.tgz", ":", " ", "\n", "*", "\u2028",
    "\0", "-", "/", most=14,
)  # fmt: skip


@given(CHECKSUM)
def test_a_checksum_file_gives_one_digest_that_stands_in_it_or_is_refused(text: str) -> None:
    try:
        value = digests.parse_checksum(text, "x.tgz", "sha1")
    except digests.ChecksumFormatError:
        return
    assert value in "".join(text.lower().split())


# --- Maven

XML_TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from([
    "*", "central", "!central", "external:*", "http://[", "http://host:x/", "http://host:99999999/",
    "https://x.example/", "file:///tmp", "{encrypted}", "true", "false",
])  # fmt: skip
NAMES = (
    "settings", "mirrors", "mirror", "mirrorOf", "id", "url", "servers", "server", "username", "password",
    "proxies", "proxy", "host", "port", "nonProxyHosts", "active", "blocked", "project", "repositories",
    "repository", "releases", "enabled", "parent", "groupId", "artifactId", "version", "licenses", "license",
    "name", "metadata", "versioning", "versions",
)  # fmt: skip
TREE = st.recursive(
    XML_TEXT.map(escape),
    lambda inner: st.builds(
        lambda name, inside: f"<{name}>{''.join(inside)}</{name}>",
        st.sampled_from(NAMES),
        st.lists(inner, max_size=5),
    ),
    max_leaves=14,
)


@given(XML_TEXT, XML_TEXT, XML_TEXT, TREE)
@example("http://[", "", "", "")
@example("http://host:x/", "", "", "")
def test_any_effective_settings_give_http_repositories_or_an_error(
    url: str, mirror: str, pattern: str, rest: str
) -> None:
    settings = (
        f"<settings><mirrors><mirror><id>m</id><url>{escape(mirror)}</url>"
        f"<mirrorOf>{escape(pattern)}</mirrorOf></mirror></mirrors>{rest}</settings>"
    )
    model = (
        "<project><repositories><repository><id>central</id>"
        f"<url>{escape(url)}</url></repository></repositories>{rest}</project>"
    )
    found: tuple[maven_settings.Repository, ...] = ()
    with contextlib.suppress(UsageError, WorldError):
        found = maven_settings.effective_repositories(settings.encode(), model.encode())
        assert found
    assert all(item.base.url.lower().startswith(("http://", "https://")) for item in found)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_as_settings_are_an_error_of_ours(settings: bytes, model: bytes) -> None:
    with contextlib.suppress(PndaError):
        maven_settings.effective_repositories(settings, model)


@given(st.binary(max_size=300) | TREE.map(lambda text: f"<project>{text}</project>".encode()))
def test_any_pom_is_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(WorldError):
        facts = poms.pom_facts(raw, "x.pom")
        assert facts.parent is None or ".." not in facts.parent.path


@given(st.text(max_size=60))
def test_a_coordinate_stays_in_its_repository_and_is_written_as_it_was_read(text: str) -> None:
    with contextlib.suppress(ValueError):
        found = maven.parse_coordinate(text)
        assert str(found) == text
        assert ".." not in found.path.split("/")
        assert not found.path.startswith("/")


@given(json_of("children", "groupId", "artifactId", "version", "type", "classifier").map(json.dumps))
def test_a_tree_that_is_none_is_an_error(text: str) -> None:
    # What closure() turns into an error of ours.
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        maven_closure.parse_tree(text)


VERSION = st.text(max_size=12) | st.from_regex(r"[0-9.\u0660-\u0669\xb2]{1,9}(-[0-9.]+)?", fullmatch=True)


@given(st.lists(VERSION, max_size=6), st.from_regex(r"[0-9.]{1,9}(-[0-9.]+)?", fullmatch=True), st.booleans())
def test_newer_versions_are_some_of_the_listed_ones(listed: Any, locked: str, same_line: bool) -> None:
    found = outdated.final_versions(listed, locked, same_line)
    assert set(found) <= set(listed)
    assert locked not in found


# --- Python

HTML = st.text(max_size=200) | pieces(
    "<a href='", "http://", "[", "//", '"', "'", ">", "<!", "<![", "[CDATA[", "]]>", "<?", "&#", "x", ";",
    "&#x110000;", "&#99999999999;", "--", "</a", "javascript:", ":99999999/", "#sha256=", " data-yanked",
)  # fmt: skip


@given(HTML)
@example("<![0")
@example("<a href='http://[/x'>")
def test_any_page_gives_links_to_http_or_an_upstream_error(text: str) -> None:
    with contextlib.suppress(UpstreamError):
        for item in python_index.parse_html(text, PAGE):
            assert item.location.url.startswith(("http://", "https://"))
            assert "/" not in item.filename


INDEX = json_of("files", "filename", "url", "hashes", "sha256", "size", "requires-python", "yanked")


@given(
    INDEX | changed({"files": [{"filename": "x", "url": "x", "hashes": {"sha256": "0"}, "size": 1}]}, INDEX)
)
def test_any_json_page_gives_files_or_an_upstream_error(value: Any) -> None:
    with contextlib.suppress(UpstreamError):
        python_index.parse_json(json.dumps(value), PAGE)


@given(
    st.fixed_dictionaries({
        "index_url": st.none() | LATIN | st.sampled_from(["http://[", "https://h:x/", "https://h/simple"]),
        "extra_index_urls": st.lists(LATIN | st.just("file:///srv/index"), max_size=3),
        "no_index": st.booleans(),
        "cert": st.none() | st.text(),
        "client_cert": st.none(),
        "proxy": st.text(),
        "trusted_hosts": st.lists(st.text(max_size=4)),
    })
)  # fmt: skip
def test_any_settings_of_pip_are_addresses_or_a_usage_error(told: Any) -> None:
    with contextlib.suppress(UsageError):
        assert all(
            place.url.lower().startswith(("http:", "https:"))
            for place in python_index.parse_settings(told).indexes
        )


REPORT = json_of("install", "download_info", "url", "metadata", "name", "requires_dist", "requested")
ROW = {
    "download_info": {"url": "https://x.example/a-1-py3-none-any.whl"},
    "metadata": {"name": "a", "requires_dist": ["b>1"]},
}


@given(REPORT | changed({"install": [ROW]}, REPORT))
def test_any_report_of_pip_is_read_or_refused(value: Any) -> None:
    with contextlib.suppress(WorldError):
        python_solver.parse_report(json.dumps(value))


@given(st.text(max_size=200) | pieces("a", "==", "1", "#", " ", "via ", "-r", "\n", ", ", "\u2028", ";", "@"))
def test_any_output_of_uv_is_pins_or_refused(text: str) -> None:
    with contextlib.suppress(WorldError):
        pins, found = python_solver.parse_compiled(text)
        assert set(found) <= {*pins, *found}


WHEEL = st.text(max_size=30) | st.from_regex(
    r"[A-Za-z_.]{1,5}-[0-9.a-z+!]{1,6}(-[0-9a-z]{1,3})?-[a-z0-9.]{1,9}-[a-z0-9.]{1,8}-[a-z0-9_.]{1,9}\.whl",
    fullmatch=True,
)


@given(st.lists(WHEEL, max_size=5))
def test_a_wheel_is_chosen_from_any_names(names: list[str]) -> None:
    assert wheel_tags.best_wheel(names, Version("1"), TARGET) in ("", *names)
    for name in names:
        outdated._version(name)


# --- OpenPGP

ARMOUR = st.text(max_size=300) | pieces(
    "-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----", "-----BEGIN PGP PUBLIC KEY BLOCK-----",
    "\n", "AAAA", "=AAAA", "Version: x", "\xe9", "=", "\u2028", " ",
)  # fmt: skip


@given(ARMOUR)
def test_any_text_is_blocks(text: str) -> None:
    for block in openpgp.blocks(text):
        assert bool(block.fault) != bool(block.data)


@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_in_armour_are_signatures_or_refused(raw: bytes) -> None:
    with contextlib.suppress(openpgp.FormatError):
        data, facts = openpgp.signatures(openpgp.armour("SIGNATURE", raw))
        assert data == raw
        assert facts


@given(pieces("[GNUPG:] ", "NEWSIG", "GOODSIG", "ERRSIG", " ", "x", "\n", "\u2028", most=30))
@example("[GNUPG:] ")
def test_any_status_of_gpg_is_split(text: str) -> None:
    gpg.signature_parts(text)


@given(st.binary(max_size=300))
def test_any_keys_file_is_a_snapshot_or_a_usage_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "KEYS").write_bytes(raw)
    with pytest.raises(UsageError):
        keys.import_keys(folder / "KEYS", folder, "x")
    assert [path.name for path in folder.iterdir()] == ["KEYS"]


# --- our own files

LOCK: dict[str, Any] = {
    "format": 1,
    "entries": {"a": {"digest": "0" * 64, "groups": ["g"]}},
    "files": [
        {"path": "p", "size": 1, "sha256": "0" * 64, "sha512": "0" * 128, "entries": ["a"],
         "source": {"kind": "url"}, "licence": "", "evidence": {}, "via": {"a": ["b"]}},
    ],
    "inputs": [],
}  # fmt: skip
ANY = json_of("kind", "path", "a", "format") | st.sampled_from(
    ["{version}", "{", "{0}", "a:b", "../x", "==", "1!", "3.11", "[]", "\0", "\u0663.\u0663", "http://["]
)


def outcome(work: Callable[[], Any]) -> None:
    """Do ``work``; a UsageError is fine if it has a cure."""
    cures = []
    try:
        work()
    except UsageError as error:
        cures.append(error.cure)
    assert all(cures)


@given(changed(LOCK, ANY))
def test_a_lock_with_any_value_is_read_or_a_usage_error(document: Any) -> None:
    outcome(lambda: lockfile.loads(json.dumps(document).encode(), Path("x.lock")))


CATALOGUE: dict[str, Any] = {
    "format": 1,
    "targets": {"here": {"python": "3.11", "machine": "x86_64", "glibc": "2.36"}},
    "entries": {
        "f": {"kind": "file", "groups": ["g"], "path": "a-{version}", "url": "https://x/{version}",
              "versions": ["1"]},
        "m": {"kind": "maven", "groups": ["g"], "artifacts": [{"artifact": "a:b", "versions": ["1"]}],
              "repository": "r", "copies": [{"into": "c", "only": ["b"]}]},
        "p": {"kind": "python", "groups": ["g"], "requirements": ["a==1"], "targets": ["here"],
              "into": "mirror_python", "provided": ["b==1"], "build": ["c==1"]},
        "s": {"kind": "assembly", "groups": ["g"], "recipe": "flink", "path": "x.tgz", "version": "1",
              "scala": "2.12", "target": "here",
              "add": [{"artifacts": ["a:b"], "versions": ["1"], "into": "lib", "name": "x"}]},
    },
}  # fmt: skip
YAML = pieces(
    "a", ":", " ", "-", "\n", "&a", "*a", "!!python/object:x", "? ", "[", "]", "{", "}", "<<", "!!binary",
    "'", '"', "|", "%YAML 1.9", "---", "\t", "\0", "2001-01-01", "0x1", "1e999", ".nan", "1_000", "12:30:45",
)  # fmt: skip


def load_catalogue(folder: Path, raw: bytes) -> None:
    path = folder / "catalogue.yml"
    path.write_bytes(raw)
    outcome(lambda: catalogue.load(path))


@given(changed(CATALOGUE, ANY))
def test_a_catalogue_with_any_value_is_read_or_a_usage_error(
    tmp_path_factory: pytest.TempPathFactory, document: Any
) -> None:
    load_catalogue(tmp_path_factory.getbasetemp(), json.dumps(document).encode())


@given(st.binary(max_size=200) | YAML.map(str.encode))
def test_any_bytes_as_a_catalogue_are_a_usage_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    load_catalogue(tmp_path_factory.getbasetemp(), raw)
