"""A case as one script: pure text, made from the axes, the versions and what is to be shown."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from conformance.report.repro.body import one_process, two_processes
from conformance.report.repro.parts import Parts
from conformance.report.repro.plan import Repro
from conformance.report.repro.words import words


@cache
def templates() -> Environment:
    """Return the templates of this package."""
    return Environment(
        loader=PackageLoader("conformance.report.repro"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,
    )


def script(repro: Repro) -> str:
    """Return the script.

    Raises:
        UsageError: an axis value has no lines for scripts.
    """
    parts = Parts(repro)
    if repro.fresh:
        entry = 'write(Path(sys.argv[2])) if sys.argv[1:2] == ["write"] else main()'
        return _rendered(parts, two_processes(parts), entry)
    return _rendered(parts, one_process(parts), "main()")


def _rendered(parts: Parts, body: list[str], entry: str) -> str:
    template = templates().get_template("script.py.j2")
    return template.render(p=parts, r=parts.repro, w=words(parts.repro), body=body, entry=entry)
