"""A fake Hub on loopback that speaks the protocol of the real one, with private repositories, tokens and faults.

Only what the clients ask for when they create, read and write models and data sets; see huggingface_hub's `hf_api.py`,
`_commit_api.py` and `lfs.py` for the other side. Repositories live in memory.
"""

import base64
import hashlib
import json
import re
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

LFS_ENDINGS = (".safetensors", ".onnx", ".png", ".parquet", ".arrow", ".bin", ".npz", ".wav", ".html")
LICENSES = ["mit", "apache-2.0", "cc0-1.0", "cc-by-4.0", "other"]
SDKS = ("gradio", "docker", "static")


class Cut(Exception):
    """The connection ends here, without an answer."""


class Refusal(Exception):
    """An answer that is an error: status, the Hub's error code, a message."""

    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = {"X-Error-Message": message, "X-Error-Code": code} | headers


@dataclass
class Commit:
    """Path -> (content, is LFS)."""

    oid: str
    title: str
    files: dict[str, tuple[bytes, bool]]


@dataclass
class Repo:
    """One repository; `refs` are its branches and tags."""

    kind: str
    id: str
    private: bool = False
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, title: str, files: dict[str, tuple[bytes, bool]]) -> Commit:
        """Put a commit on main."""
        commit = Commit(hashlib.sha1(uuid.uuid4().bytes).hexdigest(), title, files)
        self.commits.append(commit)
        self.refs["main"] = commit.oid
        return commit

    def at(self, revision: str) -> Commit:
        """The commit of a branch, a tag or a hash."""
        oid = self.refs.get(revision, revision)
        for commit in self.commits:
            if commit.oid == oid:
                return commit
        raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    @property
    def files(self) -> dict[str, bytes]:
        """The files of main."""
        return {path: content for path, (content, _) in self.commits[-1].files.items()}


class Hub:
    """The server; `url` is its address, `tokens` says who a token is and what it may do."""

    def __init__(self) -> None:
        self.tokens: dict[str, tuple[str, str]] = {}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.tickets: dict[str, str] = {}
        self.log: list[tuple[str, str]] = []
        self.lock = threading.RLock()
        self.arm(None)
        hub = self

        class Bound(Handler):
            server_hub = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def arm(self, fault: Callable[[int, str, str], str | int | None] | None) -> None:
        """From now on `fault(number of the request, method, path)`: cut, lost, half, a status, or None."""
        with self.lock:
            self.log, self.fault = [], fault or (lambda number, method, path: None)

    def add(self, repo_id: str, files: dict[str, bytes], kind: str = "models", **settings: bool) -> Repo:
        """A new repository with one commit."""
        repo = self.repos[kind, repo_id] = Repo(kind, repo_id, **settings)
        repo.commit("initial commit", {path: (content, path.endswith(LFS_ENDINGS)) for path, content in files.items()})
        return repo


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""

    def _serve(self) -> None:
        hub, (raw, _, query) = self.server_hub, self.path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query))
        self.body = self._read_body()
        with hub.lock:
            hub.log.append((self.command, raw))
            fault = hub.fault(len(hub.log) - 1, self.command, raw)
        try:
            if fault == "cut":
                raise Cut
            if isinstance(fault, int):
                raise Refusal(fault, "", "too many requests" if fault == 429 else "something broke")
            status, answer, headers = self._dispatch(raw)
            if fault == "lost":
                raise Cut
            self._answer(status, answer, headers, half=fault == "half")
        except Cut:
            self.close_connection = True
            self.connection.close()
        except Refusal as refusal:
            headers = {name.replace("_", "-"): value for name, value in refusal.headers.items() if value}
            self._answer(refusal.status, {"error": refusal.message}, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _dispatch(self, raw: str) -> tuple[int, Any, dict[str, str]]:
        for method, pattern, action in ROUTES:
            match = re.fullmatch(pattern, raw)
            if match and self.command in method.split():
                with self.server_hub.lock:
                    return action(self, *(urllib.parse.unquote(g) if g else g for g in match.groups()))
        raise Refusal(404, "", f"no route {self.command} {raw}")

    def _answer(self, status: int, answer: Any, headers: dict[str, str], half: bool = False) -> None:
        if isinstance(answer, Iterator):
            self._stream(status, answer, headers)
            return
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if half:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
        elif self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self, status: int, parts: Iterator[bytes], headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Transfer-Encoding": "chunked"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def user(self) -> tuple[str, str] | None:
        """Name and role that the request's token stands for."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.server_hub.tokens:
            raise Refusal(401, "", "Invalid credentials in Authorization header")
        return self.server_hub.tokens.get(token)

    def repo(self, kind: str, repo_id: str, write: bool = False) -> Repo:
        """The repository, if the user may see it, or write it."""
        user, repo = self.user(), self.server_hub.repos.get((kind, repo_id))
        owned = user is not None and repo_id.startswith(f"{user[0]}/")
        if repo is None or (repo.private and not owned):
            raise Refusal(404 if user else 401, "RepoNotFound", "Repository not found")
        if write and not (owned and user and user[1] == "write"):
            raise Refusal(403, "", "You don't have the rights to write here: the token lacks the write role")
        return repo

    def readable(self, kind: str, repo_id: str) -> Repo:
        """The repository, if its files may be read."""
        repo = self.repo(kind, repo_id)
        user = self.user()
        if repo.gated and not (user and repo_id.startswith(f"{user[0]}/")):
            raise Refusal(403 if user else 401, "GatedRepo", f"Access to {repo_id} is restricted, ask for it")
        return repo


def _whoami(handler: Handler) -> tuple[int, Any, dict[str, str]]:
    user = handler.user()
    if user is None:
        raise Refusal(401, "", "Invalid username or password.")
    token = {"displayName": "test", "role": user[1]}
    known = {"type": "user", "id": "1", "name": user[0], "fullname": user[0], "email": "", "emailVerified": True}
    more = {"isPro": False, "canPay": False, "orgs": [], "auth": {"type": "access_token", "accessToken": token}}
    return 200, known | more, {}


def _create(handler: Handler) -> tuple[int, Any, dict[str, str]]:
    wanted, user, hub = json.loads(handler.body), handler.user(), handler.server_hub
    if user is None:
        raise Refusal(401, "", "Invalid username or password.")
    owner, kind = wanted.get("organization") or user[0], f"{wanted.get('type') or 'model'}s"
    repo_id = f"{owner}/{wanted['name']}"
    place = "" if kind == "models" else f"{kind}/"
    answer = {"url": f"{hub.url}/{place}{repo_id}", "name": repo_id, "id": "1"}
    if (kind, repo_id) in hub.repos:
        return 409, answer | {"error": "You already created this repo"}, {}
    if owner != user[0] or user[1] != "write":
        raise Refusal(403, "", f"You don't have the rights to create a model under the namespace '{owner}'")
    if kind == "spaces" and wanted.get("sdk") not in SDKS:
        raise Refusal(400, "", "a Space needs an sdk")
    private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
    hub.repos[kind, repo_id] = Repo(kind, repo_id, private=private)
    hub.repos[kind, repo_id].commit("initial commit", {".gitattributes": (b"", False)})
    return 200, answer, {}


def _validate(handler: Handler) -> tuple[int, Any, dict[str, str]]:
    if "json" in handler.headers.get("Content-Type", ""):
        form = json.loads(handler.body)
    else:
        form = dict(urllib.parse.parse_qsl(handler.body.decode()))
    content = form["content"]
    try:
        head = yaml.safe_load(content.split("---")[1]) if content.startswith("---") else {}
    except yaml.YAMLError as error:
        return 400, {"errors": [{"message": str(error)}], "warnings": []}, {}
    wrong = [] if isinstance(head, dict) else [{"message": "the metadata is no mapping"}]
    if not wrong and head.get("license", "mit") not in LICENSES:
        wrong += [{"message": f'"license" must be one of {LICENSES}'}]
    if form.get("repoType") == "space" and not wrong:
        wrong += [{"message": '"sdk" must be one of the SDKs'}] * (head.get("sdk") not in SDKS)
        wrong += [{"message": '"short_description" is too long'}] * (len(head.get("short_description", "")) > 60)
    return (400 if wrong else 200), {"errors": wrong, "warnings": []}, {}


def _blob(content: bytes, lfs: bool) -> dict[str, Any]:
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if not lfs:
        return {"oid": oid, "size": len(content)}
    sha = hashlib.sha256(content).hexdigest()
    return {"oid": oid, "size": len(content), "lfs": {"oid": sha, "size": len(content), "pointerSize": 130}}


def _info(handler: Handler, kind: str, repo_id: str, revision: str | None) -> tuple[int, Any, dict[str, str]]:
    repo = handler.repo(kind, repo_id)
    commit = repo.at(revision or "main")
    siblings = []
    for path, (content, lfs) in sorted(commit.files.items()):
        blob = _blob(content, lfs)
        more = {"size": blob["size"], "blobId": blob["oid"]} if "blobs" in handler.query else {}
        if more and lfs:
            more["lfs"] = {"size": blob["size"], "sha256": blob["lfs"]["oid"], "pointerSize": 130}
        siblings.append({"rfilename": path} | more)
    readme = commit.files.get("README.md", (b"", False))[0].decode()
    card = yaml.safe_load(readme.split("---")[1]) if readme.startswith("---") else {}
    known = {"_id": "1", "id": repo_id, "modelId": repo_id, "author": repo_id.partition("/")[0], "sha": commit.oid}
    dates = dict.fromkeys(("createdAt", "lastModified"), "2026-01-01T00:00:00.000Z")
    state = {"private": repo.private, "gated": "manual" if repo.gated else False, "disabled": False}
    rest = {"downloads": 0, "likes": 0, "tags": card.get("tags", []), "cardData": card, "siblings": siblings}
    return 200, known | dates | state | rest | {"library_name": None, "pipeline_tag": card.get("pipeline_tag")}, {}


def _tree(
    handler: Handler, kind: str, repo_id: str, revision: str, under: str | None
) -> tuple[int, Any, dict[str, str]]:
    commit = handler.readable(kind, repo_id).at(revision)
    prefix = f"{under.rstrip('/')}/" if under else ""
    inside = {path: blob for path, blob in commit.files.items() if path.startswith(prefix)}
    if under and not inside:
        raise Refusal(404, "EntryNotFound", f"{under} does not exist on {revision}")
    recursive = handler.query.get("recursive", "").lower() == "true"
    rows, folders = [], set()
    for path, (content, lfs) in sorted(inside.items()):
        parts = path.removeprefix(prefix).split("/")
        folders |= {prefix + "/".join(parts[:n]) for n in range(1, len(parts) if recursive else min(len(parts), 2))}
        if recursive or len(parts) == 1:
            rows.append({"type": "file", "path": path} | _blob(content, lfs) | _last(handler, commit))
    rows += [
        {"type": "directory", "path": p, "oid": "0" * 40, "size": 0} | _last(handler, commit) for p in sorted(folders)
    ]
    return 200, rows, {}


def _last(handler: Handler, commit: Commit) -> dict[str, Any]:
    if handler.query.get("expand", "").lower() != "true":
        return {}
    last = {"id": commit.oid, "title": commit.title, "date": "2026-01-01T00:00:00.000Z"}
    return {"lastCommit": last, "securityFileStatus": {"status": "unscanned"}}


def _paths(handler: Handler, kind: str, repo_id: str, revision: str) -> tuple[int, Any, dict[str, str]]:
    commit = handler.readable(kind, repo_id).at(revision)
    form = urllib.parse.parse_qs(handler.body.decode())
    asked = form.get("paths") or (json.loads(handler.body)["paths"] if handler.body.startswith(b"{") else [])
    rows = [{"type": "file", "path": p} | _blob(*commit.files[p]) for p in asked if p in commit.files]
    folders = [p for p in asked if any(path.startswith(f"{p}/") for path in commit.files)]
    return 200, rows + [{"type": "directory", "path": p, "oid": "0" * 40, "size": 0} for p in folders], {}


def _preupload(handler: Handler, kind: str, repo_id: str, revision: str) -> tuple[int, Any, dict[str, str]]:
    commit = handler.repo(kind, repo_id, write=True).at(revision)
    answer = []
    for file in json.loads(handler.body)["files"]:
        lfs = file["path"].endswith(LFS_ENDINGS) or file["size"] > 100_000
        old = commit.files.get(file["path"])
        blob = _blob(*old) if old else {}
        oid = blob["lfs"]["oid"] if "lfs" in blob else blob.get("oid")
        mode = {"uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, "oid": oid}
        answer.append({"path": file["path"]} | mode)
    return 200, {"files": answer}, {}


def _batch(handler: Handler, place: str | None, repo_id: str) -> tuple[int, Any, dict[str, str]]:
    hub = handler.server_hub
    handler.repo((place or "models/").rstrip("/"), repo_id, write=True)
    objects = []
    for wanted in json.loads(handler.body)["objects"]:
        known = {"oid": wanted["oid"], "size": wanted["size"], "authenticated": True}
        if wanted["oid"] not in hub.blobs:
            ticket = uuid.uuid4().hex
            hub.tickets[ticket] = wanted["oid"]
            known["actions"] = {"upload": {"href": f"{hub.url}/_lfs/{ticket}", "header": {}}}
        objects.append(known)
    return 200, {"transfer": "basic", "objects": objects}, {}


def _put(handler: Handler, ticket: str) -> tuple[int, Any, dict[str, str]]:
    hub = handler.server_hub
    sha = hashlib.sha256(handler.body).hexdigest()
    if hub.tickets.get(ticket) != sha:
        raise Refusal(400, "", "the bytes are not those that were announced")
    hub.blobs[sha] = handler.body
    return 200, {}, {}


def _commit(handler: Handler, kind: str, repo_id: str, revision: str) -> tuple[int, Any, dict[str, str]]:
    hub, repo = handler.server_hub, handler.repo(kind, repo_id, write=True)
    entries = [json.loads(line) for line in handler.body.splitlines() if line.strip()]
    header = entries[0]["value"]
    before = repo.at(revision)
    if header.get("parentCommit") not in (None, before.oid):
        raise Refusal(412, "", "A commit has happened since. Please refresh and try again.")
    files = dict(before.files)
    for entry in entries[1:]:
        value = entry["value"]
        if entry["key"] == "file":
            files[value["path"]] = (base64.b64decode(value["content"]), False)
        elif entry["key"] == "lfsFile":
            if value["oid"] not in hub.blobs:
                raise Refusal(400, "", f"LFS object {value['oid']} is not there")
            files[value["path"]] = (hub.blobs[value["oid"]], True)
        elif entry["key"] == "deletedFile":
            files.pop(value["path"], None)
        elif entry["key"] == "deletedFolder":
            files = {p: blob for p, blob in files.items() if not p.startswith(value["path"].rstrip("/") + "/")}
    commit = repo.commit(header["summary"], files)
    place = "" if kind == "models" else f"{kind}/"
    url = f"{hub.url}/{place}{repo_id}/commit/{commit.oid}"
    return 200, {"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""}, {}


def _resolve(
    handler: Handler, place: str | None, repo_id: str, revision: str, path: str
) -> tuple[int, Any, dict[str, str]]:
    commit = handler.readable((place or "models/").rstrip("/"), repo_id).at(revision)
    if path not in commit.files:
        # With the commit, so that clients remember the absence.
        raise Refusal(404, "EntryNotFound", f"{path} does not exist", X_Repo_Commit=commit.oid)
    content, lfs = commit.files[path]
    blob = _blob(content, lfs)
    etag = blob["lfs"]["oid"] if lfs else blob["oid"]
    headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
    if lfs:
        headers |= {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{etag}"'}
    if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", "")):
        first, last = int(asked[1]), int(asked[2] or len(content) - 1)
        part = content[first : last + 1]
        return 206, part, headers | {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(content)}"}
    return 200, content, headers


_KIND, _ID, _REV = r"(models|datasets|spaces)", r"([^/]+/[^/]+?)", r"([^/]+)"
ROUTES: list[tuple[str, str, Callable[..., tuple[int, Any, dict[str, str]]]]] = [
    ("GET", r"/api/whoami-v2", _whoami),
    ("POST", r"/api/repos/create", _create),
    ("POST", r"/api/validate-yaml", _validate),
    ("GET", rf"/api/{_KIND}/{_ID}(?:/revision/{_REV})?", _info),
    ("GET", rf"/api/{_KIND}/{_ID}/tree/{_REV}(?:/(.*))?", _tree),
    ("POST", rf"/api/{_KIND}/{_ID}/paths-info/{_REV}", _paths),
    ("POST", rf"/api/{_KIND}/{_ID}/preupload/{_REV}", _preupload),
    ("POST", rf"/(datasets/|spaces/)?{_ID}\.git/info/lfs/objects/batch", _batch),
    ("PUT", r"/_lfs/(\w+)", _put),
    ("POST", rf"/api/{_KIND}/{_ID}/commit/{_REV}", _commit),
    ("GET HEAD", rf"/(datasets/|spaces/)?{_ID}/resolve/{_REV}/(.+)", _resolve),
]
