"""Run in another environment: import packages, and print their versions as JSON.

Its text is given to that interpreter, so it imports nothing of the suite.
"""

import contextlib
import importlib
import json
import sys
from importlib import metadata


def modules(name: str) -> list[str]:
    """Return the modules that a distribution brings: the one of its own name, if there is one."""
    files = [file.parts for file in metadata.files(name) or ()]
    packages = {parts[0] for parts in files if len(parts) == 2 and parts[1] == "__init__.py"}
    single = {parts[0][:-3] for parts in files if len(parts) == 1 and parts[0].endswith(".py")}
    tops = packages | single
    own = name.replace("-", "_")
    return [own] if own in tops else sorted(tops)


def main() -> None:
    """Answer the question in the first argument."""
    question = json.loads(sys.argv[1])
    installed, imported = {}, {}
    # What a package prints when it is imported must not stand in the answer.
    with contextlib.redirect_stdout(sys.stderr):
        for name in question["import"]:
            with contextlib.suppress(metadata.PackageNotFoundError):
                installed[name] = metadata.version(name)
                for module in modules(name):
                    found = importlib.import_module(module)
                    for touched in question["touch"].get(name, ()):
                        getattr(found, touched)
                    version = getattr(found, "__version__", None)
                    if isinstance(version, str) and module == name.replace("-", "_"):
                        imported[name] = str(version)
    for name in question["ask"]:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed.setdefault(name, metadata.version(name))
    print(json.dumps({"installed": installed, "imported": imported}))


if __name__ == "__main__":
    main()
