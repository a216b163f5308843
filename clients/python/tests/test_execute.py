"""What a client counts on beyond the shape of answers: time, one effect, origins, an end."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from world import Answer, World


def execute(world: World, session: dict[str, Any], tool: str, arguments: Any, id: str, **headers: str) -> Answer:
    body = {"tool_name": tool, "arguments": arguments, "tool_call_id": id}
    path = f"/sessions/{session['session_id']}/execute"
    return world.ask("POST", path, body, key=session["session_token"], **headers)


def test_no_call_is_waited_for_longer_than_25_seconds(world: World) -> None:
    session = world.session()
    world.tools.release.clear()
    begun = time.monotonic()
    answer = execute(world, session, "slow_tool", {}, "slow")
    assert 20 < time.monotonic() - begun < 25
    content = json.loads(answer.body["content"])
    assert (answer.status, content["tool"], content["status"]) == (200, "slow_tool", "running")
    world.tools.release.set()
    again = execute(world, session, "slow_tool", {}, "slow")
    assert json.loads(again.body["content"])["result"]["body"]["id"] == "slow"
    assert not again.body["is_error"] and again.body["step_index"] == answer.body["step_index"]
    assert world.tools.count("/slow") == 1


def test_one_call_asked_for_many_times_at_once_has_one_effect(world: World) -> None:
    session = world.session()
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(execute, world, session, "get_model", {"model_id": "often"}, "call_1") for _ in range(16)
        ]
        answers = [future.result().body for future in asked]
    assert all(answer == answers[0] for answer in answers) and not answers[0]["is_error"]
    assert world.tools.count("/models/often") == 1
    assert len(world.run(session["session_id"])["steps"]) == 1


def test_pages_of_declared_origins_can_use_a_session(world: World) -> None:
    session = world.session()
    path = f"/sessions/{session['session_id']}/inference"
    page = {"Origin": "https://app.example.com"}
    wanted = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,x-stainless-timeout"
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}
    asked = world.ask("OPTIONS", path, **page, **preflight)
    assert asked.status == 204
    assert asked.headers["access-control-allow-origin"] == "https://app.example.com"
    allowed = asked.headers["access-control-allow-headers"].replace(" ", "").split(",")
    assert set(wanted.split(",")) <= set(allowed) and "POST" in asked.headers["access-control-allow-methods"]
    answer = execute(world, session, "get_model", {"model_id": "paged"}, "1", **page)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://app.example.com")
    for origin in ("https://evil.example", "null"):
        refused = world.ask("OPTIONS", path, Origin=origin, **preflight)
        assert refused.status == 403 and "access-control-allow-origin" not in refused.headers
        refused = execute(world, session, "get_model", {"model_id": "evil"}, "2", Origin=origin)
        assert (refused.status, refused.body["code"]) == (403, "origin_not_allowed")
    assert world.tools.count("/models/evil") == 0


def test_session_that_nobody_completes_expires(world: World) -> None:
    session = world.session(ttl_s=1)
    run = world.until(session["session_id"], "failed")
    assert run["error"]["code"] == "session_expired" and run["completed_at"]
    late = execute(world, session, "get_model", {"model_id": "late"}, "1")
    assert (late.status, late.body["code"]) == (409, "run_already_terminal")
    path = f"/sessions/{session['session_id']}"
    complete = {"summary": "Too late.", "confidence": None, "evidence": [], "next_steps": []}
    assert world.ask("POST", f"{path}/complete", complete, key=session["session_token"]).status == 409
    assert world.ask("GET", path, key=session["session_token"]).body["status"] == "failed"
    assert world.tools.count("/models/late") == 0
