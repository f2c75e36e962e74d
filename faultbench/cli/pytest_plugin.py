"""Pytest fixture `assert_resilient`: the gate as a test. Nothing heavy is imported before a test uses it."""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("faultbench.testing")  # or a failing contract would not show its values

UPDATE = "--update-resilience"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-resilience`, which writes the baselines instead of comparing with them."""
    parser.getgroup("faultbench").addoption(
        UPDATE, action="store_true", help="write the baselines of assert_resilient instead of comparing with them"
    )


@pytest.fixture
def assert_resilient(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return a function that fails the test if a network survives faults worse than its baseline says.

    `assert_resilient(model, campaign, baseline, max_drop="0.5pp", max_gain=None, fail_if=(), strict=False)`: model is
    None, or a trained torch.nn.Module whose weights take the place of those of the campaign's one entry of `models`.
    campaign and baseline are paths. The other arguments are those of `faultbench check`. Plug-ins of the campaign are
    run. A test that passes with undecided cells has a warning for each.
    """
    updates = bool(request.config.getoption(UPDATE))

    def check(
        model: Any,
        campaign: str | Path,
        baseline: str | Path,
        *,
        max_drop: str = "0.5pp",
        max_gain: str | None = None,
        fail_if: Sequence[str] = (),
        strict: bool = False,
    ) -> None:
        __tracebackhide__ = True
        from faultbench.runner.model_check import check_model
        from faultbench.system import arguments
        from faultbench.system.error_lines import as_faultbench_error
        from faultbench.system.errors import FaultbenchError

        asked: dict[str, Any] = {"max_drop": max_drop, "max_gain": max_gain, "fail_if": fail_if, "is_strict": strict}
        mistake = None
        with tempfile.TemporaryDirectory(prefix="faultbench-") as folder:
            try:
                file = arguments.path("assert_resilient: campaign", campaign, "the path of a campaign file")
                kept = arguments.path("assert_resilient: baseline", baseline, "the path of a baseline")
                with as_faultbench_error():
                    result = check_model(model, file, kept, Path(folder), **asked, updates=updates)
            except FaultbenchError as error:
                mistake = str(error).replace("--update-baseline", UPDATE)
        if mistake:  # failing outside the except block keeps pytest from printing the chain of causes
            pytest.fail(mistake, pytrace=False)
        print(result.text)  # pytest shows it with -s, and with a test that fails for another reason
        if result.failed:
            pytest.fail(f"{result.summary}\n{result.text}", pytrace=False)
        for cell in result.undecided:
            warnings.warn(f"assert_resilient: UNDECIDED {cell}", stacklevel=2)

    return check
