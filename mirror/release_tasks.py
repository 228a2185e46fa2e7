"""The tasks of an operator who lives with releases."""

from __future__ import annotations

HELP_SIGNING = {
    "sign-key": "Files with OpenPGP secret keys that sign, separated by commas; or $PNDA_MIRROR_SIGN_KEY.",
    "sign-passphrase-file": "A file of their passphrases, one a line; or $PNDA_MIRROR_SIGN_PASSPHRASE_FILE.",
    "unsigned": "Let an unsigned release follow a signed one.",
}
