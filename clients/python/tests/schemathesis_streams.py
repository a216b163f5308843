"""For Schemathesis: the schema of an event stream is that of the JSON in each event's `data`, as OpenAPI 3.1 documents have it."""

from __future__ import annotations

import json
from typing import Any

import schemathesis


@schemathesis.deserializer("text/event-stream")
def events(_context: Any, response: Any) -> list[Any]:
    lines = response.content.decode("utf-8").splitlines()
    return [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]
