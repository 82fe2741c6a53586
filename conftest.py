"""The suite's own tests run pytest on test files of somebody else."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# How fast an example is made says more about the machine than about the property.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")
