"""To a Hub and back: against a stand-in, and, when it is asked for, the real one."""

import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from called import called
from hub_stand_in import TOKEN, USER, State, serving

from conformance.hub.known import KNOWN, as_json, as_known, good, known
from conformance.hub.result import Back, Failed, Left, left
from conformance.hub.run import environment
from conformance.hub.scenes import Push, Read, Scene, Trouble, Where, scenes
from conformance.report.catalogue import findings
from conformance.report.hub import headline

OFFLINE = "upload_folder.pickle-sharded.root"
WHY = ("OfflineModeIsEnabled 'Cannot reach http://x/api/models/a/b/revision/main: offline'",)
EMPTY = Failed(Trouble.CANNOT_BE_SAVED, "RuntimeError: no storage", Left.EMPTY)


@pytest.fixture
def hub() -> Iterator[tuple[str, State]]:
    with serving() as (endpoint, state):
        yield endpoint, state


def asked(endpoint: str, *arguments: str, where: Path) -> subprocess.CompletedProcess[str]:
    """Call the command in a process of its own: huggingface_hub reads its variables once."""
    command = [sys.executable, "-m", "conformance.cli", "hub", "--namespace", USER, *arguments]
    return subprocess.run(
        [*command, "--endpoint", endpoint],
        cwd=where,
        env={**os.environ, "HF_TOKEN": TOKEN},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_all_ways_to_a_stand_in_and_back(hub: tuple[str, State], tmp_path: Path) -> None:
    endpoint, state = hub
    ran = asked(endpoint, "--json", where=tmp_path)
    results = json.loads(ran.stdout)
    assert ran.returncode == 0, ran.stderr
    backs = [each for each in results if "read" in each]
    assert {(each["scene"], each["read"]) for each in backs} == {
        (scene.id, str(read)) for scene in scenes() for read in Read
    }
    # What comes back is compared bit by bit: only the flag that every reader turns is altered.
    wrong = {each["scene"] for each in backs if each["verdict"] != "altered"}
    assert wrong == {scene.id for scene in scenes() if scene.form.endswith("sharded")}
    fails = {each["trouble"]: each["left"] for each in results if "trouble" in each}
    assert fails == {
        "cannot-be-saved": "an empty repository",
        "full-disk": "an empty repository",
        "wrong-token": "no repository",
    }
    assert not state.repositories


@pytest.mark.slow
def test_a_hub_that_returns_other_bits_is_seen(hub: tuple[str, State], tmp_path: Path) -> None:
    endpoint, state = hub
    state.flipped = True
    ran = asked(endpoint, "--json", "--select", "upload_folder.safetensors.root", where=tmp_path)
    assert ran.returncode == 1
    found = {each["read"]: each["verdict"] for each in json.loads(ran.stdout)}
    assert found == dict.fromkeys(map(str, Read), "corrupt")


@pytest.mark.slow
def test_a_push_that_is_refused_is_inconclusive(hub: tuple[str, State], tmp_path: Path) -> None:
    endpoint, state = hub
    state.refused = "^PUT /objects"
    ran = asked(endpoint, "--select", "push_to_hub.pickle.root", where=tmp_path)
    assert ran.returncode == 3
    assert "push_to_hub.pickle.root could not be pushed: " in " ".join(ran.stderr.split())
    assert not state.repositories


@pytest.mark.parametrize(
    ("arguments", "token", "said"),
    [
        (["--hub", "--endpoint", "http://x"], TOKEN, "give either --endpoint URL or --hub"),
        ([], TOKEN, "give either --endpoint URL or --hub"),
        (["--hub"], "", "HF_TOKEN is not set; set it to a token that may write"),
        (
            ["--hub", "-s", "x*"],
            TOKEN,
            "no way up is called x*; one is push_to_hub.safetensors.root",
        ),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str], token: str, said: str, tmp_path: Path
) -> None:
    variables = {**os.environ, "HF_TOKEN": token}
    ran = called("hub", "--namespace", "me", *arguments, where=tmp_path, variables=variables)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.strip() == f"conformance: {said}"


def test_the_real_hub_is_not_given_an_endpoint(tmp_path: Path) -> None:
    assert "HF_ENDPOINT" not in environment("", tmp_path, "t")
    assert "HF_HUB_DISABLE_XET" not in environment("", tmp_path, "t")
    assert environment("http://x", tmp_path, "t")["HF_ENDPOINT"] == "http://x"
    assert environment("", tmp_path, "t")["HF_HOME"] == str(tmp_path)


def test_scenes_are_readable_and_unique() -> None:
    ids = [each.id for each in scenes()]
    assert len(ids) == len(set(ids)) == 16
    scene = Scene(Push.UPLOAD_FOLDER, "pickle", Where.REVISION)
    assert (scene.id, scene.subfolder) == ("upload_folder.pickle.revision", None)
    assert scene.revision == "measured"
    assert Scene(Push.PUSH_TO_HUB, "pickle", Where.SUBFOLDER).subfolder == "transformer"


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (None, Left.NOTHING),
        ([], Left.EMPTY),
        ([".gitattributes"], Left.EMPTY),
        ([".gitattributes", "config.json"], Left.FILES),
    ],
)
def test_what_a_failed_push_left(files: list[str] | None, what: Left) -> None:
    assert left(files) is what


@pytest.mark.parametrize(
    ("result", "as_it_should", "expected"),
    [
        (Back("upload_folder.pickle.root", Read.OFFLINE, "altered", True), True, True),
        (
            Back("upload_folder.pickle.root", Read.OFFLINE, "corrupt", False, ("bits",)),
            False,
            False,
        ),
        (Back(OFFLINE, Read.OFFLINE, "load-failed", False, WHY), False, True),
        (Back(OFFLINE, Read.OFFLINE, "altered", True), True, False),
        (Back(OFFLINE, Read.OFFLINE, "load-failed", False, ("OSError 'no'",)), False, False),
        (Back(OFFLINE, Read.SNAPSHOT, "load-failed", False, WHY), False, False),
        (EMPTY, False, True),
        (Failed(Trouble.CANNOT_BE_SAVED, "RuntimeError: no", Left.NOTHING), True, False),
        (Failed(Trouble.CANNOT_BE_SAVED, "RuntimeError: no", Left.FILES), False, False),
        (Failed(Trouble.CANNOT_BE_SAVED, "KeyError: no", Left.EMPTY), False, False),
        (Failed(Trouble.WRONG_TOKEN, "HfHubHTTPError: 401", Left.NOTHING), True, True),
        (Failed(Trouble.WRONG_TOKEN, "", Left.NOTHING), False, False),
    ],
)
def test_what_is_known_is_expected_and_nothing_else(
    result: Any, as_it_should: bool, expected: bool
) -> None:
    assert (good(result), as_known(result)) == (as_it_should, expected)


def test_what_is_known_is_in_the_catalogue() -> None:
    assert {each.name for each in KNOWN} <= {each.expectation.name for each in findings()}
    assert known(EMPTY) is KNOWN[1]
    assert KNOWN[1].name == "failed-push-leaves-an-empty-repository"


def test_results_are_json_and_one_sentence() -> None:
    results: list[Back | Failed] = [Back("a", Read.OFFLINE, "pass", True), EMPTY]
    assert json.loads(json.dumps(as_json(results)))[1] == {
        "trouble": "cannot-be-saved",
        "raised": "RuntimeError: no storage",
        "left": "an empty repository",
        "good": False,
        "known": "failed-push-leaves-an-empty-repository",
    }
    assert headline(results, "the Hub") == (
        "1 of 1 readings from the Hub are as those from a directory;"
        " 0 of 1 failed pushes left nothing"
    )


# The stand-in


def request(method: str, url: str, body: bytes = b"", token: str = TOKEN) -> tuple[int, bytes, Any]:
    made = urllib.request.Request(url, data=body or None, method=method)
    made.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(made, timeout=10) as answer:
            return answer.status, answer.read(), answer.headers
    except HTTPError as error:
        return error.code, error.read(), error.headers


@pytest.mark.thorough
def test_the_stand_in_wants_its_token(hub: tuple[str, State]) -> None:
    endpoint, state = hub
    asked = json.dumps({"name": "m", "organization": USER}).encode()
    status, _, _ = request("POST", f"{endpoint}/api/repos/create", asked, token="hf_nobody")
    assert (status, state.repositories) == (401, {})


@pytest.mark.thorough
def test_the_stand_in_takes_only_what_was_announced(hub: tuple[str, State]) -> None:
    endpoint, state = hub
    content = b"weights"
    oid = hashlib.sha256(content).hexdigest()
    assert request("PUT", f"{endpoint}/objects/{oid}", b"other")[0] == 422
    assert request("PUT", f"{endpoint}/objects/{oid}", content)[0] == 200
    assert state.objects == {oid: content}


@pytest.mark.thorough
def test_the_stand_in_tells_what_is_missing(hub: tuple[str, State]) -> None:
    endpoint, state = hub
    asked = json.dumps({"name": "m", "organization": USER}).encode()
    assert request("POST", f"{endpoint}/api/repos/create", asked)[0] == 200
    assert request("POST", f"{endpoint}/api/repos/create", asked)[0] == 409
    codes = [
        request("GET", f"{endpoint}/{path}")[2]["X-Error-Code"]
        for path in (
            f"{USER}/x/resolve/main/a",
            f"{USER}/m/resolve/no/a",
            f"{USER}/m/resolve/main/a",
        )
    ]
    assert codes == ["RepoNotFound", "RevisionNotFound", "EntryNotFound"]
    assert re.fullmatch("[0-9a-f]{40}", state.repositories[f"{USER}/m"].branches["main"])
