"""One server for all tests; each has sessions of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from world import World, clean_environment


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    try:
        world.start()
        environment = clean_environment(world.folder)
        # octomil calls its service when it is imported, and its planner later: they must find this server, not theirs.
        environment |= {"OCTOMIL_API_BASE": world.url, "OCTOMIL_RUNTIME_PLANNER_CACHE": "0"}
        os.environ.clear()
        os.environ.update(environment)
        yield world
    finally:
        world.stop()
