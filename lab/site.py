"""What the labs' mirror is trusted by: a throw-away key that signs its releases, and a certificate.

Labs of one checkout share a mirror, so they share these too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError, WorldError
from core.files import write_atomic
from lab.containers import execute
from lab.model import Lab
from lab.places import locked

if TYPE_CHECKING:
    from mirror.signing import Signer

_HOST = "mirror-1"
_PLACE = "/etc/pnda-mirror/tls"
_INSTALL = f"""
install -d -m 755 /etc/pnda-mirror && install -d -m 700 {_PLACE}
umask 077
cat >{_PLACE}/new
if cmp -s {_PLACE}/new {_PLACE}/$1; then rm {_PLACE}/new; else mv {_PLACE}/new {_PLACE}/$1; echo changed; fi
"""


def signers(lab: Lab) -> tuple[Signer, ...]:
    """Return who signs the releases of ``lab``'s mirror, and write their public keys for the cluster file.

    That is a key of the lab's own, unless the environment names another (PNDA_MIRROR_SIGN_KEY).
    Raises UsageError when the published release is signed by somebody else: it is no lab's mirror.
    """
    from mirror import signing

    key = lab.site / "signing-key.asc"
    with locked(f"lab-site-{lab.site_id}"):
        if not key.exists():
            import pysequoia

            made = pysequoia.Tsk.generate(user_id="Lab of Flink on PNDA <lab@localhost>")
            write_atomic(key, bytes(made), 0o600)
        found = signing.load_signers("" if os.environ.get(signing.KEY_VARIABLE) else str(key))
        _refuse_strangers(lab, found)
        write_atomic(lab.site / "site.asc", signing.public_keys(found))
    return found


def _refuse_strangers(lab: Lab, ours: tuple[Signer, ...]) -> None:
    from mirror.release import Releases

    published = Releases(lab.mirror_root).published()
    by = set(published[1].signers) if published else set()
    if by and not by & {signer.fingerprint for signer in ours}:
        raise UsageError(
            f"{lab.mirror_root}: its release is signed by {', '.join(sorted(by))}, not by the lab's key",
            "name the key in PNDA_MIRROR_SIGN_KEY, or give the lab a mirror of its own (PNDA_MIRROR_ROOT)",
        )


def install_certificate(lab: Lab) -> None:
    """Put a certificate for the mirror's host, by the labs' own authority, on that host of ``lab``."""
    from mirror.certificates import CertificateRequest, issue

    folder = lab.site / "tls"
    with locked(f"lab-site-{lab.site_id}"):
        if not _usable(folder / "server.pem"):
            issue(CertificateRequest((_HOST,), folder))
    changed = ""
    for name in ("server.pem", "server.key"):
        text = (folder / name).read_text(encoding="ascii")
        changed += execute(lab, _HOST, "sh", "-ec", _INSTALL, "sh", name, stdin=text)
    if changed:
        execute(lab, _HOST, "systemctl", "try-reload-or-restart", "pnda-mirror.service", check=False)


def _usable(certificate: Path) -> bool:
    from mirror.certificates import load_certificate, still_valid

    try:
        still_valid(load_certificate(certificate), certificate, "")
    except (UsageError, WorldError):
        return False
    return True
