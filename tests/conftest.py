"""Settings of the suite's own tests; a run of the suite alone needs none of them."""

import os

from hypothesis import HealthCheck, settings

# Tests run beside each other, on tiny tensors: more threads only take each other's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How fast an example is made says more about the machine than about the property.
ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", ANY_MACHINE, max_examples=30)
settings.register_profile("thorough", ANY_MACHINE, max_examples=300)
settings.load_profile("quick")
