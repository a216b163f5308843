"""The official `openai` SDK with the session as base URL and its token as key: turns, streams, tool loops, chains."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from world import OWNER_KEY, World, calls, says


def client(world: World, session: dict[str, Any], key: str | None = None) -> openai.OpenAI:
    base = f"{world.url}/api/v1/agents/sessions/{session['session_id']}"
    return openai.OpenAI(base_url=base, api_key=key or session["session_token"], max_retries=0)


def history(world: World) -> list[list[str]]:
    """What the model was shown, turn by turn, without the system prompt."""
    return [[message["content"] for message in body["messages"][1:]] for body in world.asked()]


def test_turn(world: World) -> None:
    world.play(says("Phi-4 ", "mini."))
    session = world.session()
    response = client(world, session).responses.create(model="tiny", input="Which?", metadata={"a": "b"})
    assert response.output_text == "Phi-4 mini."
    assert (response.status, response.model, response.object) == ("completed", "tiny", "response")
    assert response.metadata == {"a": "b"} and response.previous_response_id is None
    usage = response.usage
    assert usage and usage.total_tokens == usage.input_tokens + usage.output_tokens > 0
    assert usage.input_tokens_details.cached_tokens == usage.output_tokens_details.reasoning_tokens == 0
    [asked] = world.asked()
    assert asked["messages"][0] == {"role": "system", "content": "You advise on deployments."}
    assert {tool["function"]["name"] for tool in asked["tools"]} >= {"get_model", "deploy_model"}
    run = world.run(session["session_id"])
    [step] = run["steps"]
    assert (step["kind"], step["status"]) == ("model_turn", "completed")
    assert run["status"] == "running" and run["usage"]["output_tokens"] == usage.output_tokens


def test_raw_stream_is_in_the_order_that_the_sdk_knows(world: World) -> None:
    world.play(says("one ", "two ", "three"))
    with client(world, world.session()).responses.create(model="tiny", input="Count.", stream=True) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    names = [event.type for event in events]
    assert names[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert names[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert set(names[4:-4]) == {"response.output_text.delta"}
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "one two three"
    last = events[-1]
    assert last.type == "response.completed" and last.response.output_text == "one two three"
    assert {event.response.id for event in events if hasattr(event, "response")} == {last.response.id}


def test_reasoning_streams_before_the_text(world: World) -> None:
    world.play({"otherwise": {"parts": [{"reasoning": ["let ", "me see"]}, {"text": ["Yes."]}]}})
    with client(world, world.session()).responses.stream(model="tiny", input="Sure?") as stream:
        deltas = [event.delta for event in stream if event.type == "response.reasoning_summary_text.delta"]
        response = stream.get_final_response()
    assert "".join(deltas) == "let me see"
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output_text == "Yes."


def test_stream_helper_and_its_final_response(world: World) -> None:
    world.play(says("one ", "two"))
    session = world.session()
    with client(world, session).responses.stream(model="tiny", input="Count.") as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        response = stream.get_final_response()
    assert snapshots == ["one ", "one two"]
    assert (response.output_text, response.status) == ("one two", "completed")
    # What was streamed can be continued like what was not.
    world.play(says("three"))
    more = client(world, session).responses.create(model="tiny", input="On.", previous_response_id=response.id)
    assert more.output_text == "three"
    assert history(world) == [["Count.", "one two", "On."]]


@pytest.mark.parametrize("streamed", [False, True])
def test_tool_loop(world: World, streamed: bool) -> None:
    world.play(calls("get_model", {"model_id": "phi-4"}, "It is gguf."))
    session = world.session()
    sdk = client(world, session)

    def turn(**more: Any) -> Any:
        if streamed:
            with sdk.responses.stream(model="tiny", **more) as stream:
                return stream.get_final_response()
        return sdk.responses.create(model="tiny", **more)

    first = turn(input="Which framework?")
    [call] = first.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_model", {"model_id": "phi-4"})
    executed = world.ask(
        "POST",
        f"/sessions/{session['session_id']}/execute",
        {"tool_name": call.name, "arguments": json.loads(call.arguments), "tool_call_id": call.call_id},
        key=session["session_token"],
    ).body
    assert executed["tool_call_id"] == call.call_id and not executed["is_error"]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": executed["content"]}
    second = turn(input=[output], previous_response_id=first.id)
    assert second.output_text == "It is gguf."
    messages = world.asked()[-1]["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    assert messages[2]["tool_calls"][0]["id"] == messages[3]["tool_call_id"]
    assert json.loads(messages[3]["content"]) == json.loads(executed["content"])
    kinds = [(step["kind"], step["name"]) for step in world.run(session["session_id"])["steps"]]
    assert [kind for kind, _ in kinds] == ["model_turn", "tool_call", "model_turn"] and kinds[1][1] == "get_model"


def test_two_calls_of_one_turn_need_two_outputs(world: World) -> None:
    parts = [{"tool_call": {"name": "get_model", "arguments": {"model_id": name}}} for name in ("one", "two")]
    world.play(
        {
            "rules": [{"when": {"tool_result": True}, "reply": {"parts": [{"text": ["Both."]}]}}],
            "otherwise": {"parts": parts},
        }
    )
    sdk = client(world, world.session())
    first = sdk.responses.create(model="tiny", input="Both?")
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "{}"} for call in first.output]
    assert len({output["call_id"] for output in outputs}) == 2
    for wrong in ([outputs[0]], "never mind", [*outputs, outputs[0] | {"call_id": "call_x"}]):
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            sdk.responses.create(model="tiny", input=wrong, previous_response_id=first.id)
        assert refused.value.response.json()["code"] == "unanswered_calls"
    second = sdk.responses.create(model="tiny", input=outputs, previous_response_id=first.id)
    assert second.output_text == "Both."


def test_history_that_the_client_keeps_itself(world: World) -> None:
    world.play(calls("get_model", {"model_id": "phi-4"}, "It is gguf."))
    sdk = client(world, world.session())
    items: list[Any] = [{"role": "user", "content": "Which framework?"}]
    first = sdk.responses.create(model="tiny", input=items)
    items += [item.to_dict() for item in first.output]
    [call] = first.output
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": '{"framework":"gguf"}'})
    assert sdk.responses.create(model="tiny", input=items).output_text == "It is gguf."
    roles = [message["role"] for message in world.asked()[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]


def test_chain_and_forks_stay_apart(world: World) -> None:
    world.play({"otherwise": {"parts": [{"text": ["re: "]}, {"echo": "last_user"}]}})
    sdk = client(world, world.session())
    root = sdk.responses.create(model="tiny", input="root")
    left = sdk.responses.create(model="tiny", input="left", previous_response_id=root.id)
    right = sdk.responses.create(model="tiny", input="right", previous_response_id=root.id)
    sdk.responses.create(model="tiny", input="more", previous_response_id=left.id)
    assert (left.previous_response_id, right.previous_response_id) == (root.id, root.id)
    assert history(world) == [
        ["root"],
        ["root", "re: root", "left"],
        ["root", "re: root", "right"],
        ["root", "re: root", "left", "re: left", "more"],
    ]


def test_unknown_and_foreign_responses_are_nothing(world: World) -> None:
    world.play(says("one"))
    session = world.session()
    sdk = client(world, session)
    foreign = client(world, world.session()).responses.create(model="tiny", input="hi").id
    asked = len(world.asked())
    for id in (foreign, "resp_" + "0" * 32, "resp_x", ""):
        with pytest.raises(openai.NotFoundError) as refused:
            sdk.responses.create(model="tiny", input="hi", previous_response_id=id)
        assert refused.value.response.json()["code"] == "previous_response_not_found"
        with pytest.raises(openai.NotFoundError):
            sdk.responses.create(model="tiny", input="hi", previous_response_id=id, stream=True)
    assert len(world.asked()) == asked
    assert world.run(session["session_id"])["steps"] == []


def test_another_model_is_refused_and_not_tried_again(world: World) -> None:
    session = world.session()
    sdk = client(world, session).with_options(max_retries=2)
    with pytest.raises(openai.ConflictError) as refused:
        sdk.responses.create(model="gpt-5", input="hi")
    body = refused.value.response.json()
    assert body["code"] == "model_mismatch" and "tiny" in body["message"] and "gpt-5" in body["message"]
    assert refused.value.response.headers["x-should-retry"] == "false"
    # The SDK repeats a 409 unless it is told not to.
    assert refused.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert refused.value.request_id


def test_requests_that_cannot_be_kept_are_refused(world: World) -> None:
    sdk = client(world, world.session())
    for wrong, path in [
        ({"input": []}, "input"),
        ({"input": "hi", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "hi", "temperature": 9}, "temperature"),
        ({"input": "hi", "conversation": "conv_1"}, "conversation"),
        ({"input": "hi", "tools": [{"type": "function", "name": "rm", "parameters": {}}]}, "tools"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0]"),
    ]:
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            sdk.responses.create(model="tiny", **wrong)
        assert refused.value.response.json()["errors"][0]["path"] == path, wrong


def test_tools_can_only_be_narrowed(world: World) -> None:
    world.play(says("ok"))
    sdk = client(world, world.session())
    tool: Any = {"type": "function", "name": "get_model", "parameters": {"type": "object"}, "strict": False}
    sdk.responses.create(model="tiny", input="hi", tools=[tool])
    [asked] = world.asked()
    [offered] = asked["tools"]
    # Name alone counts: the schema is the server's.
    assert offered["function"]["parameters"]["required"] == ["model_id"]


def test_answer_cut_short_is_incomplete(world: World) -> None:
    world.play({"otherwise": {"parts": [{"text": ["and then"]}], "finish": "length"}})
    session = world.session()
    response = client(world, session).responses.create(model="tiny", input="Tell.", max_output_tokens=2)
    assert (response.status, response.max_output_tokens) == ("incomplete", 2)
    assert response.incomplete_details and response.incomplete_details.reason == "max_output_tokens"
    with client(world, session).responses.create(model="tiny", input="Tell.", stream=True) as stream:
        assert list(stream)[-1].type == "response.incomplete"


def test_failed_turn_says_so_and_leaves_no_response(world: World) -> None:
    world.play({"otherwise": {"error": {"kind": "invalid"}}})
    session = world.session()
    sdk = client(world, session)
    response = sdk.responses.create(model="tiny", input="hi")
    assert response.status == "failed" and response.error and response.output == []
    with sdk.responses.create(model="tiny", input="hi", stream=True) as stream:
        last = list(stream)[-1]
    assert last.type == "response.failed" and last.response.status == "failed"
    world.play(says("well again"))
    with pytest.raises(openai.NotFoundError):
        sdk.responses.create(model="tiny", input="hi", previous_response_id=response.id)
    assert sdk.responses.create(model="tiny", input="hi").output_text == "well again"
    steps = world.run(session["session_id"])["steps"]
    assert [(step["kind"], step["is_error"]) for step in steps] == [("model_turn", True)] * 2 + [("model_turn", False)]


def test_server_takes_over_from_a_device_for_as_long_as_it_must(world: World) -> None:
    world.play(says("from here"))
    session = world.session(client={"platform": "android", "models": ["qwen2.5:7b"]})
    assert (session["lane"]["kind"], session["model"]) == ("device", "qwen2.5:7b")
    sdk = client(world, session)
    previous = None
    for _ in range(3):
        response = sdk.responses.create(model="qwen2.5:7b", input="hi", previous_response_id=previous)
        assert (response.status, response.output_text, response.model) == ("completed", "from here", "tiny")
        previous = response.id


def test_keys_and_tokens(world: World) -> None:
    world.play(says("ok"))
    session, other = world.session(), world.session()
    assert client(world, session, OWNER_KEY).responses.create(model="tiny", input="hi").output_text == "ok"
    with pytest.raises(openai.NotFoundError):
        client(world, session, other["session_token"]).responses.create(model="tiny", input="hi")
    with pytest.raises(openai.AuthenticationError):
        client(world, session, "sk-unknown").responses.create(model="tiny", input="hi")
    done = world.ask(
        "POST",
        f"/sessions/{session['session_id']}/complete",
        {"summary": "Done.", "confidence": None, "evidence": [], "next_steps": []},
        key=session["session_token"],
    )
    assert done.body["status"] == "completed"
    with pytest.raises(openai.ConflictError) as late:
        client(world, session).responses.create(model="tiny", input="hi")
    assert late.value.response.json()["code"] == "run_already_terminal"
