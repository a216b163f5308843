"""The real server, a scripted model and a tool server, each started for the tests and ended with them."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
OWNER_KEY = "ry_owner_of_the_client_tests"
START_S = 120

# Read once: the tests clear the environment, and some start another server after that.
PROGRAMS = Path(os.environ.get("RUNYARD_PROGRAMS", str(REPOSITORY / "target" / "debug")))

CONFIG = """
allowed_origins = ["https://app.example.com"]
agents = "agents"

[[lanes]]
name = "beside"
kind = "local"
wire = "openai-chat"
base_url = "{model}/v1"
models = ["tiny"]

[egress]
allow_private = ["127.0.0.1:{port}"]

[tools.get_model]
kind = "http"
description = "A model by its id."
url = "http://127.0.0.1:{port}/models/{{model_id}}"
effect = "idempotent"
input_schema = {{ type = "object", properties = {{ model_id = {{ type = "string" }} }}, required = ["model_id"] }}

[tools.broken_tool]
kind = "http"
description = "Always fails."
url = "http://127.0.0.1:{port}/broken"
effect = "idempotent"

[tools.slow_tool]
kind = "http"
description = "Answers after a long time."
url = "http://127.0.0.1:{port}/slow"
effect = "idempotent"
timeout_s = 60

[tools.deploy_model]
kind = "http"
description = "Deploys a model."
method = "POST"
url = "http://127.0.0.1:{port}/deploy/{{model_id}}"
policy = "ask"
input_schema = {{ type = "object", properties = {{ model_id = {{ type = "string" }} }}, required = ["model_id"] }}
"""

AGENT = """---
agent_type: deployment_advisor
tools: [get_model, broken_tool, slow_tool, deploy_model]
---
You advise on deployments.
"""


def program(name: str) -> Path:
    """A program of this repository: where the environment says, else where cargo leaves it."""
    path = PROGRAMS / name
    if not path.is_file():
        raise RuntimeError(f"{path} is missing; this makes it: cargo build -p server -p scripted --bins")
    return path


def clean_environment(folder: Path) -> dict[str, str]:
    """The environment without what would lead a program to somebody's real model, key or settings."""
    foreign = ("OPENAI", "ANTHROPIC", "GEMINI", "GOOGLE", "OLLAMA", "RUNYARD", "OCTOMIL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}


class Tools(ThreadingHTTPServer):
    """What the server's HTTP tools call. It keeps every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[str] = []
        self.release = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def count(self, path: str) -> int:
        return self.seen.count(path)


class Handler(BaseHTTPRequestHandler):
    server: Tools

    def answer(self) -> None:
        self.server.seen.append(self.path)
        status, body = 200, {"id": self.path.rsplit("/", 1)[-1], "framework": "gguf"}
        if self.path == "/broken":
            status, body = 500, {"error": "out of order"}
        if self.path == "/slow":
            self.server.release.wait(50)
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = answer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer()

    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class World:
    folder: Path
    tools: Tools = field(default_factory=Tools)
    url: str = ""
    model_url: str = ""
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    more: str = ""
    """Added to the configuration."""

    def start(self) -> None:
        self.model_url = self.spawn([str(program("scripted-model"))], "http://")
        agents = self.folder / "agents"
        agents.mkdir(exist_ok=True)
        (agents / "deployment_advisor.md").write_text(AGENT)
        config = self.folder / "runyard.toml"
        config.write_text(CONFIG.format(model=self.model_url, port=self.tools.server_port) + self.more)
        self.serve()

    def serve(self) -> None:
        """Starts the server, also again on the data of one that was killed."""
        command = [str(program("runyard")), "serve", "--listen", "127.0.0.1:0"]
        command += ["--data", str(self.folder / "data"), "--config", str(self.folder / "runyard.toml")]
        self.url = self.spawn(command, "is ready at ")

    def kill_server(self) -> None:
        """SIGKILL: nothing is put in order."""
        server = self.processes.pop()
        server.kill()
        server.wait(START_S)

    def spawn(self, command: list[str], before: str) -> str:
        """Starts a program and reads its address, which follows `before` on a line of its output."""
        environment = clean_environment(self.folder) | {"RUNYARD_OWNER_KEY": OWNER_KEY}
        log = open(self.folder / f"{Path(command[0]).name}.log", "w")
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder
        )
        self.processes.append(process)
        timer = threading.Timer(START_S, process.kill)
        timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            if before in line:
                timer.cancel()
                address = line[line.index("http://") :].split()[0]
                threading.Thread(target=process.stdout.read, daemon=True).start()
                return address
        raise RuntimeError(f"{command[0]} did not start:\n" + Path(log.name).read_text())

    def command(self, *arguments: str) -> str:
        """What a command of the program prints that asks the running server."""
        target = ["--url", self.url, "--key", OWNER_KEY]
        said = subprocess.run(
            [str(program("runyard")), *arguments, *target],
            env=clean_environment(self.folder),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=START_S,
        )
        assert said.returncode == 0, said
        return said.stdout

    def stop(self) -> None:
        self.tools.release.set()
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(START_S)
        self.tools.shutdown()

    def ask(self, method: str, path: str, body: Any = None, key: str = OWNER_KEY, **headers: str) -> Answer:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} | headers
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1/agents{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                raw, status, said = answer.read(), answer.status, answer.headers
        except urllib.error.HTTPError as refused:
            raw, status, said = refused.read(), refused.code, refused.headers
        lower = {name.lower(): value for name, value in said.items()}
        return Answer(status, lower, json.loads(raw) if raw else None)

    def session(self, **more: Any) -> dict[str, Any]:
        begin = {"agent_type": "deployment_advisor", "query": "Which model?", "context": {}} | more
        if "client" not in more:
            # A client that says nothing of its device is taken to run its own model.
            begin |= {"lane": "beside"}
        answer = self.ask("POST", "/sessions", begin)
        assert answer.status == 200, answer
        return answer.body

    def run(self, run: str) -> dict[str, Any]:
        answer = self.ask("GET", f"/runs/{run}")
        assert answer.status == 200, answer
        return answer.body

    def newest_run(self) -> dict[str, Any]:
        runs = self.ask("GET", "/runs?limit=1").body["runs"]
        return self.run(runs[0]["id"])

    def until(self, run: str, status: str) -> dict[str, Any]:
        """The run once it is in this state; the server says nothing by itself of a session that nobody watches."""
        deadline = time.monotonic() + START_S
        while (now := self.run(run))["status"] != status:
            assert time.monotonic() < deadline, now
            time.sleep(0.1)
        return now

    def play(self, script: dict[str, Any]) -> None:
        """What the scripted model answers from here on; its memory of requests begins anew."""
        for method, path, data in [("DELETE", "__requests", None), ("POST", "__script", json.dumps(script))]:
            request = urllib.request.Request(
                f"{self.model_url}/{path}", data.encode() if data else None, method=method
            )
            urllib.request.urlopen(request, timeout=10).read()

    def asked(self) -> list[dict[str, Any]]:
        """The bodies of what the scripted model was asked since `play`."""
        with urllib.request.urlopen(f"{self.model_url}/__requests", timeout=10) as answer:
            return [request["body"] for request in json.load(answer) if request["wire"]]


def says(*tokens: str) -> dict[str, Any]:
    return {"otherwise": {"parts": [{"text": list(tokens)}]}}


def calls(name: str, arguments: Any, then: str) -> dict[str, Any]:
    """The model calls a tool, and after its result says `then`."""
    return {
        "rules": [{"when": {"tool_result": True}, "reply": {"parts": [{"text": [then]}]}}],
        "otherwise": {"parts": [{"tool_call": {"name": name, "arguments": arguments}}]},
    }
