"""The official `openai` SDK where the server runs the tools: whole, streamed, behind an approval, across a kill."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from test_openai import client
from world import START_S, World, calls

SERVER: dict[str, Any] = {"extra_body": {"tool_execution": "server"}}


def approve(world: World, response: Any) -> None:
    path = f"/approvals/{response.metadata['approval_ids']}/resolve"
    assert world.ask("POST", path, {"decision": "approve"}).status == 200


def test_whole(world: World) -> None:
    world.play(calls("get_model", {"model_id": "phi-4"}, "It is gguf."))
    session = world.session()
    sdk = client(world, session)
    response = sdk.responses.create(model="tiny", input="Which framework?", **SERVER)
    call, message = response.output
    assert (response.status, response.output_text, message.type) == ("completed", "It is gguf.", "message")
    assert call.type == "mcp_call" and call.status == "completed" and call.error is None
    assert (call.server_label, call.name, json.loads(call.arguments)) == ("runyard", "get_model", {"model_id": "phi-4"})
    assert json.loads(call.output or "")["result"]["body"]["framework"] == "gguf"
    run = world.run(session["session_id"])
    assert [step["kind"] for step in run["steps"]] == ["model_turn", "tool_call", "model_turn"]
    assert response.usage and response.usage.output_tokens == run["usage"]["output_tokens"]
    world.play({"otherwise": {"parts": [{"text": ["On."]}]}})
    more = sdk.responses.create(model="tiny", input="And?", previous_response_id=response.id)
    assert more.output_text == "On."
    roles = [message["role"] for message in world.asked()[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


def test_raw_stream(world: World) -> None:
    world.play(calls("get_model", {"model_id": "phi-4"}, "It is gguf."))
    with client(world, world.session()).responses.create(model="tiny", input="Go.", stream=True, **SERVER) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    names = [event.type for event in events]
    assert names[:8] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.mcp_call.in_progress",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.completed",
        "response.output_item.done",
    ]
    last = events[-1]
    assert last.type == "response.completed" and last.response.output_text == "It is gguf."
    assert {event.response.id for event in events if hasattr(event, "response")} == {last.response.id}


def test_stream_helper(world: World) -> None:
    world.play(calls("broken_tool", {}, "It is out of order."))
    with client(world, world.session()).responses.stream(model="tiny", input="Go.", **SERVER) as stream:
        said = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        response = stream.get_final_response()
    assert said == response.output_text == "It is out of order."
    [call, _] = response.output
    assert call.type == "mcp_call" and call.status == "failed"
    assert call.error.type == "mcp_tool_execution_error" and "500" in call.error.content[0]["text"]


@pytest.mark.parametrize("streamed", [False, True])
def test_gated_tool_ends_the_response_as_an_mcp_approval_does(world: World, streamed: bool) -> None:
    model = f"served-{streamed}"
    world.play(calls("deploy_model", {"model_id": model}, "Deployed."))
    sdk = client(world, world.session())

    def turn(**more: Any) -> Any:
        if streamed:
            with sdk.responses.stream(model="tiny", **more, **SERVER) as stream:
                return stream.get_final_response()
        return sdk.responses.create(model="tiny", **more, **SERVER)

    waiting = turn(input="Deploy.")
    [asked] = waiting.output
    assert waiting.status == "completed" and asked.type == "mcp_approval_request"
    assert (asked.name, json.loads(asked.arguments)) == ("deploy_model", {"model_id": model})
    still = turn(input=[], previous_response_id=waiting.id)
    assert still.output[0].id == asked.id and world.tools.count(f"/deploy/{model}") == 0
    approve(world, waiting)
    deployed = turn(input=[], previous_response_id=waiting.id)
    assert deployed.output_text == "Deployed." and deployed.output[0].type == "mcp_call"
    assert world.tools.count(f"/deploy/{model}") == 1 and len(world.asked()) == 2


def test_refusals_have_the_code_that_the_sdk_reads(world: World) -> None:
    sdk = client(world, world.session())
    with pytest.raises(openai.NotFoundError) as refused:
        sdk.responses.create(model="tiny", input="hi", previous_response_id="resp_x")
    assert refused.value.code == "previous_response_not_found"
    with pytest.raises(openai.UnprocessableEntityError) as invalid:
        sdk.responses.create(model="tiny", input=[], **SERVER)
    assert (invalid.value.code, invalid.value.param) == ("validation_error", "input")


def test_killed_server_goes_on_where_it_was(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        world.start()
        world.tools.release.clear()
        world.play(calls("slow_tool", {}, "At last."))
        session = world.session()

        def turn() -> Any:
            sdk = client(world, session)
            key = {"Idempotency-Key": "deploy-1"}
            with sdk.responses.create(model="tiny", input="Go.", stream=True, extra_headers=key, **SERVER) as stream:
                return list(stream)[-1].response

        def cut_off() -> None:
            with pytest.raises(Exception):
                turn()

        cut = threading.Thread(target=cut_off)
        cut.start()
        deadline = time.monotonic() + START_S
        while not world.tools.count("/slow"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        world.kill_server()
        cut.join()
        world.tools.release.set()
        world.serve()
        response = turn()
        assert response.output_text == "At last."
        # The model was asked once before the kill and once after it; the tool may be repeated, as its effect says.
        assert len(world.asked()) == 2 and world.tools.count("/slow") <= 2
        kinds = [step["kind"] for step in world.run(session["session_id"])["steps"]]
        assert kinds == ["model_turn", "tool_call", "model_turn"]
        assert turn().id == response.id and len(world.asked()) == 2
    finally:
        world.stop()
