"""`octomil.AgentSession`: the model with the client, the tools here. Its requests are its own, untouched."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from world import OWNER_KEY, World

if TYPE_CHECKING:
    from octomil.agents.session import AgentResult

FINDINGS = """## Summary
Phi-4 mini fits.
## Evidence
- 8 GB of memory
## Risks
- Confidence: 85%
## Next steps
1. Deploy to staging
"""


def ask(world: World, device: Any, key: str = OWNER_KEY) -> AgentResult:
    from octomil.agents.session import AgentSession
    from octomil.responses.responses import OctomilResponses

    responses = OctomilResponses(runtime_resolver=lambda _: device, planner_enabled=False)
    session = AgentSession(base_url=world.url, auth_token=key, responses=responses)
    return asyncio.run(session.run("deployment_advisor", "Which model fits? ✓", {"platform": "ios"}))


def tool_steps(run: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(step["name"], step["status"], step["is_error"]) for step in run["steps"] if step["kind"] == "tool_call"]


def test_session_without_tools(world: World) -> None:
    from device import Device

    device = Device(FINDINGS)
    result = ask(world, device)
    assert (result.summary, result.confidence) == ("Phi-4 mini fits.", 0.85)
    run = world.run(result.session_id)
    assert (run["status"], run["kind"], run["summary"], run["confidence"]) == (
        "completed",
        "session",
        "Phi-4 mini fits.",
        0.85,
    )
    assert run["steps"] == [] and run["completed_at"]
    # Neither is kept.
    assert "8 GB" not in json.dumps(run) and "staging" not in json.dumps(run)
    first = device.asked[0]
    assert first.messages[0].parts[0].text == "You advise on deployments."
    tools = {tool.name: json.loads(tool.parameters_schema or "null") for tool in first.tool_definitions or []}
    assert tools["get_model"]["required"] == ["model_id"]
    # A tool without arguments has a schema all the same, or the client drops it.
    assert tools["broken_tool"] == {"type": "object", "properties": {}}


def test_one_tool(world: World) -> None:
    from device import Device, call

    device = Device([call("call_1", "get_model", {"model_id": "phi-4"})], "Done.")
    result = ask(world, device)
    [content] = device.read()
    assert json.loads(content) == {
        "tool": "get_model",
        "result": {"status": 200, "body": {"id": "phi-4", "framework": "gguf"}},
    }
    run = world.run(result.session_id)
    [step] = run["steps"]
    assert (step["step_index"], step["name"], step["status"]) == (0, "get_model", "committed")
    assert step["input"] == {"model_id": "phi-4"} and step["tool_call_id"] == "call_1"
    assert (run["status"], run["summary"]) == ("completed", "Done.")


def test_ten_rounds_and_an_answer_without_tools(world: World) -> None:
    from device import Device, call

    rounds = [[call(f"call_{index}", "get_model", {"model_id": f"m{index}"})] for index in range(10)]
    device = Device(*rounds, "Enough.")
    result = ask(world, device)
    run = world.run(result.session_id)
    assert [step["step_index"] for step in run["steps"]] == list(range(10))
    assert [step["input"]["model_id"] for step in run["steps"]] == [f"m{index}" for index in range(10)]
    assert (run["status"], result.summary) == ("completed", "Enough.")
    assert len(device.asked) == 11 and not device.asked[-1].tool_definitions


def test_two_calls_of_one_turn_and_an_id_used_again(world: World) -> None:
    from device import Device, call

    device = Device(
        [call("a", "get_model", {"model_id": "one"}), call("b", "get_model", {"model_id": "two"})],
        [call("a", "get_model", {"model_id": "three"})],
        "Done.",
    )
    result = ask(world, device)
    assert ["one", "two", "three"] == [json.loads(content)["result"]["body"]["id"] for content in device.read()]
    assert len(world.run(result.session_id)["steps"]) == 3


def test_what_goes_wrong_with_a_tool_is_legible_to_the_model(world: World) -> None:
    from device import Device, call

    device = Device(
        [
            call("1", "broken_tool", {}),
            call("2", "get_model", {"model_id": 7}),
            call("3", "get_model", [1]),
            call("4", "no_such_tool", {}),
        ],
        "It failed.",
    )
    result = ask(world, device)
    # The client hides `is_error` from its model: the content has to say it.
    failed, schema, no_object, unknown = [json.loads(content) for content in device.read()]
    assert failed == {"tool": "broken_tool", "error": {"status": 500, "body": {"error": "out of order"}}}
    assert schema["tool"] == "get_model" and schema["errors"][0]["path"] == "model_id"
    assert "object" in no_object["error"]
    assert "get_model" in unknown["error"]
    run = world.run(result.session_id)
    assert tool_steps(run) == [
        ("broken_tool", "committed", True),
        ("get_model", "denied", True),
        ("get_model", "denied", True),
        ("no_such_tool", "denied", True),
    ]
    assert run["status"] == "completed"


def test_gated_tool_waits_for_a_person_and_runs_once(world: World) -> None:
    from device import Device, call

    class Approver(Device):
        """Has a person approve before the model's second turn."""

        async def run(self, request: Any) -> Any:
            if len(self.asked) == 1:
                self.asked.append(request)
                waiting = json.loads(self.read()[-1])
                assert waiting["status"] == "awaiting_approval" and waiting["tool"] == "deploy_model"
                assert world.tools.count("/deploy/gated") == 0
                path = f"/approvals/{waiting['approval_id']}/resolve"
                decision = world.ask("POST", path, {"decision": "approve", "reason": "tested"})
                assert decision.status == 200, decision
                self.asked.pop()
            return await super().run(request)

    deploy = call("call_d", "deploy_model", {"model_id": "gated"})
    device = Approver([deploy], [deploy], [deploy], "Deployed.")
    result = ask(world, device)
    waiting, done, again = [json.loads(content) for content in device.read()]
    assert waiting["status"] == "awaiting_approval"
    assert done == again and done["result"]["body"]["id"] == "gated"
    assert world.tools.count("/deploy/gated") == 1
    run = world.run(result.session_id)
    assert tool_steps(run) == [("deploy_model", "committed", False)]
    assert run["status"] == "completed"


def test_denied_tool_never_runs(world: World) -> None:
    from device import Device, call

    deploy = call("call_d", "deploy_model", {"model_id": "denied"})

    class Denier(Device):
        async def run(self, request: Any) -> Any:
            if len(self.asked) == 1:
                pending = world.ask("GET", "/approvals?status=pending").body["approvals"]
                [approval] = [it for it in pending if it["arguments"] == {"model_id": "denied"}]
                decision = {"decision": "deny", "reason": "not on a Friday"}
                assert world.ask("POST", f"/approvals/{approval['id']}/resolve", decision).status == 200
            return await super().run(request)

    device = Denier([deploy], [deploy], "Not deployed.")
    result = ask(world, device)
    assert "not on a Friday" in device.read()[-1]
    assert world.tools.count("/deploy/denied") == 0
    assert world.run(result.session_id)["status"] == "completed"


def test_abandoned_session_stays_open_until_it_is_ended(world: World) -> None:
    from device import Device, call

    device = Device([call("1", "get_model", {"model_id": "phi-4"})], RuntimeError("the battery is empty"))
    with pytest.raises(RuntimeError, match="battery"):
        ask(world, device)
    run = world.newest_run()
    assert (run["kind"], run["status"], len(run["steps"])) == ("session", "running", 1)
    assert world.ask("POST", f"/runs/{run['id']}/cancel", {"reason": "gone"}).status == 200
    late = world.ask(
        "POST", f"/sessions/{run['id']}/execute", {"tool_name": "get_model", "arguments": {}, "tool_call_id": "2"}
    )
    assert (late.status, late.body["code"]) == (409, "run_already_terminal")


@pytest.mark.parametrize("told, kept", [("850%", 1.0), ("-0.5", 0.0), ("high", None)])
def test_confidence_out_of_bounds_completes(world: World, told: str, kept: float | None) -> None:
    from device import Device

    result = ask(world, Device(f"## Summary\nDone.\n## Risks\nConfidence: {told}\n"))
    run = world.run(result.session_id)
    assert (run["status"], run["confidence"]) == ("completed", kept)


def test_unknown_key_and_agent_are_refused_before_anything_is_made(world: World) -> None:
    import httpx
    from device import Device

    with pytest.raises(httpx.HTTPStatusError) as refused:
        ask(world, Device("never"), key="oct_org_live_unknown")
    assert refused.value.response.status_code == 401
