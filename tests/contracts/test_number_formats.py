"""Every number format keeps the contract."""

from typing import ClassVar

from faultbench import testing
from tests.builders.contracts import OwnPlugins


class TestNumberFormats(OwnPlugins, testing.TestNumberFormats):
    examples: ClassVar = {
        "q<integer>.<fraction>": ["q15.16", "q0.31", "q31.0", "q8.16", "q9.16", "q7.8", "q0.1", "q1.0"]
    }
