"""A folder of small wheels: a stand-in quantization library, its host, and a stand-in suite.

uv takes it as `UV_FIND_LINKS`, offline and with a cache of its own, so real environments are made
of it in half a second and nothing is downloaded.

`toyquant` 1.0, 1.1 and 2.0 differ in `toyquant/behaviour.json`: what becomes of each case, and in
`toyquant/reads.json`: how each reads a file that it or an older one wrote. `toyhost` knows how to
ask, and its 2.0 needs toyquant 1.1 or newer. `toysuite` is the suite as it runs now, with the
cases, the judging, the results files, the worker processes of an exchange and the command line as
they are; only what a process does with a case is another (`STAND_INS`), which asks toyhost. What
the suite imports is taken from the Python that runs the tests, on which no environment is asked
for it. It is the `suite` of the environments below.
"""

import json
import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from conformance.versions.suite_wheel import suite_files, zipped

STEM = "flux-tiny.int8wo"
SAME = f"{STEM}.quantize_.pickle.cpu"
FIXED = f"{STEM}.quantize_.pickle-sharded.cpu"
IMPROVED = f"{STEM}.quantize_.safetensors.cpu"
CHANGED = f"{STEM}.quantize_.safetensors-sharded.cpu"
WORSENED = f"{STEM}.quantize_.state-dict.cpu"
REGRESSED = f"{STEM}.quantize_.state-dict-mmap.cpu"
ADDED = f"{STEM}.quantize_.torchao-safetensors.cpu"
LOST = f"{STEM}.torchao-config.pickle.cpu"
UNKNOWN = f"{STEM}.torchao-config.pickle-sharded.cpu"
HANGS = f"{STEM}.torchao-config.safetensors.cpu"
CRASHES = f"{STEM}.torchao-config.safetensors-sharded.cpu"
FLAKY = f"{STEM}.torchao-config.state-dict.cpu"
MOVES = f"{STEM}.torchao-config.state-dict-mmap.cpu"
"""It cannot be measured with toyquant 1.1, and breaks in 2.0."""
FORGOTTEN = f"{STEM}.torchao-config.torchao-safetensors.cpu"
"""It passes in every version, and 2.0 cannot read what older ones wrote."""

BEHAVIOUR: Mapping[str, Mapping[str, str]] = {
    "1.0": {
        SAME: "passes",
        FIXED: "loads not",
        IMPROVED: "corrupts",
        CHANGED: "loads not",
        WORSENED: "loads not",
        REGRESSED: "passes",
        LOST: "passes",
        HANGS: "passes",
        CRASHES: "passes",
        FLAKY: "passes",
        MOVES: "passes",
        FORGOTTEN: "passes",
    },
    "1.1": {
        SAME: "passes",
        FIXED: "loads not",
        IMPROVED: "corrupts",
        CHANGED: "loads not",
        WORSENED: "loads not",
        REGRESSED: "loads not",
        ADDED: "passes",
        LOST: "passes",
        HANGS: "hangs",
        CRASHES: "passes",
        FLAKY: "passes",
        FORGOTTEN: "passes",
    },
    "2.0": {
        SAME: "passes",
        FIXED: "passes",
        IMPROVED: "loads not",
        CHANGED: "loads not otherwise",
        WORSENED: "corrupts",
        REGRESSED: "loads not",
        ADDED: "passes",
        HANGS: "hangs",
        CRASHES: "crashes",
        FLAKY: "fails once",
        MOVES: "loads not",
        FORGOTTEN: "passes",
    },
}
"""toyquant -> case -> what becomes of it; what is left out cannot be measured."""

READS: Mapping[str, Mapping[str, str]] = {
    "1.0": {
        IMPROVED: "other bits",
        CHANGED: "loads not",
        WORSENED: "loads not",
    },
    "1.1": {REGRESSED: "loads not", CHANGED: "loads not"},
    "2.0": {
        IMPROVED: "trains",
        CHANGED: "loads not otherwise",
        WORSENED: "other bits",
        REGRESSED: "loads not",
        CRASHES: "crashes",
        FLAKY: "fails once",
        MOVES: "other output",
        FORGOTTEN: "wants a zero point",
    },
}
"""toyquant -> case -> how its files are read; what is left out is read as it was saved.

Older ones read no file of 2.0, which holds a zero point. toyhost stands before weights that are
fine: 1.0 cannot load FIXED, 2.0 refuses the config of LOST and hangs over HANGS of toyquant 1.0.
"""

HOST = '''"""A stand-in for diffusers."""
import json
from importlib.resources import files

import toyquant
from toyquant import weights

__version__ = "{version}"
FILE = "weights.json"


def quantizer():
    """Return the version of toyquant that is installed."""
    return toyquant.__version__


def outcomes():
    """Return case -> what becomes of it with the toyquant that is installed."""
    return json.loads(files(toyquant).joinpath("behaviour.json").read_text())


def save_pretrained(directory, case):
    """Write weights and config, and return what must come back."""
    weight = weights.Weight((1, 2, 4), 0.5)
    config = {{"quantization_config": {{"for": case, "by": quantizer()}}}}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / FILE).write_text(weights.saved(weight))
    return weights.to_json(weight)


def accept(config):
    """Refuse what is not read any more."""
    if __version__ == "2.0" and config["for"] == {lost!r}:
        raise ValueError("this config is not supported since 2.0")


def load(directory, case):
    """Read the weights alone."""
    return weights.to_json(weights.load(directory / FILE, case))


def from_pretrained(directory, case):
    """Read the config, then the weights."""
    config = json.loads((directory / "config.json").read_text())["quantization_config"]
    accept(config)
    if __version__ == "2.0" and case == {hangs!r} and config["by"] == "1.0":
        weights.hangs(case, config)
    if __version__ == "1.0" and case == {fixed!r}:
        weights.loads_not(case, config)
    return load(directory, case)
'''
STAND_INS: Mapping[str, str] = {
    "conformance/runner.py": "toy_runner.py",
    "conformance/roundtrip/keeper.py": "toy_keeper.py",
    "conformance/roundtrip/reading.py": "toy_reading.py",
    "conformance/roundtrip/preload.py": "toy_preload.py",
}
"""Module of the suite -> what stands in for it; `toyquant/weights.py` is `toy_weights.py`."""
ENVIRONMENTS = """
[[environment]]
name = "toy1.0"
title = "the first"
suite = "toysuite==1.0"
requirements = ["toyquant==1.0", "toyhost==1.0"]

[[environment]]
name = "toy2.0"
suite = "toysuite==1.0"
requirements = ["toyquant==2.0", "toyhost==2.0"]

[[environment]]
name = "contradicts"
suite = "toysuite==1.0"
requirements = ["toyquant==1.0", "toyhost==2.0"]

[[environment]]
name = "raises"
suite = "toysuite==1.0"
requirements = ["toyquant==3.0", "toyhost==1.0"]

[[environment]]
name = "dies"
suite = "toysuite==1.0"
requirements = ["toyquant==3.1", "toyhost==1.0"]

[[environment]]
name = "mislabelled"
suite = "toysuite==1.0"
requirements = ["toyquant==3.2", "toyhost==1.0"]

[[environment]]
name = "huge"
heavy = true
suite = "toysuite==1.0"
requirements = ["toyquant==1.1", "toyhost==1.0"]
"""


def wheel(
    folder: Path, name: str, version: str, files: Mapping[str, str], requires: tuple[str, ...] = ()
) -> Path:
    """Write a pure Python wheel."""
    about = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata = "\n".join([*lines, *(f"Requires-Dist: {each}" for each in requires), ""])
    tag = "Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {**files, f"{about}/METADATA": metadata, f"{about}/WHEEL": tag}
    path = folder / f"{name}-{version}-py3-none-any.whl"
    path.write_bytes(
        zipped({name: text.encode() for name, text in content.items()}, f"{about}/RECORD")
    )
    return path


def toyquant(folder: Path, version: str, source: str = "", says: str = "", like: str = "") -> Path:
    """Write a toyquant that behaves like a version, its own when none is given.

    `source` runs when it is imported, `says` is what it takes itself for.
    """
    files = {
        "toyquant/__init__.py": f'__version__ = "{says or version}"\n{source}\n',
        "toyquant/weights.py": _source("toy_weights.py"),
        "toyquant/behaviour.json": json.dumps(BEHAVIOUR.get(like or version, {})),
        "toyquant/reads.json": json.dumps(READS.get(like or version, {})),
    }
    return wheel(folder, "toyquant", version, files)


def toysuite() -> dict[str, str]:
    """Return the files of the running suite, with stand-ins for what calls a library."""
    files = {name: content.decode() for name, content in suite_files()}
    borrowed = f"import sys\nsys.path.append({sysconfig.get_path('purelib')!r})\n"
    tested = 'DISTRIBUTIONS = ("toyquant", "toyhost")\n'
    return {
        **files,
        **{module: _source(name) for module, name in STAND_INS.items()},
        "conformance/__init__.py": files["conformance/__init__.py"] + borrowed,
        "conformance/environment.py": files["conformance/environment.py"] + tested,
    }


def _source(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def build_index(folder: Path) -> Path:
    """Write all wheels."""
    folder.mkdir(parents=True, exist_ok=True)
    for version in BEHAVIOUR:
        toyquant(folder, version)
    toyquant(folder, "3.0", "raise ImportError('built for another host')")
    toyquant(folder, "3.1", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    toyquant(folder, "3.2", says="3.1.post1")
    for version, needs in (("1.0", "toyquant"), ("1.1", "toyquant"), ("2.0", "toyquant>=1.1")):
        host = HOST.format(version=version, lost=LOST, hangs=HANGS, fixed=FIXED)
        source = {"toyhost/__init__.py": host}
        wheel(folder, "toyhost", version, source, (needs,))
    lazy = (
        "def __getattr__(name):\n"
        "    if name.startswith('__'): raise AttributeError(name)\n"
        "    raise RuntimeError(f'no {name} without a host')\n"
    )
    wheel(folder, "diffusers", "0.1", {"diffusers/__init__.py": lazy})
    wheel(folder, "toysuite", "1.0", toysuite(), ("toyhost",))
    return folder


def environments_file(folder: Path) -> Path:
    """Return the file of the environments of the toys; it is written once."""
    path = folder / "toys.toml"
    if not path.exists():
        path.write_text(ENVIRONMENTS, encoding="utf-8")
    return path


def variables(index: Path, scratch: Path) -> dict[str, str]:
    """Return the variables with which uv sees this index and nothing else."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))
    }
    return {
        **kept,
        "PIP_CONFIG_FILE": os.devnull,
        "UV_NO_CONFIG": "1",
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(index),
        "UV_CACHE_DIR": str(scratch / "uv"),
        "CONFORMANCE_CACHE": str(scratch / "cache"),
    }
