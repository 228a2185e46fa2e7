"""What upstreams call their licences, as SPDX expressions where their words leave no doubt."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

# By the words that distinguish a name, without those of _NOISE and in lower case. A name that does not
# say which of several licences is meant (such as "BSD License") does not stand here.
_NAMES = {
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache v2": "Apache-2.0",
    "apache 2.0 apache 2.0": "Apache-2.0",
    "asl 2.0": "Apache-2.0",
    "aslv2": "Apache-2.0",
    "apache public 2.0": "Apache-2.0",
    "apache 1.1": "Apache-1.1",
    "mit": "MIT",
    "mit mit": "MIT",
    "expat": "MIT",
    "bsd 2 clause": "BSD-2-Clause",
    "2 clause bsd": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "3 clause bsd": "BSD-3-Clause",
    "bsd 3 clause new or revised": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "revised bsd": "BSD-3-Clause",
    "eclipse distribution 1.0": "BSD-3-Clause",
    "edl 1.0": "BSD-3-Clause",
    "isc": "ISC",
    "isc iscl": "ISC",
    "mpl 2.0": "MPL-2.0",
    "mozilla public 2.0": "MPL-2.0",
    "mozilla public 2.0 mpl 2.0": "MPL-2.0",
    "eclipse public 1.0": "EPL-1.0",
    "epl 1.0": "EPL-1.0",
    "eclipse public 2.0": "EPL-2.0",
    "eclipse public v2.0": "EPL-2.0",
    "eclipse public v 2.0": "EPL-2.0",
    "epl 2.0": "EPL-2.0",
    "cddl 1.0": "CDDL-1.0",
    "cddl 1.1": "CDDL-1.1",
    "common development and distribution cddl 1.0": "CDDL-1.0",
    "common development and distribution cddl v1.0": "CDDL-1.0",
    "common development and distribution cddl v1.1": "CDDL-1.1",
    "cc0": "CC0-1.0",
    "cc0 1.0 universal": "CC0-1.0",
    "creative commons zero v1.0 universal": "CC0-1.0",
    "unlicense unlicense": "Unlicense",
    "boost 1.0 bsl 1.0": "BSL-1.0",
    "historical permission notice and disclaimer hpnd": "HPND",
    "universal permissive v1.0": "UPL-1.0",
    "gpl2 w cpe": "GPL-2.0-only WITH Classpath-exception-2.0",
    "gpl v2 with classpath exception": "GPL-2.0-only WITH Classpath-exception-2.0",
    "gnu general public v2.0 only with classpath exception": "GPL-2.0-only WITH Classpath-exception-2.0",
}
_NAMES |= {  # Debian's machine-readable copyright files (version 1.0, section 7.2)
    f"{prefix} {version}{plus}": f"{prefix.upper()}-{exact}-{'or-later' if plus else 'only'}"
    for prefix, versions in (("gpl", ("1", "2", "3")), ("lgpl", ("2", "2.1", "3")))
    for version in versions
    for exact in (version if "." in version else f"{version}.0",)
    for plus in ("", "+")
}  # fmt: skip
_ADDRESSES = {
    "apache.org/licenses/license-2.0": "Apache-2.0",
    "opensource.org/licenses/mit": "MIT",
    "opensource.org/licenses/mit-license.php": "MIT",
    "opensource.org/licenses/bsd-3-clause": "BSD-3-Clause",
    "opensource.org/licenses/bsd-2-clause": "BSD-2-Clause",
    "mozilla.org/mpl/2.0/": "MPL-2.0",
}
_NOISE = {"the", "license", "licence", "licensed", "version", "software", "under"}
_MAX = 500


@cache
def expression(stated: str) -> str:
    """Return the SPDX expression of a licence as upstream ``stated`` it, or "" where the words leave doubt.

    Several names joined by "or" (as the lock joins what a pom lists) become a choice.
    """
    text = " ".join(stated.split())
    if not text or len(text) > _MAX:
        return ""
    return _spdx(text) or _named(text) or _joined(text, "or") or _joined(text, "and")


def identifiers(spdx: str) -> tuple[str, ...]:
    """Return the licence identifiers that an SPDX expression names, in order ("" names none)."""
    if not spdx:
        return ()
    words = re.findall(r"[A-Za-z0-9.+-]+", spdx)
    found = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if word not in ("AND", "OR", "WITH") and before != "WITH"
    ]
    return tuple(dict.fromkeys(found))


def _named(text: str) -> str:
    address = re.sub(r"^https?://(www\.)?|\.(txt|html)$", "", text.lower())
    if address in _ADDRESSES:
        return _ADDRESSES[address]
    words = re.findall(r"[a-z0-9.]+\+?", text.lower())
    return _NAMES.get(" ".join(word for word in words if word not in _NOISE), "")


def _joined(text: str, word: str) -> str:
    parts = re.split(rf"\s+{word}\s+", text, flags=re.IGNORECASE)
    found = [expression(part) for part in parts] if len(parts) > 1 else []
    if not found or not all(found):
        return ""
    distinct = list(dict.fromkeys(found))
    if len(distinct) == 1:
        return distinct[0]
    # An AND or OR inside a part would bind differently once joined.
    return f" {word.upper()} ".join(f"({part})" if " " in part else part for part in distinct)


def _spdx(text: str) -> str:
    from license_expression import ExpressionError, ExpressionParseError

    try:
        parsed = _licensing().parse(text, validate=True)
    except (ExpressionError, ExpressionParseError):
        return ""
    except (AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return ""  # the library's own way of refusing words such as "MIT OR ()"
    found = "" if parsed is None else str(parsed)
    # An exception alone, for instance, can be parsed, and is no licence.
    return "" if not found or _licensing().validate(found).errors else found


@cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()
