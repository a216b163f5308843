"""A model on the device that says what it is told to: the runtime that octomil is given in place of an engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from octomil.runtime.core.model_runtime import ModelRuntime
from octomil.runtime.core.types import (
    RuntimeCapabilities,
    RuntimeChunk,
    RuntimeRequest,
    RuntimeResponse,
    RuntimeToolCall,
    ToolCallTier,
)


def call(id: str, name: str, arguments: Any) -> RuntimeToolCall:
    return RuntimeToolCall(id=id, name=name, arguments=json.dumps(arguments))


class Device(ModelRuntime):
    """Answers with the next of `turns`: a text, or a list of tool calls. It keeps what it was asked."""

    def __init__(self, *turns: str | list[RuntimeToolCall] | Exception) -> None:
        self.turns = list(turns)
        self.asked: list[RuntimeRequest] = []

    @property
    def capabilities(self) -> RuntimeCapabilities:
        return RuntimeCapabilities(tool_call_tier=ToolCallTier.NATIVE, supports_streaming=False)

    async def run(self, request: RuntimeRequest) -> RuntimeResponse:
        self.asked.append(request)
        turn = self.turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        if isinstance(turn, str):
            return RuntimeResponse(text=turn)
        return RuntimeResponse(text="", tool_calls=turn, finish_reason="tool_calls")

    async def stream(self, request: RuntimeRequest) -> AsyncIterator[RuntimeChunk]:
        raise NotImplementedError("agent sessions do not stream")
        yield

    def read(self) -> list[str]:
        """The tool results that the model was shown last."""
        return [
            "".join(part.text or "" for part in message.parts)
            for message in self.asked[-1].messages
            if message.tool_call_id
        ]
