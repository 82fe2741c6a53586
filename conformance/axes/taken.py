"""Print as JSON which recipe of every scheme the installed torchao takes: `python -m` this."""

import json

from conformance.axes import registry
from conformance.axes.base import Scheme
from conformance.axes.quantization import Recipe, resolve
from conformance.axes.recipes import config_source
from conformance.errors import UnavailableError


def written(recipe: Recipe) -> str:
    """Return a recipe on one line, with the module of its config."""
    return f"{recipe.symbol.partition(':')[0]}:{config_source(recipe).text}"


def taken(scheme: Scheme) -> str | None:
    """Return the first recipe that is accepted, as `written` says it; None where there is none."""
    for recipe in scheme.recipes:
        try:
            resolve((recipe,))
        except UnavailableError:
            continue
        return written(recipe)
    return None


def all_taken() -> dict[str, str]:
    """Return what `taken` says by scheme, without the schemes that there are not."""
    found = {each.name: taken(each) for each in registry.schemes().values()}
    return {name: text for name, text in found.items() if text is not None}


if __name__ == "__main__":
    print(json.dumps(all_taken()))
