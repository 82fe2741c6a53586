"""Settings of the suite's own tests; a run of the suite alone needs none of them."""

import os

from hypothesis import HealthCheck, settings

# Tests run beside each other, on tiny tensors: more threads only take each other's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How fast an example is made says more about the machine than about the property.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")
