"""Settings of hypothesis for the suite's own tests; a run of the suite alone needs none."""

from hypothesis import HealthCheck, settings

# How fast an example is made says more about the machine than about the property.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")
