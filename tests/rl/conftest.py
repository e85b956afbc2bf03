"""What tests with real libraries share: no model hub, and a tiny model."""

import pytest


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """No model hub, no cache outside the tests' folder; set before the libraries are imported, which read it then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        yield


@pytest.fixture(scope="module")
def tiny_model(offline, tmp_path_factory):
    """The folder of a random chat model of 0.4 M parameters."""
    from tests.real_vllm.tiny_model import make

    folder = tmp_path_factory.mktemp("tiny")
    make(folder)
    return folder
