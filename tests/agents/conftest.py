"""What tests of roles share: a scripted server and the models on it, as the `Stage` of the test's own module."""

from contextlib import asynccontextmanager

import pytest

from tests.scripted_models import scripted_models
from tests.scripted_server import ScriptedServer


@pytest.fixture
def stage(request, tmp_path):
    @asynccontextmanager
    async def make(script=None, **settings):
        settings = {"endpoint": {"retries": 0}, **settings}
        async with (
            ScriptedServer(script).running() as server,
            scripted_models(server, tmp_path / "l.sqlite", **settings) as play,
        ):
            yield request.module.Stage(server, play)

    return make
