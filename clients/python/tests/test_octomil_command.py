"""`octomil agent`, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from world import OWNER_KEY, World

WITH_DEVICE = Path(__file__).with_name("octomil_with_device.py")


def octomil(world: World, *command: str, turns: list[Any] | None = None) -> subprocess.CompletedProcess[str]:
    arguments = ["agent", "deployment-advisor", "Which model fits?", "--api-url", world.url]
    environment = os.environ | {"OCTOMIL_API_KEY": OWNER_KEY, "PYTHONPATH": str(WITH_DEVICE.parent)}
    if turns is not None:
        environment["DEVICE_TURNS"] = json.dumps(turns)
    return subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=120)


def test_command_completes_a_session(world: World) -> None:
    said = octomil(world, sys.executable, str(WITH_DEVICE))
    assert said.returncode == 0, said.stderr
    assert "Phi-4 mini fits." in said.stdout and "90%" in said.stdout and "Deploy to staging" in said.stdout
    run = world.newest_run()
    assert run["id"] in said.stdout
    assert (run["status"], run["summary"], run["confidence"]) == ("completed", "Phi-4 mini fits.", 0.9)
    assert [step["name"] for step in run["steps"]] == ["get_model"]


LOOK = [[f"call_{index}", "get_model", {"model_id": f"m{index}"}] for index in range(10)]


@pytest.mark.parametrize(
    "turns, steps",
    [
        (["Nothing to look up."], []),
        ([*[[call] for call in LOOK], "Enough."], [("get_model", "committed", False)] * 10),
        ([[["1", "broken_tool", {}]], "It failed."], [("broken_tool", "committed", True)]),
        (
            [[["1", "deploy_model", {"model_id": "by-command"}]], "It waits."],
            [("deploy_model", "failed_before_effect", True)],
        ),
    ],
    ids=["no tool", "ten rounds", "failing tool", "gated tool"],
)
def test_command_shows_each_step(world: World, turns: list[Any], steps: list[tuple[str, str, bool]]) -> None:
    said = octomil(world, sys.executable, str(WITH_DEVICE), turns=turns)
    assert said.returncode == 0, said.stderr
    run = world.newest_run()
    assert (run["status"], run["summary"]) == ("completed", turns[-1])
    assert [(step["name"], step["status"], step["is_error"]) for step in run["steps"]] == steps
    assert world.tools.count("/deploy/by-command") == 0 and run["pending_approvals"] == []


def test_command_without_an_engine_leaves_a_session_that_can_be_ended(world: World) -> None:
    said = octomil(world, str(Path(sys.executable).with_name("octomil")))
    assert said.returncode == 1 and "NoRuntimeAvailableError" in said.stderr
    run = world.newest_run()
    assert (run["kind"], run["status"], run["steps"]) == ("session", "running", [])
    assert world.ask("POST", f"/runs/{run['id']}/cancel").body["status"] == "cancelled"
