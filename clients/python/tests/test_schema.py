"""Schemathesis: whatever the OpenAPI document allows and whatever it does not, asked of the real server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from world import OWNER_KEY, World

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
BUDGET_S = 60
# A stream without end would be read for ever; a revoked key of its own would end the conversation.
LEFT_OUT = ("stream_approvals", "revoke_key")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def test_no_answer_is_outside_the_document(world: World) -> None:
    command = [
        *(str(SCHEMATHESIS), "run", f"{world.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {OWNER_KEY}"),
        *("--checks", ",".join(CHECKS)),
        *("--phases", "coverage,stateful"),
        *("--max-time", str(BUDGET_S), "--request-timeout", "30", "--seed", "1"),
        *("--continue-on-failure", "--no-color", "--warnings", "off"),
    ]
    for operation in LEFT_OUT:
        command += ["--exclude-operation-id", operation]
    here = str(Path(__file__).parent)
    surroundings = {**os.environ, "PYTHONPATH": here, "SCHEMATHESIS_HOOKS": "schemathesis_streams"}
    said = subprocess.run(
        command, cwd=world.folder, capture_output=True, text=True, timeout=BUDGET_S * 5, env=surroundings
    )
    assert said.returncode == 0, said.stdout + said.stderr
    # A run that asked nothing would find nothing.
    counted = [line for line in said.stdout.splitlines() if "generated" in line]
    assert counted and int(counted[0].split()[0]) > 50, said.stdout
