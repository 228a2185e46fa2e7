# SPDX-License-Identifier: Apache-2.0
"""The parts of `housekeeping`. Standard library only, Python 3.9: they run on the nodes."""
