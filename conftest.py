"""The suite's own tests run pytest on test files of somebody else."""

pytest_plugins = ["pytester"]
