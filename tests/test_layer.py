"""The layer with the suite, above the packages of an environment."""

from dataclasses import replace
from pathlib import Path

import pytest
from made import is_ready, lacks

from conformance.versions.environments import Environments
from conformance.versions.layer import LAYERS, layer
from conformance.versions.make import INSTALLED, Tools, ready
from conformance.versions.ready import Lacks, interpreter_of, run_in
from conformance.versions.suite_wheel import Declared

pytestmark = pytest.mark.thorough

pytest_plugins = ["toy_fixtures"]


def test_each_state_of_the_suite_has_its_own_layer(fresh: Tools, toys: Environments) -> None:
    below = is_ready(ready(toys.named["toy1.0"], fresh))
    fresh.uv.run("pip", "uninstall", "--quiet", "--python", str(below.python), "toysuite")
    edited = replace(fresh.suite, version="0+edited", file=fresh.suite.file)
    question = (
        "import importlib.metadata as m, toyquant, conformance.versions.shipped as s;"
        "print(m.version('quantized-checkpoint-conformance'), m.version('toyquant'));"
        "print(s.shipped('ci/environments.toml')); print(toyquant.__file__)"
    )
    for suite in (fresh.suite, edited, fresh.suite):
        over = layer(below.directory, suite, fresh.cache, fresh.uv)
        done = run_in(replace(below, python=interpreter_of(over)), ["-c", question])
        versions, shipped, quantizer = done.stdout.splitlines()
        assert versions == f"{fresh.suite.version} 1.0"
        assert Path(shipped).is_relative_to(over)
        assert Path(quantizer).is_relative_to(below.directory / "venv")
    names = {each.name for each in (below.directory / LAYERS).iterdir()}
    assert names == {fresh.suite.version, "0+edited"}


def test_a_half_made_layer_is_made_whole(fresh: Tools, toys: Environments) -> None:
    below = is_ready(ready(toys.named["toy1.0"], fresh))
    over = layer(below.directory, fresh.suite, fresh.cache, fresh.uv)
    (over / INSTALLED).unlink()
    (module,) = over.rglob("suite_wheel.py")
    module.unlink()
    assert layer(below.directory, fresh.suite, fresh.cache, fresh.uv) == over
    assert module.exists()


def test_a_layer_that_cannot_be_made_says_why(
    fresh: Tools, toys: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.versions.lock.declared", lambda: Declared((), {}))
    using = replace(fresh, suite=replace(fresh.suite, content=b"no zip"))
    answer = lacks(ready(replace(toys.named["toy1.0"], suite=""), using))
    assert answer.lacks is Lacks.NOT_INSTALLED
    assert "quantized-checkpoint-conformance has an invalid package format" in answer.words
