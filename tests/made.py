"""Make environments of the toys of `fake_index.py`, and take what came of it."""

from dataclasses import replace
from pathlib import Path

from fake_index import variables

from conformance.versions.cache import Cache
from conformance.versions.make import Tools
from conformance.versions.ready import NotReady, Ready
from conformance.versions.suite_wheel import suite_wheel
from conformance.versions.uv import find_uv, uv_variables


def tools_of(index: Path, scratch: Path, cache: Path) -> Tools:
    uv = replace(
        find_uv(), variables=uv_variables(variables(index, scratch), {}), index_arguments=()
    )
    return Tools(Cache(cache), uv, suite_wheel())


def is_ready(answer: Ready | NotReady) -> Ready:
    assert isinstance(answer, Ready), answer
    return answer


def lacks(answer: Ready | NotReady) -> NotReady:
    assert isinstance(answer, NotReady), answer
    return answer
