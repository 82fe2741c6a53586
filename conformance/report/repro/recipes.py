"""Which recipe of a scheme a torchao release takes: measured by release, asked without torchao.

`recipes.json` is written by `python -m conformance.versions.recipes ENV...`.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from packaging.version import InvalidVersion, Version

from conformance.axes.base import Scheme
from conformance.axes.quantization import Recipe
from conformance.axes.recipes import config_source
from conformance.axes.source import Source
from conformance.axes.taken import written

Taken = Mapping[str, Mapping[str, str]]
"""Release of torchao -> scheme -> the recipe that it takes, as `axes.taken` says it."""


@cache
def measured() -> Taken:
    """Return what was measured, as it is shipped."""
    text = (files("conformance.report.repro") / "recipes.json").read_text(encoding="utf-8")
    taken: dict[str, dict[str, str]] = {}
    for scheme, recipes in json.loads(text).items():
        for recipe, releases in recipes.items():
            for release in releases.split():
                taken.setdefault(release, {})[scheme] = recipe
    return taken


def chosen(scheme: Scheme, torchao: str, taken: Taken | None = None) -> Recipe:
    """Return the recipe that this release of torchao takes.

    For a release that was not measured it is that of the newest older one. A scheme that no such
    release has is asked for as the newest releases are; the script then says that it cannot tell.
    """
    by_release = measured() if taken is None else taken
    release = next(_newest_first(by_release, torchao), None)
    text = None if release is None else by_release[release].get(scheme.name)
    return next((each for each in scheme.recipes if written(each) == text), scheme.recipes[0])


def _newest_first(taken: Taken, torchao: str) -> Iterator[str]:
    """Yield the measured releases that are no newer than this one."""
    try:
        # A nightly of 0.19 has what 0.18 had, and a build label says nothing.
        limit = Version(torchao).release
    except InvalidVersion:
        limit = Version("9999").release
    for release in sorted(taken, key=Version, reverse=True):
        if Version(release).release <= limit:
            yield release


def config_of(scheme: Scheme, torchao: str) -> tuple[Source, Mapping[str, Any]]:
    """Return the expression of the config, and the attributes to set on it."""
    recipe = chosen(scheme, torchao)
    return config_source(recipe), recipe.settings
