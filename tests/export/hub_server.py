"""A stand-in for the Hugging Face Hub: the few of its endpoints that a model file takes, on this machine alone.

It keeps one version of each file, hands out everything to everybody, and counts the bytes that it sent.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass
class Hub:
    """What the stand-in holds: {repository: {file: content}}, who may see it, and what was asked."""

    url: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def commit(self, repo: str) -> str:
        """The repository's commit: a hash of what it holds."""
        return hashlib.sha1(repr(sorted(self.files[repo].items())).encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, document: Any, status: int = 200, **headers: str) -> None:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _missing(self, what: str) -> None:
        self._answer({"error": f"{what} not found"}, 404, X_Error_Code=f"{what}NotFound", X_Error_Message="not found")

    def do_POST(self) -> None:
        self.hub.asked.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        words = self.path.strip("/").split("/")
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            repo = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
            if repo in self.hub.files:
                self._answer({"error": "exists", "url": f"{self.hub.url}/{repo}"}, 409)
                return
            self.hub.files[repo] = {}
            self.hub.private[repo] = bool(asked.get("private")) or asked.get("visibility") == "private"
            self._answer({"url": f"{self.hub.url}/{repo}", "name": repo, "id": repo})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif words[4] == "preupload":
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            self._answer({"files": [file | {"shouldIgnore": False} for file in files]})
        else:
            repo = "/".join(words[2:4])
            for line in map(json.loads, body.decode().splitlines()):
                if line["key"] == "file":
                    self.hub.files[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            oid = self.hub.commit(repo)
            self._answer({"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{repo}/commit/{oid}"})

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        words = [unquote(word) for word in self.path.split("?")[0].strip("/").split("/")]
        api = words[0] == "api"
        repo = "/".join(words[2:4] if api else words[:2])
        if repo not in self.hub.files:
            self._missing("Repo")
        elif api and "tree" in words:
            files = self.hub.files[repo].items()
            self._answer([{"type": "file", "path": name, "size": len(content), "oid": "0"} for name, content in files])
        elif api:
            siblings = [{"rfilename": name} for name in self.hub.files[repo]]
            self._answer({"id": repo, "sha": self.hub.commit(repo), "siblings": siblings, "tags": [], "private": False})
        elif (content := self.hub.files[repo].get("/".join(words[4:]))) is None:
            self._missing("Entry")
        else:
            tag = hashlib.sha256(content).hexdigest()
            self._answer(content, ETag=f'"{tag}"', X_Repo_Commit=self.hub.commit(repo))

    def do_HEAD(self) -> None:
        self.do_GET()


@contextmanager
def hub_server() -> Generator[Hub]:
    """A stand-in that serves as long as the block lasts; its `url` is what $HF_ENDPOINT has to be."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
