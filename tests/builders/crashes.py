"""Builders of a campaign whose trials fail on request, and of `faultbench run` processes that tests kill."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from faultbench.results.journal.contents import JournalContents, read_journal
from tests.builders.labs import NET, write

ARMED = '''\
"""Fault model whose trials do what the file `armed` beside it says, such as `kill 3` or `hang 7`."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.plugins.registry import fault_model

BESIDE = Path(__file__).parent


@fault_model("armed")
@dataclass(frozen=True)
class Armed:
    """Draw Bernoulli flips, and note every draw in the file `drawn`."""

    targets: tuple[str, ...] = ("weights", "biases", "bounds")
    layers: tuple[str, ...] = ("*",)
    bits: tuple[int, int] | None = None

    def draw(self, space, *, ber, seed, trial):
        if trial >= 10**9:  # a sample for the plan of the run, not a trial
            return Bernoulli().draw(space, ber=ber, seed=seed, trial=trial)
        file = os.open(BESIDE / "drawn", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{os.getpid()} {trial}\\n".encode())
        os.close(file)
        orders = (BESIDE / "armed").read_text().split("\\n")
        if f"kill {trial}" in orders:
            os.kill(os.getpid(), signal.SIGKILL)
        if f"raise {trial}" in orders:
            raise RuntimeError(f"trial {trial} is bad")
        if f"hang {trial}" in orders:
            time.sleep(3600)
        if "slow" in orders:
            time.sleep(0.05)
        if "crawl" in orders:
            time.sleep(1)
        return Bernoulli().draw(space, ber=ber, seed=seed, trial=trial)
'''

CAMPAIGN = """\
name: crashes
seed: 3
plugins: [lab_models, lab_armed]
datasets: [digits]
models: [{name: lab_net, width: 16}]
schemes: [relu, clip_act]
faults: [armed]
bers: [1e-4, 1e-3]
trials: 20
images: 100
"""

PATIENCE_S = 200.0
"""Longest wait of a crash test. A longer one means that the program hangs."""


@dataclass
class Lab:
    """Folder with the campaign, its plug-ins and its results."""

    folder: Path

    @property
    def results(self) -> Path:
        """Return the results folder of the campaign."""
        return self.folder / "results" / "crashes"

    def write(self) -> "Lab":
        """Write the campaign and its plug-ins, without any orders."""
        write(self.folder, {"lab_models.py": NET, "lab_armed.py": ARMED, "crashes.yaml": CAMPAIGN, "armed": ""})
        return self

    def arm(self, *orders: str) -> None:
        """Make trials fail or wait. Orders are kill, raise or hang with the trial's number, slow, and crawl."""
        (self.folder / "armed").write_text("\n".join(orders))

    def take_artifacts(self, other: "Lab") -> None:
        """Copy what another lab trained and fitted, to save time."""
        shutil.copytree(other.results / "artifacts", self.results / "artifacts")
        shutil.copy(other.results / "manifest.json", self.results)

    def command(self, *options: str, verb: str = "run") -> list[str]:
        """Return the command line of a verb on the campaign."""
        output = "-o", str(self.folder / "results")
        plugins = ["--trust-plugins"] if verb == "run" else []
        campaign = str(self.folder / "crashes.yaml")
        return [sys.executable, "-m", "faultbench", verb, campaign, *plugins, *output, *options]

    def start(self, *options: str) -> "Run":
        """Start `faultbench run` in a session of its own."""
        return Run(self, self.command(*options))

    def run(self, *options: str) -> "Run":
        """Run `faultbench run` to its end."""
        run = self.start(*options)
        run.wait()
        return run

    def journal(self) -> JournalContents:
        """Return the content of the journal."""
        return read_journal(self.results / "journal")

    def n_recorded(self) -> int:
        """Return the number of complete lines of trials in the journal."""
        files = (self.results / "journal").glob("*.jsonl")
        lines = (line.rpartition(b"\t") for file in files for line in file.read_bytes().split(b"\n"))
        return sum(b'"kind":"trial"' in text and digits == b"%08x" % zlib.crc32(text) for text, _, digits in lines)

    def n_drawn(self) -> int:
        """Return the number of trials that were started."""
        drawn = self.folder / "drawn"
        return drawn.read_bytes().count(b"\n") if drawn.exists() else 0

    def tables(self) -> dict[str, bytes]:
        """Return the contents of cells.csv and trials.csv."""
        return {name: (self.results / "tables" / name).read_bytes() for name in ("cells.csv", "trials.csv")}


class Run:
    """Process of a running `faultbench`."""

    def __init__(self, lab: Lab, command: Sequence[str], **options: object) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.lab = lab
        self._errors = (lab.folder / f"stderr-{time.monotonic_ns()}").open("w+")
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
            env=environment,
            **options,  # type: ignore[call-overload]
        )

    @property
    def said(self) -> str:
        """Return the standard error so far."""
        self._errors.flush()
        return Path(self._errors.name).read_text()

    @property
    def code(self) -> int | None:
        """Return the exit code; None while the process runs."""
        return self.process.poll()

    def wait(self) -> int:
        """Wait for the end of the process, and return its exit code."""
        return self.process.wait(PATIENCE_S)

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until the condition holds. Return False if the run ended first."""
        return waited_for(lambda: condition() or self.code is not None) and self.code is None

    def until_recorded(self, n_trials: int) -> bool:
        """Wait until n_trials trials are recorded. Return False if the run ended first."""
        return self.until(lambda: self.lab.n_recorded() >= n_trials)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def workers(self) -> list[int]:
        """Return the processes of this run's group that run its trials."""
        return [pid for pid in members(self.process.pid) if pid != self.process.pid and is_worker(pid)]


def members(group: int) -> list[int]:
    """Return the processes of a group that are not zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return sorted(found)


def is_worker(pid: int) -> bool:
    """Return whether a process is one of loky's workers, and not its resource tracker."""
    try:
        return b"popen_loky" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def waited_for(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Wait until a condition holds, and return whether it did in time."""
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s:
        if condition():
            return True
        time.sleep(0.01)
    return False


def resume_commands(said: str) -> Iterator[str]:
    """Yield the commands that a run's output gives to resume it."""
    return (found for found in re.findall(r"to go on: (.+)", said))
