"""The pytest fixture `assert_resilient`: the gate as a test. Imports nothing heavy before a test uses it."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

UPDATE = "--update-resilience"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-resilience` writes the baselines instead of comparing with them."""
    parser.getgroup("faultbench").addoption(
        UPDATE, action="store_true", help="write the baselines of assert_resilient instead of comparing with them"
    )


@pytest.fixture
def assert_resilient(request: pytest.FixtureRequest) -> Callable[..., None]:
    """A function that fails the test if a network survives faults worse than its baseline says.

    `assert_resilient(model, campaign, baseline, max_drop="0.5pp", fail_if=(), strict=False)`: model is a trained
    torch.nn.Module whose weights take the place of the campaign's, which then has one entry of `models`, or None;
    campaign and baseline are paths, the rest as for `faultbench check`. Plug-ins that the campaign names are run.
    """
    updates = bool(request.config.getoption(UPDATE))

    def check(
        model: Any,
        campaign: str | Path,
        baseline: str | Path,
        *,
        max_drop: str = "0.5pp",
        fail_if: Sequence[str] = (),
        strict: bool = False,
    ) -> None:
        __tracebackhide__ = True
        from faultbench.runner.model_check import check_model
        from faultbench.system.errors import FaultbenchError

        asked = {"max_drop": max_drop, "fail_if": fail_if, "is_strict": strict, "updates": updates}
        mistake = None
        with tempfile.TemporaryDirectory(prefix="faultbench-") as folder:
            try:
                found = check_model(model, Path(campaign), Path(baseline), Path(folder), **asked)  # type: ignore[arg-type]  # each is of its own type
            except FaultbenchError as error:
                mistake = str(error).replace("--update-baseline", UPDATE)
        if mistake:  # out here, so that pytest does not print it once more for each error that it came of
            pytest.fail(mistake, pytrace=False)
        print(found.text)  # pytest shows it with -s, and under a test that fails for another reason
        if found.failed:
            pytest.fail(f"{found.summary}\n{found.text}", pytrace=False)

    return check
