"""Tools of two published MCP servers, one on stdio and one on streamable HTTP, in runs of the real server."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import REPOSITORY, START_S, World, calls

SERVERS = REPOSITORY / "clients" / "node" / "node_modules" / "@modelcontextprotocol"

MORE = """
[mcp.files]
command = "node"
args = ["{filesystem}", "{shared}"]
policy = "ask"

[mcp.all]
url = "http://127.0.0.1:{port}/mcp"
tools = ["echo", "get-sum", "get-tiny-image"]
trust_annotations = true
"""

AGENT = """---
agent_type: clerk
tools: [files__write_file, files__read_text_file, all__echo, all__get-sum, all__get-tiny-image]
---
You keep the files.
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class McpWorld(World):
    """The world of the other tests, with two servers of tools."""

    def start(self) -> None:
        self.shared = self.folder / "shared"
        self.shared.mkdir()
        port = free_port()
        environment = os.environ | {"PORT": str(port)}
        command = ["node", str(SERVERS / "server-everything" / "dist" / "index.js"), "streamableHttp"]
        log = open(self.folder / "everything.log", "w")
        self.everything = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.processes.append(self.everything)
        agents = self.folder / "agents"
        agents.mkdir(exist_ok=True)
        (agents / "clerk.md").write_text(AGENT)
        filesystem = SERVERS / "server-filesystem" / "dist" / "index.js"
        self.more = MORE.format(filesystem=filesystem, shared=self.shared, port=port)
        super().start()

    def offered_tools(self) -> dict[str, dict[str, str]]:
        agents = self.ask("GET", "/").body["agents"]
        clerk = next(agent for agent in agents if agent["agent_type"] == "clerk")
        return {tool["name"]: tool for tool in clerk["tools"]}

    def until_offered(self) -> dict[str, dict[str, str]]:
        deadline = time.monotonic() + START_S
        while len(tools := self.offered_tools()) < 5:
            assert time.monotonic() < deadline, (tools, (self.folder / "runyard.log").read_text())
            time.sleep(0.2)
        return tools

    def start_run(self, text: str) -> str:
        thread = self.ask("POST", "/threads", {"agent_type": "clerk"}).body["id"]
        run = self.ask("POST", f"/threads/{thread}/runs", {"input": text, "stream": False})
        assert run.status == 200, run
        return run.body["id"]


@pytest.fixture(scope="module")
def mcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpWorld]:
    world = McpWorld(tmp_path_factory.mktemp("mcp"))
    try:
        world.start()
        world.until_offered()
        yield world
    finally:
        world.stop()


def call_step(run: dict) -> dict:
    [step] = [step for step in run["steps"] if step["kind"] == "tool_call"]
    return step


def test_tools_are_offered_with_their_effects(mcp: McpWorld) -> None:
    tools = mcp.offered_tools()
    assert {name: tool["approval"] for name, tool in tools.items()} == {
        "files__write_file": "ask",
        "files__read_text_file": "ask",
        "all__echo": "auto",
        "all__get-sum": "auto",
        "all__get-tiny-image": "auto",
    }
    # Nobody said that the file server is to be believed.
    assert tools["files__read_text_file"]["effect"] == "unsafe"


def test_a_tool_over_http_is_called(mcp: McpWorld) -> None:
    mcp.play(calls("all__get-sum", {"a": 19, "b": 23}, "it is done"))
    run = mcp.until(mcp.start_run("add them"), "completed")
    assert "42" in str(call_step(run)["output"]), run


def test_a_picture_is_described(mcp: McpWorld) -> None:
    mcp.play(calls("all__get-tiny-image", {}, "it is done"))
    run = mcp.until(mcp.start_run("show it"), "completed")
    output = str(call_step(run)["output"])
    assert "bytes that are not text" in output and len(output) < 2_000, output


def test_a_gated_call_over_stdio_is_approved_from_the_terminal_and_made_once(mcp: McpWorld) -> None:
    path = mcp.shared / "note.txt"
    mcp.play(calls("files__write_file", {"path": str(path), "content": "kept"}, "it is written"))
    run_id = mcp.start_run("write it")
    run = mcp.until(run_id, "awaiting_approval")
    [approval] = run["pending_approvals"]
    assert approval["arguments"] == {"path": str(path), "content": "kept"}
    assert not path.exists()
    assert approval["id"] in mcp.command("approvals", "list")
    shown = mcp.command("approvals", "show", approval["id"])
    assert "files__write_file" in shown and str(path) in shown and "kept" in shown, shown
    mcp.command("approvals", "approve", approval["id"], "--digest", approval["arguments_digest"])
    run = mcp.until(run_id, "completed")
    assert path.read_text() == "kept"
    late = mcp.ask("POST", f"/approvals/{approval['id']}/resolve", {"decision": "deny"})
    assert (late.status, late.body["code"]) == (409, "approval_already_resolved"), late
    step = call_step(run)
    assert (step["status"], step["attempt"], step["is_error"]) == ("committed", 1, False), step


def test_a_denied_call_is_not_made(mcp: McpWorld) -> None:
    path = mcp.shared / "secret.txt"
    mcp.play(calls("files__write_file", {"path": str(path), "content": "no"}, "as you wish"))
    run_id = mcp.start_run("write it")
    [approval] = mcp.until(run_id, "awaiting_approval")["pending_approvals"]
    mcp.ask("POST", f"/approvals/{approval['id']}/resolve", {"decision": "deny", "reason": "not there"})
    run = mcp.until(run_id, "completed")
    assert not path.exists()
    assert "not there" in str(call_step(run)["output"])


def test_a_server_that_is_killed_is_started_again(mcp: McpWorld) -> None:
    found = subprocess.run(["pgrep", "-f", f"server-filesystem.*{mcp.shared}"], capture_output=True, text=True)
    pids = found.stdout.split()
    assert pids, found
    for pid in pids:
        os.kill(int(pid), 9)
    mcp.play(calls("all__echo", {"message": "still here"}, "it is done"))
    run = mcp.until(mcp.start_run("echo"), "completed")
    assert "still here" in str(call_step(run)["output"])
    path = mcp.shared / "after.txt"
    deadline = time.monotonic() + START_S
    while not path.exists():
        assert time.monotonic() < deadline
        mcp.play(calls("files__write_file", {"path": str(path), "content": "again"}, "done"))
        run_id = mcp.start_run("write it")
        [approval] = mcp.until(run_id, "awaiting_approval")["pending_approvals"]
        mcp.ask("POST", f"/approvals/{approval['id']}/resolve", {"decision": "approve"})
        mcp.until(run_id, "completed")


def test_paths_outside_the_folder_are_the_servers_to_refuse(mcp: McpWorld, tmp_path: Path) -> None:
    path = tmp_path / "outside.txt"
    mcp.play(calls("files__write_file", {"path": str(path), "content": "x"}, "it is over"))
    run_id = mcp.start_run("write it")
    [approval] = mcp.until(run_id, "awaiting_approval")["pending_approvals"]
    mcp.ask("POST", f"/approvals/{approval['id']}/resolve", {"decision": "approve"})
    step = call_step(mcp.until(run_id, "completed"))
    assert step["is_error"] and not path.exists(), step
