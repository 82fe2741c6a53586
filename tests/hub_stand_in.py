"""A stand-in for a Hub on loopback, in memory: it proves the path of a client, not the Hub.

It speaks the documented endpoints that huggingface_hub asks for when it makes repositories, commits
by the LFS protocol, lists, and downloads. It checks what a client sends (token, digests, sizes) and
forgets everything when it ends. Nothing of the real Hub's storage, limits or rights is in it.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_stand_in"
USER = "somebody"
MAIN = "main"
LFS_SUFFIXES = (".safetensors", ".bin")
Files = dict[str, bytes]


@dataclass
class Repository:
    """Branches by name, commits by digest, each with all its files."""

    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Files] = field(default_factory=dict)

    def commit(self, branch: str, files: Files) -> str:
        """Add a commit and return its digest."""
        told = f"{len(self.commits)}{branch}{sorted(files)}"
        oid = hashlib.sha1(told.encode()).hexdigest()
        self.commits[oid], self.branches[branch] = dict(files), oid
        return oid

    def at(self, revision: str) -> str | None:
        """Return the commit of a branch or a digest."""
        found = self.branches.get(revision, revision)
        return found if found in self.commits else None


@dataclass
class State:
    """What the server holds, and what it was asked."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Method and path of every request, in order."""
    refused: str = ""
    """A pattern of `METHOD path` that is answered with 403."""
    flipped: bool = False
    """The last byte of every `.bin` and `.safetensors` that is uploaded is kept inverted."""


class Refused(Exception):  # noqa: N818 - an answer
    """An answer that is no success."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    state: State

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.state.asked.append(f"{self.command} {path}")
        try:
            if self.state.refused and re.search(self.state.refused, f"{self.command} {path}"):
                raise Refused(403, "Forbidden", "the stand-in was told to refuse this")
            self._route(path, body)
        except Refused as error:
            self._answer({"error": str(error)}, error.status, {"X-Error-Code": error.code})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815

    def _route(self, path: str, body: bytes) -> None:
        for method, pattern, name in ROUTES:
            if method == self.command and (match := re.fullmatch(pattern, path)):
                if method not in ("GET", "HEAD", "PUT"):
                    self._require_token()
                getattr(self, name)(body, **match.groupdict())
                return
        raise Refused(404, "NotFound", f"the stand-in does not know {self.command} {path}")

    def _require_token(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(401, "Unauthorized", "Invalid username or password.")

    def _repository(self, repo: str) -> Repository:
        if repo not in self.state.repositories:
            raise Refused(404, "RepoNotFound", "Repository not found")
        return self.state.repositories[repo]

    def _commit(self, repo: str, revision: str) -> tuple[str, Files]:
        repository = self._repository(repo)
        if (oid := repository.at(revision)) is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return oid, repository.commits[oid]

    # Repositories

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        repo = f"{asked.get('organization') or USER}/{asked['name']}"
        url = {"url": f"{self._here}/{repo}", "name": repo, "id": repo}
        if repo in self.state.repositories:
            self._answer({**url, "error": "You already created this model repo"}, 409)
            return
        made = self.state.repositories[repo] = Repository()
        made.commit(
            MAIN, {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}
        )
        self._answer(url)

    def delete(self, body: bytes) -> None:
        asked = json.loads(body)
        repo = f"{asked.get('organization') or USER}/{asked['name']}"
        self._repository(repo)
        del self.state.repositories[repo]
        self._answer({})

    def branch(self, _: bytes, repo: str, name: str) -> None:
        oid, files = self._commit(repo, MAIN)
        repository = self._repository(repo)
        repository.commits[oid], repository.branches[name] = files, oid
        self._answer({})

    # Uploads

    def validate(self, _: bytes) -> None:
        self._answer({"errors": [], "warnings": []})

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        self._commit(repo, revision)
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
            }
            for each in json.loads(body)["files"]
        ]
        self._answer({"files": files})

    def batch(self, body: bytes, repo: str) -> None:
        self._repository(repo)
        objects = []
        for each in json.loads(body)["objects"]:
            known = {"oid": each["oid"], "size": each["size"]}
            upload = {"upload": {"href": f"{self._here}/objects/{each['oid']}"}}
            objects.append(
                known if each["oid"] in self.state.objects else {**known, "actions": upload}
            )
        self._answer({"transfer": "basic", "objects": objects})

    def put(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refused(422, "BadDigest", "the content is not what was announced")
        self.state.objects[oid] = body
        if self.state.flipped:
            self.state.objects[oid] = body[:-1] + bytes([body[-1] ^ 0xFF])
        self._answer({})

    def commit(self, body: bytes, repo: str, revision: str) -> None:
        _oid, before = self._commit(repo, revision)
        files = dict(before)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self._object(value["oid"], value["size"])
            elif line["key"] != "header":
                raise Refused(400, "BadRequest", f"the stand-in does not know {line['key']}")
        oid = self._repository(repo).commit(revision, files)
        self._answer({"commitUrl": f"{self._here}/{repo}/commit/{oid}", "commitOid": oid})

    def _object(self, oid: str, size: int) -> bytes:
        content = self.state.objects.get(oid)
        if content is None or len(content) != size:
            raise Refused(400, "BadRequest", f"no object {oid} of {size} bytes was uploaded")
        return content

    # Downloads

    def info(self, _: bytes, repo: str, revision: str = MAIN) -> None:
        oid, files = self._commit(repo, revision)
        siblings = [{"rfilename": name} for name in sorted(files)]
        self._answer({"id": repo, "sha": oid, "siblings": siblings, "private": True, "tags": []})

    def tree(self, _: bytes, repo: str, revision: str) -> None:
        files = self._commit(repo, revision)[1]
        self._answer([_entry(path, content) for path, content in sorted(files.items())])

    def resolve(self, _: bytes, repo: str, revision: str, path: str) -> None:
        oid, files = self._commit(repo, revision)
        commit = {"X-Repo-Commit": oid}
        if path not in files:
            error = {**commit, "X-Error-Code": "EntryNotFound"}
            self._answer({"error": "Entry not found"}, 404, error)
            return
        etag = {"ETag": f'"{_etag(path, files[path])}"', "Accept-Ranges": "bytes"}
        kind = {"Content-Type": "application/octet-stream"}
        self._send(200, files[path], {**commit, **etag, **kind})

    # Answers

    @property
    def _here(self) -> str:
        server = cast(ThreadingHTTPServer, self.server)
        return f"http://127.0.0.1:{server.server_port}"

    def _answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        kind = {"Content-Type": "application/json"}
        self._send(status, json.dumps(value).encode(), kind | (headers or {}))

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _etag(path: str, content: bytes) -> str:
    if path.endswith(LFS_SUFFIXES):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content)}
    entry["oid"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if path.endswith(LFS_SUFFIXES):
        entry["lfs"] = {"oid": _etag(path, content), "size": len(content), "pointerSize": 130}
    return entry


REPO = r"(?P<repo>[^/]+/[^/]+)"
REVISION = r"(?P<revision>[^/]+)"
ROUTES = (
    ("POST", "/api/repos/create", "create"),
    ("DELETE", "/api/repos/delete", "delete"),
    ("POST", "/api/validate-yaml", "validate"),
    ("POST", rf"/api/models/{REPO}/branch/(?P<name>[^/]+)", "branch"),
    ("POST", rf"/api/models/{REPO}/preupload/{REVISION}", "preupload"),
    ("POST", rf"/api/models/{REPO}/commit/{REVISION}", "commit"),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", "batch"),
    ("PUT", r"/objects/(?P<oid>[0-9a-f]{64})", "put"),
    ("GET", rf"/api/models/{REPO}", "info"),
    ("GET", rf"/api/models/{REPO}/revision/{REVISION}", "info"),
    ("GET", rf"/api/models/{REPO}/tree/{REVISION}", "tree"),
    ("HEAD", rf"/{REPO}/resolve/{REVISION}/(?P<path>.+)", "resolve"),
    ("GET", rf"/{REPO}/resolve/{REVISION}/(?P<path>.+)", "resolve"),
)


@contextmanager
def serving() -> Iterator[tuple[str, State]]:
    """Serve on a free port of loopback; yield the endpoint and the state."""
    state = State()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"state": state}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
