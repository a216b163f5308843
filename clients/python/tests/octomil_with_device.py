"""The `octomil` command with a scripted engine, for a machine that has none: `octomil_with_device.py agent …`. What the
engine says is in `DEVICE_TURNS`, as JSON: texts, and lists of calls as `[id, tool, arguments]`."""

from __future__ import annotations

import json
import os

from octomil.cli import main
from octomil.runtime.core.registry import ModelRuntimeRegistry

from device import Device, call

ANSWER = "## Summary\nPhi-4 mini fits.\n## Risks\nConfidence: 90%\n## Next steps\n1. Deploy to staging\n"
ONE_TOOL = json.dumps([[["call_1", "get_model", {"model_id": "phi-4"}]], ANSWER])

if __name__ == "__main__":
    turns = json.loads(os.environ.get("DEVICE_TURNS", ONE_TOOL))
    device = Device(*[turn if isinstance(turn, str) else [call(*asked) for asked in turn] for turn in turns])
    ModelRuntimeRegistry.shared().default_factory = lambda _: device
    main()
