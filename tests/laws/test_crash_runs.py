"""What `faultbench run` promises when trials, workers, disks and people get in its way; real processes throughout."""

import os
import re
import resource
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.builders.crashes import Lab, Run, members, resume_commands, waited_for

pytestmark = pytest.mark.crash

N_TRIALS = 80
STALL_S = 20
"""Longer than a busy machine takes to start a worker, in which nothing gets done either."""

IN_FLIGHT = ("--workers", "2", "--progress", "plain")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The campaign, run to its end by one process and with nothing in its way."""
    lab = Lab(tmp_path_factory.mktemp("undisturbed")).write()
    assert lab.run("--engine", "serial").code == 0
    return lab


@pytest.fixture
def lab(undisturbed: Lab, tmp_path: Path) -> Lab:
    """The campaign with its networks trained and no trial run."""
    lab = Lab(tmp_path).write()
    lab.take_artifacts(undisturbed)
    return lab


def assert_going_on_ends_as(lab: Lab, undisturbed: Lab, *options: str) -> None:
    """The same command again does the rest, and nobody can tell that anything happened."""
    lab.arm()
    again = lab.run(*IN_FLIGHT, *options)
    assert again.code == 0, again.said
    assert lab.tables() == undisturbed.tables()
    assert lab.n_recorded() == N_TRIALS
    assert waited_for(lambda: not members(again.process.pid), patience_s=5)


def status(lab: Lab) -> "subprocess.CompletedProcess[str]":
    program = lab.command()[:3]
    return subprocess.run([*program, "status", str(lab.results)], capture_output=True, text=True, check=True)


def test_a_trial_that_kills_its_worker_or_raises_is_quarantined_by_name_and_the_others_finish(
    lab: Lab, undisturbed: Lab
) -> None:
    lab.arm("kill 3", "raise 17")
    run = lab.run(*IN_FLIGHT, "-s", "schemes=[relu]", "-s", "bers=[1e-4]")
    assert run.code == 3, run.said
    assert "quarantined: digits/lab_net/relu/none/q15.16/armed BER 1e-4 trial 3: the worker died {SIGKILL" in run.said
    assert "trial 17: RuntimeError: trial 17 is bad" in run.said
    assert sorted(trial for _, trial in lab.journal().trials) == [n for n in range(20) if n not in (3, 17)]
    assert {trial: record.n_deaths for (_, trial), record in lab.journal().quarantined.items()} == {3: 3, 17: 3}
    drawn = [int(line.split()[1]) for line in (lab.folder / "drawn").read_text().splitlines()]
    assert drawn.count(3) in (3, 4)  # what happened twice in its chunk counts once
    assert drawn.count(17) in (2, 3)  # not in its chunk, where that holds trial 3

    cells = (lab.results / "tables" / "cells.csv").read_text()
    assert cells.count(",True,") == 1  # limited: 18 of 20 trials
    told = status(lab)
    assert told.stdout.split("\n")[1].endswith("\t1e-4\t18\t0\t2")
    assert "18 trials done, 0 missing, 2 quarantined" in told.stderr
    assert "trial 17: RuntimeError: trial 17 is bad" in told.stderr

    n_drawn = lab.n_drawn()
    again = lab.run(*IN_FLIGHT, "-s", "schemes=[relu]", "-s", "bers=[1e-4]")
    assert (again.code, lab.n_drawn()) == (3, n_drawn)
    assert_going_on_ends_as(lab, undisturbed, "--retry-quarantined")
    assert not lab.journal().quarantined


def test_a_killed_worker_costs_the_chunks_in_flight_and_the_run_goes_on(lab: Lab, undisturbed: Lab) -> None:
    lab.arm("slow")
    run = lab.start(*IN_FLIGHT)
    assert run.until(lambda: lab.n_drawn() > 4)
    os.kill(run.workers()[0], signal.SIGKILL)
    assert run.wait() == 0, run.said
    assert "the worker died {SIGKILL(-9)}" in run.said
    assert lab.tables() == undisturbed.tables()
    # Each once and once more to count its flips; two chunks of 40 were in flight.
    assert 2 * N_TRIALS <= lab.n_drawn() <= 3 * N_TRIALS


def test_a_stuck_trial_ends_the_run_within_the_stall_limit_and_names_it(lab: Lab, undisturbed: Lab) -> None:
    lab.arm("hang 7")
    run = lab.run(*IN_FLIGHT, "--stall-limit", f"{STALL_S}s")
    assert run.code == 4
    (told,) = re.findall(rf"no worker got anything done for {STALL_S} s; in flight: (.*)", run.said)
    assert all(f"digits/lab_net/{scheme}/" in told for scheme in ("relu", "clip_act"))  # trial 7 of both is stuck
    (command,) = resume_commands(run.said)
    assert shlex.split(command) == run.process.args
    assert waited_for(lambda: not members(run.process.pid), patience_s=5)
    assert_going_on_ends_as(lab, undisturbed)


def test_stopped_workers_end_the_run_within_the_stall_limit(lab: Lab, undisturbed: Lab) -> None:
    lab.arm("crawl")  # so that the first worker does not do all before a busy machine has started the second
    run = lab.start(*IN_FLIGHT, "--stall-limit", f"{STALL_S}s")
    assert run.until(lambda: lab.n_drawn() > 2 and len(run.workers()) == 2), run.said
    for worker in run.workers():
        os.kill(worker, signal.SIGSTOP)
    assert run.wait() == 4
    assert waited_for(lambda: not members(run.process.pid), patience_s=5)
    assert_going_on_ends_as(lab, undisturbed)


def test_a_killed_main_process_leaves_no_worker_behind(lab: Lab, undisturbed: Lab) -> None:
    lab.arm("hang 7")
    run = lab.start(*IN_FLIGHT)
    assert run.until(lambda: lab.n_drawn() > 4 and len(run.workers()) == 2)
    run.process.kill()
    run.wait()
    assert waited_for(lambda: not members(run.process.pid), patience_s=5)
    assert_going_on_ends_as(lab, undisturbed)


def test_ctrl_c_finishes_what_is_in_flight_and_prints_how_to_go_on(lab: Lab, undisturbed: Lab) -> None:
    lab.arm("slow")
    run = lab.start(*IN_FLIGHT, "-s", "trials=200")
    assert run.until(lambda: lab.n_drawn() > 2)
    run.send(signal.SIGINT)
    assert run.wait() == 130
    assert lab.n_recorded() == lab.n_drawn() < 800  # nothing that was begun is lost, and not everything was begun
    assert len(list(resume_commands(run.said))) == 1
    assert "Traceback" not in run.said
    assert waited_for(lambda: not members(run.process.pid), patience_s=5)


def test_ctrl_c_twice_stops_at_once(lab: Lab, undisturbed: Lab) -> None:
    lab.arm("hang 7")
    run = lab.start(*IN_FLIGHT)
    assert run.until(lambda: lab.n_drawn() > 4)
    run.send(signal.SIGINT)
    assert run.until(lambda: "finishing what is in flight" in run.said)
    run.send(signal.SIGINT)
    assert run.wait() == 130
    assert len(list(resume_commands(run.said))) == 1
    assert waited_for(lambda: not members(run.process.pid), patience_s=5)
    assert_going_on_ends_as(lab, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_batch_systems_signal_finishes_what_is_in_flight(lab: Lab, number: signal.Signals) -> None:
    lab.arm("slow")
    run = lab.start(*IN_FLIGHT, "-s", "trials=200")
    assert run.until(lambda: lab.n_drawn() > 2)
    run.send(number)
    assert run.wait() == 75, run.said
    assert f"asked to end by {number.name}; to go on: " in run.said
    assert lab.n_recorded() == lab.n_drawn() < 800


def test_the_time_limit_finishes_what_is_in_flight(lab: Lab) -> None:
    lab.arm("slow")
    run = lab.run(*IN_FLIGHT, "-s", "trials=100000", "--time-limit", "12s")
    assert run.code == 75, run.said
    assert "the time limit is reached; to go on: " in run.said
    assert lab.n_recorded() == lab.n_drawn()


def test_a_second_run_is_refused_naming_the_first_whose_lock_dies_with_it(lab: Lab, undisturbed: Lab) -> None:
    lab.arm("hang 7")
    first = lab.start(*IN_FLIGHT)
    assert first.until(lambda: lab.n_drawn() > 0)
    second = lab.run(*IN_FLIGHT)
    assert second.code == 2
    host = os.uname().nodename
    assert f"faultbench run on {host}, process {first.process.pid} is writing here" in second.said
    first.process.kill()
    first.wait()
    assert_going_on_ends_as(lab, undisturbed)


def test_a_full_disk_ends_the_run_with_one_line_and_loses_nothing_recorded(lab: Lab, undisturbed: Lab) -> None:
    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, 2**14))

    full = Run(lab, lab.command(*IN_FLIGHT), preexec_fn=small_disk)
    assert full.wait() == 4, full.said
    (line,) = (line for line in full.said.split("\n") if line.startswith("faultbench:"))
    assert f"{lab.results / 'journal'}" in line
    assert "cannot be written: " in line
    recorded = lab.journal().trials
    assert 0 < len(recorded) < N_TRIALS
    assert_going_on_ends_as(lab, undisturbed)
    assert recorded.items() <= lab.journal().trials.items()


def test_a_folder_that_cannot_be_written_is_one_line_that_names_it(lab: Lab) -> None:
    run = Run(lab, [*lab.command(*IN_FLIGHT), "-o", "/proc/results"])
    assert run.wait() == 4
    (line,) = run.said.strip().split("\n")
    assert line.startswith("faultbench: /proc/results/crashes")
    assert "cannot be written" in line
