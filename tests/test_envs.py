"""Real environments of small wheels: real uv, nothing downloaded."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from fake_index import FIXED, toyquant
from made import is_ready, lacks, tools_of

from conformance.judging.results import read_results
from conformance.judging.verdicts import Verdict
from conformance.versions.cache import Cache
from conformance.versions.environments import Environment, Environments, find
from conformance.versions.lock import resolve
from conformance.versions.make import INSTALLED, SEEN, Tools, made, ready, ready_all
from conformance.versions.ready import Lacks, Ready, run_in

pytestmark = pytest.mark.thorough

pytest_plugins = ["toy_fixtures"]


def test_what_was_asked_for_is_installed_and_runs(
    kept: Tools, toys: Environments, tmp_path: Path
) -> None:
    answer = is_ready(ready(toys.named["toy2.0"], kept))
    assert answer.versions == {"toyquant": "2.0", "toyhost": "2.0"}
    command = ["-m", "conformance.cli", "run", "--results", str(tmp_path / "r.jsonl")]
    done = run_in(answer, [*command, "--select", FIXED])
    assert done.returncode == 0, done.stderr
    found = read_results(tmp_path / "r.jsonl")
    assert found.cases[FIXED].judgement.verdict is Verdict.PASS
    assert found.header.versions["toyquant"] == "2.0"


def test_nothing_of_the_caller_leaks(
    kept: Tools, toys: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = is_ready(ready(toys.named["toy2.0"], kept))
    (tmp_path / "toyquant.py").write_text("__version__ = 'leaked'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-x")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    question = "import toyquant, os; print(toyquant.__version__, *(os.environ.get(n) for n in N))"
    names = "N = ('PYTHONPATH', 'PYTEST_ADDOPTS', 'OMP_NUM_THREADS', 'MORE')\n"
    done = run_in(answer, ["-c", names + question], {"MORE": "more"}, cwd=tmp_path)
    assert done.stdout.split() == ["2.0", "None", "None", "3", "more"], done.stderr


@pytest.fixture
def answering() -> Iterator[Callable[[int], str]]:
    """Start an index that answers everything with one status; its address."""
    with ExitStack() as servers:

        def start(status: int) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

                do_HEAD = do_GET  # noqa: N815 - the name is the protocol's

                def log_message(self, format: str, *args: object) -> None:
                    """A test prints nothing."""

            server = servers.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            servers.callback(server.shutdown)
            Thread(target=server.serve_forever, daemon=True).start()
            return f"http://127.0.0.1:{server.server_port}/simple"

        yield start


@pytest.mark.parametrize(
    ("name", "why", "words"),
    [
        ("contradicts", Lacks.UNRESOLVED, "depends on toyquant>=1.1 and you require toyquant==1.0"),
        ("raises", Lacks.NOT_IMPORTED, "ImportError: built for another host"),
        ("dies", Lacks.NOT_IMPORTED, "killed by SIGKILL"),
        ("mislabelled", Lacks.MISMATCH, "toyquant 3.2 is installed, 3.1.post1 is imported"),
    ],
)
def test_what_cannot_be_used_says_why(
    kept: Tools, toys: Environments, name: str, why: Lacks, words: str
) -> None:
    for _ in range(2):
        answer = lacks(ready(toys.named[name], kept))
        assert answer.lacks is why
        assert words in answer.words
        assert "\n" not in answer.reason
        assert made(toys.named[name], kept) is None


def test_what_is_imported_only_when_it_is_asked_for_is_asked_for(kept: Tools) -> None:
    answer = lacks(ready(Environment("lazy", ("diffusers==0.1",), suite="toysuite"), kept))
    assert answer.lacks is Lacks.NOT_IMPORTED
    assert answer.words == "RuntimeError: no FluxTransformer2DModel without a host"


@pytest.mark.parametrize(
    ("offline", "why", "words"),
    [
        ("0", Lacks.UNRESOLVED, "toyquantt was not found in the provided package locations"),
        ("1", Lacks.UNREACHABLE, "the network was disabled"),
    ],
)
def test_an_unknown_package_is_in_the_resolvers_words(
    kept: Tools, offline: str, why: Lacks, words: str
) -> None:
    variables = {**kept.uv.variables, "UV_OFFLINE": offline}
    alone = () if offline == "1" else ("--no-index",)
    using = replace(kept, uv=replace(kept.uv, variables=variables, index_arguments=alone))
    answer = lacks(ready(Environment("x", ("toyquantt==1.0",), suite="toysuite"), using))
    assert answer.lacks is why
    assert words in answer.words


def test_an_overridden_version_is_a_mismatch(fresh: Tools, tmp_path: Path) -> None:
    (tmp_path / "overrides.txt").write_text("toyquant==1.1\n")
    variables = {**fresh.uv.variables, "UV_OVERRIDE": str(tmp_path / "overrides.txt")}
    using = replace(fresh, uv=replace(fresh.uv, variables=variables))
    answer = lacks(ready(Environment("x", ("toyquant==1.0",), suite="toysuite"), using))
    assert answer.lacks is Lacks.MISMATCH
    assert answer.words == "toyquant==1.0 was asked for, 1.1 is installed"


def test_an_index_that_does_not_answer_is_one_line(fresh: Tools) -> None:
    more = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    variables = {**fresh.uv.variables, **more}
    variables.pop("UV_OFFLINE")
    using = replace(fresh, uv=replace(fresh.uv, variables=variables))
    answer = lacks(ready(Environment("x", ("nowhere==1.0",), suite="toysuite"), using))
    assert answer.lacks is Lacks.UNREACHABLE
    assert "Connection refused" in answer.words
    assert answer.words.endswith("; try again when it answers")


@pytest.mark.parametrize(
    ("status", "why", "words"),
    [
        (503, Lacks.UNREACHABLE, "503 Service Unavailable"),
        (429, Lacks.UNREACHABLE, "429 Too Many Requests"),
        (403, Lacks.UNREACHABLE, "403 Forbidden"),
        (404, Lacks.UNRESOLVED, "nowhere was not found in the package registry"),
    ],
)
def test_what_an_index_answers_is_told_apart(
    fresh: Tools, answering: Callable[[int], str], status: int, why: Lacks, words: str
) -> None:
    more = {"UV_DEFAULT_INDEX": answering(status), "UV_HTTP_RETRIES": "0"}
    variables = {**fresh.uv.variables, **more}
    variables.pop("UV_OFFLINE")
    using = replace(fresh, uv=replace(fresh.uv, variables=variables))
    answer = lacks(ready(Environment("x", ("nowhere==1.0",), suite="toysuite"), using))
    assert answer.lacks is why
    assert words in answer.words
    assert "\n" not in answer.reason


def test_the_second_time_it_is_taken_from_the_cache(fresh: Tools, toys: Environments) -> None:
    first = is_ready(ready(toys.named["toy1.0"], fresh))
    assert made(toys.named["toy1.0"], fresh) is not None
    broken = replace(fresh, uv=replace(fresh.uv, binary="/nowhere/uv"))
    second = is_ready(ready(toys.named["toy1.0"], broken))
    assert (first.cached, second.cached) == (False, True)
    assert (first.directory, first.versions) == (second.directory, second.versions)
    assert second.steps.keys() == {"resolve", "suite", "import"}
    assert first.steps.keys() == {"resolve", "install", "suite", "import"}


def test_equal_locks_share_an_environment_and_each_is_asked_what_it_names(fresh: Tools) -> None:
    narrow = Environment("a", ("toyhost==1.0", "toyquant==1.0"), suite="toysuite")
    other = Environment("b", ("toyquant==1.0", "toyhost<1.1"), suite="toysuite==1.0")
    answers = [is_ready(ready(each, fresh)) for each in (narrow, other)]
    assert answers[0].directory == answers[1].directory
    assert [each.cached for each in answers] == [False, True]


def test_files_are_hard_links_into_uvs_cache(kept: Tools, toys: Environments) -> None:
    answer = is_ready(ready(toys.named["toy1.0"], kept))
    (module,) = (answer.directory / "venv").rglob("toyquant/behaviour.json")
    assert module.stat().st_nlink > 1
    again = Path(kept.uv.variables["UV_CACHE_DIR"])
    inodes = {path.stat().st_ino for path in again.rglob("behaviour.json")}
    assert module.stat().st_ino in inodes


def test_compiled_modules_are_shared_where_the_source_is_one_file(
    fresh: Tools, toys: Environments
) -> None:
    first, second = (is_ready(ready(toys.named[n], fresh)) for n in ("toy1.0", "toy2.0"))
    again = is_ready(ready(replace(toys.named["huge"], suite="toysuite"), fresh))
    compiled = {
        each.environment.name: {
            path.parent.parent.name: path
            for path in each.directory.rglob("*.pyc")
            if path.parent.parent.name in ("toyquant", "toyhost")
        }
        for each in (first, second, again)
    }
    assert compiled["huge"]["toyhost"].samefile(compiled["toy1.0"]["toyhost"])
    assert not compiled["toy2.0"]["toyhost"].samefile(compiled["toy1.0"]["toyhost"])
    code = "import toyhost; print(toyhost.outcomes.__code__.co_filename)"
    assert run_in(again, ["-c", code]).stdout.startswith(str(again.directory))


@pytest.mark.parametrize("missing", [INSTALLED, SEEN, "venv/bin/python"])
def test_a_half_made_one_is_made_whole(fresh: Tools, toys: Environments, missing: str) -> None:
    first = is_ready(ready(toys.named["toy1.0"], fresh))
    (first.directory / missing).unlink()
    (module,) = (first.directory / "venv").rglob("toyquant/behaviour.json")
    remade = missing != SEEN
    if remade:
        module.unlink()
    assert made(toys.named["toy1.0"], fresh) is None or missing == "venv/bin/python"
    second = is_ready(ready(toys.named["toy1.0"], fresh))
    assert second.cached is not remade
    assert module.exists()
    assert run_in(second, ["-c", "import toyhost"]).returncode == 0


def test_a_wheel_that_was_built_again_is_installed_again(fresh: Tools, tmp_path: Path) -> None:
    known = Environments("none", {}, ())
    sources = ["BUILD = 1", "BUILD = 2"]
    printed = []
    for source in sources:
        path = toyquant(tmp_path, "1.0", source)
        environment = replace(find(f"./{path.name}", known, tmp_path), suite="toysuite")
        answer = is_ready(ready(environment, fresh))
        printed.append(run_in(answer, ["-c", "import toyquant; print(toyquant.BUILD)"]).stdout)
    assert printed == ["1\n", "2\n"]


def test_a_lock_is_kept_until_it_is_asked_anew(index: Path, scratch: Path, tmp_path: Path) -> None:
    mine = tmp_path / "index"
    mine.mkdir()
    for path in (toyquant(mine, "1.0"), *index.glob("toy[hs]*.whl")):
        (mine / path.name).write_bytes(path.read_bytes())
    using = tools_of(mine, scratch, tmp_path / "cache")
    open_ended = Environment("x", ("toyquant>=1",), suite="toysuite")
    assert is_ready(ready(open_ended, using)).versions["toyquant"] == "1.0"
    toyquant(mine, "1.1")
    assert is_ready(ready(open_ended, using)).versions["toyquant"] == "1.0"
    resolve(open_ended, using.cache, using.uv)
    assert is_ready(ready(open_ended, using)).versions["toyquant"] == "1.1"


def test_several_are_made_at_once(fresh: Tools, toys: Environments) -> None:
    names = ("toy1.0", "contradicts", "toy2.0", "toy1.0")
    answers = list(ready_all([toys.named[name] for name in names], fresh, 4))
    outcome = sorted((each.environment.name, isinstance(each, Ready)) for each in answers)
    assert outcome == [("contradicts", False), ("toy1.0", True), ("toy1.0", True), ("toy2.0", True)]
    twins = [each for each in answers if isinstance(each, Ready) and "1.0" in each.environment.name]
    assert sorted(each.cached for each in twins) == [False, True]


def test_a_full_disk_is_one_line(fresh: Tools, toys: Environments, tmp_path: Path) -> None:
    full = tmp_path / "uv"
    full.write_text(
        "#!/bin/sh\n"
        'case "$1 $2" in "pip compile") exec ' + fresh.uv.binary + ' "$@";; esac\n'
        "echo 'error: failed to copy file: No space left on device (os error 28)' >&2\nexit 2\n"
    )
    full.chmod(0o755)
    using = replace(fresh, uv=replace(fresh.uv, binary=str(full)))
    answer = lacks(ready(toys.named["toy1.0"], using))
    assert answer.lacks is Lacks.NO_SPACE
    assert answer.words.endswith("is full; free some, or name another disk in CONFORMANCE_CACHE")
    assert using.cache.environments() == []


def test_a_cache_that_cannot_be_written_is_one_line(
    fresh: Tools, toys: Environments, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    answer = lacks(ready(toys.named["toy1.0"], replace(fresh, cache=Cache(tmp_path / "file"))))
    assert answer.lacks is Lacks.NOT_INSTALLED
    assert "Not a directory" in answer.words
