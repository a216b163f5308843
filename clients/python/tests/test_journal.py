"""What a device without a library of ours writes to report its time without the network."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from world import World


class Journal:
    """Chained entries, kept on the device until they are sent."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def add(self, **step: Any) -> None:
        prev = self.entries[-1]["hash"] if self.entries else "0" * 64
        text = json.dumps(step, ensure_ascii=False)
        digest = hashlib.sha256(f"{prev}\n{text}".encode()).hexdigest()
        self.entries.append({"seq": len(self.entries) + 1, "prev": prev, "hash": digest, "entry": text})


def test_journal_is_taken_once_and_marked(world: World) -> None:
    session = world.session()
    path = f"/sessions/{session['session_id']}/steps"
    journal = Journal()
    times = {"started_at": "2026-01-31T12:00:00+01:00", "completed_at": "2026-01-31T12:00:02.5+01:00"}
    journal.add(kind="model_turn", name="phi-4-mini", input="Which? ✓", output={"text": "1e400 \u2028"}, **times)
    journal.add(kind="tool_call", name="get_model", input={}, output="no network", is_error=True, **times)
    first = world.ask("POST", path, {"entries": journal.entries}, key=session["session_token"])
    assert first.status == 200, first
    journal.add(kind="model_turn", name="phi-4-mini", **times)
    again = world.ask("POST", path, {"entries": journal.entries}, key=session["session_token"])
    assert again.body["steps"][:2] == first.body["steps"]
    steps = world.run(session["session_id"])["steps"]
    assert [(step["source"], step["kind"], step["is_error"]) for step in steps] == [
        ("client", "model_turn", False),
        ("client", "tool_call", True),
        ("client", "model_turn", False),
    ]
    assert steps[0]["input"] == "Which? ✓" and steps[0]["duration_ms"] == 2500
    late = world.ask("POST", path, {"entries": Journal().entries}, key=session["session_token"])
    assert late.status == 422
    other = Journal()
    other.add(kind="model_turn", name="another device", **times)
    fork = world.ask("POST", path, {"entries": other.entries}, key=session["session_token"])
    assert (fork.status, fork.body["code"], fork.body["details"]["seq"]) == (409, "journal_fork", 1)
