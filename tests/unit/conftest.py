from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.fullness import FULL

# No test may depend on how busy the machine is.
settings.register_profile(
    "ours",
    deadline=None,
    max_examples=3000 if FULL else 100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ours")
