"""The benchmarks run, and what they compare is the same work."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(script: str, *arguments: str) -> str:
    """What a benchmark prints; its process sees the same packages as this one."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        assert file.readline().startswith("# ")
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_checks_are_timed_as_a_share_of_set_up(tmp_path: Path) -> None:
    run("checks.py", "--networks", "resnet20", "--images", "8", "--rounds", "1", "--output", str(tmp_path))
    (row,) = table(tmp_path / "checks.csv")
    assert (row["network"], row["images"]) == ("resnet20", "8")
    without, full = float(row["without_checks_s"]), float(row["set_up_s"])
    assert float(row["share_of_checks"]) == pytest.approx(1 - without / full, abs=0.01)


@pytest.mark.slow
def test_peers_are_compared_in_one_table_and_one_figure(tmp_path: Path) -> None:
    pytest.importorskip("pytorchfi")
    small = ("--networks", "resnet20", "--bers", "1e-8", "1e-5", "--images", "2", "--rounds", "1")
    run("peers.py", *small, "--peers", "pytorchfi", "dense", "--output", str(tmp_path))
    rows = table(tmp_path / "peers.csv")
    assert [(row["format"], row["ber"]) for row in rows] == [
        (name, ber) for name in ("q15.16", "float32") for ber in ("1e-08", "1e-05")
    ]
    for row in rows:
        assert float(row["inference_s"]) > 0
        assert all(float(row[f"{name}_ratio"]) > 0 for name in ("trial", "pytorchfi", "dense"))
        assert row["mrfi_ratio"] == row["x_mrfi"] == ""
    # 272,474 parameters of 32 bits: 0.09 flips a trial at 1e-8 and 87 at 1e-5.
    assert float(rows[0]["flips_mean"]) < 1
    assert 50 < float(rows[1]["flips_mean"]) < 130
    assert (tmp_path / "peers.png").stat().st_size > 10_000
    assert (tmp_path / "peers.svg").exists()


@pytest.mark.slow
def test_a_peer_that_is_not_installed_is_left_out_with_a_word(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['mrfi'] = None\n")
    small = ("--networks", "resnet20", "--formats", "float32", "--bers", "1e-5", "--images", "2", "--rounds", "1")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT), *filter(None, sys.path)])}
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "peers.py"),
        *small,
        "--peers",
        "mrfi",
        "--output",
        str(tmp_path),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mrfi is left out: not installed" in done.stdout
    assert table(tmp_path / "peers.csv")[0]["trial_ratio"]


@pytest.mark.slow
def test_start_up_times_of_the_verbs_are_tabled(tmp_path: Path) -> None:
    run("startup.py", "--rounds", "1", "--output", str(tmp_path))
    rows = {row["verb"]: row for row in table(tmp_path / "startup.csv")}
    assert {"--help", "validate", "list models", "status"} < rows.keys()
    assert any(verb.startswith("plan") for verb in rows)
    # Those that read only spend nothing on torch.
    assert "torch" not in "".join(rows[verb]["imports_ms"] for verb in ("--help", "validate", "list models", "status"))


@pytest.mark.slow
def test_time_is_tabled_against_flips(tmp_path: Path) -> None:
    run("scaling.py", "--parts", "flips", "--rounds", "1", "--output", str(tmp_path))
    rows = table(tmp_path / "scaling.csv")
    # 23.3 million parameters of 32 bits, at rates from 1e-7 to 1e-3.
    counts = [float(row["at"]) for row in rows if row["what"].startswith("seconds")]
    assert all(0.5 < count / (23_272_266 * 32 * 10.0**n) < 1.5 for n, count in zip(range(-7, -2), counts, strict=True))
    assert all(float(row["value"]) > 0 for row in rows)


@pytest.mark.slow
def test_sampled_trials_are_held_against_whole_ones(tmp_path: Path) -> None:
    small = ("-s", "schemes=[relu]", "-s", "bers=[1e-5]", "-s", "images=100", "--trials", "20", "--sampled", "32")
    printed = run("sampling.py", str(ROOT / "campaigns" / "quickstart.yaml"), *small, "--output", str(tmp_path))
    (row,) = table(tmp_path / "sampling.csv")
    assert int(row["images_sampled"]) <= 32 * 16 < int(row["images_all"]) == 20 * 100
    assert "1 cells: images 1/" in printed


def test_a_card_that_is_not_there_is_said() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("says what happens without a CUDA card")
    command = [sys.executable, str(ROOT / "benchmarks" / "card.py")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stderr) == (
        1,
        "torch finds no CUDA card here; `faultbench doctor` says what it finds\n",
    )


@pytest.mark.slow
def test_flips_that_a_map_colours_are_injected_apart_from_the_others(tmp_path: Path) -> None:
    (tmp_path / "few.yaml").write_text(
        "name: few\ndatasets: [digits]\nmodels: [digits_cnn]\nschemes: [relu]\nbers: [1e-6, 3e-6]\ntrials: 400\n"
        "training: {epochs: 8}\n"
    )
    run("harm.py", str(tmp_path / "few.yaml"), "--maps", "40", "--output", str(tmp_path))
    (row,) = table(tmp_path / "harm_injected.csv")
    assert (row["scheme"], row["ber"]) == ("relu", "3e-06")
    assert 0 < int(row["told"]) < int(row["kinds"])
    # Each part of the flips costs something, and less than all flips together.
    golden, whole, told, others = (
        float(row[name]) for name in ("golden", "all_flips", "told_flips", "undecided_flips")
    )
    assert whole < told < golden
    assert whole < others < golden
