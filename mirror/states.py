"""The words that a lock's evidence uses for a file's signature."""

# Its signer's key was held, is pinned in the catalogue, and everything about the signature is good.
VERIFIED = "verified"
# Good, by a key that is held, but the catalogue does not say who may sign.
UNPINNED = "good, signer not pinned"
# There is one, and nothing more can be said: its claimed signer is only read from its packet.
NOT_HELD = "present, key not held"
ABSENT = "absent"
# Assembled or built on this machine from inputs that have evidence of their own.
MADE_HERE = "made here"
