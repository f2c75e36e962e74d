import pandas as pd
import pytest

from faultbench.cli.verbs.overhead import busy_machine


def overheads(*latencies: tuple[float, float, float]) -> pd.DataFrame:
    columns = ["latency_ratio", "latency_ratio_ci_low", "latency_ratio_ci_high"]
    named = [{"scheme": f"scheme{n}", "model": "net"} for n in range(len(latencies))]
    return pd.DataFrame(named).join(pd.DataFrame(latencies, columns=columns))


@pytest.mark.parametrize("latencies", [[(1.0, 0.96, 1.03), (1.22, 1.18, 1.25)], [(float("nan"),) * 3]])
def test_a_quiet_machine_has_no_warning(latencies: list[tuple[float, float, float]]) -> None:
    assert busy_machine(overheads(*latencies)) == ""


def test_a_wide_interval_says_that_the_machine_was_busy() -> None:
    warning = busy_machine(overheads((1.0, 0.96, 1.03), (1.4, 1.1, 1.9)))
    assert "the machine was busy: the intervals of 1 latencies are wider than 20% of them (scheme1 on net)" in warning
