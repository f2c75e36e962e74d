"""What every test runs with: no time limit of hypothesis, no card, one thread per process. Imports nothing heavy."""

import os

import pytest
from hypothesis import settings

# Networks as small as those of tests do not pay for waking a second thread. It holds for processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("unhurried", deadline=None)  # a time limit would test the machine
settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    """Hide the card from all but `pytest -m gpu`: most tests compare rows of the processor."""
    if "gpu" not in config.option.markexpr:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
