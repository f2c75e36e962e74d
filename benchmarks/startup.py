"""How long the verbs take to start, and which imports they spend it on.

    python benchmarks/startup.py [--rounds N] [--output DIR]

Every verb is a new process; in a round each has its turn, and the table has the medians, by the clock and of the
processor, which other work on the machine disturbs less. The breakdown, from
`python -X importtime`, is of another run: it says what share of it each package's own code took while being imported.
"""

import argparse
import os
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import DOCS, machine, seconds, write_csv

from faultbench.campaign import load_campaign
from faultbench.results.manifest_file import write_manifest

CAMPAIGN = Path(__file__).parent.parent / "campaigns" / "quickstart.yaml"
ASKED_S = {"--help": 0.5, "validate": 0.5}
N_PACKAGES = 4
"""Packages named in a breakdown."""


def verbs(results: Path) -> dict[str, list[str]]:
    """Name in the table → arguments."""
    timing = ["--no-timing"] if "--no-timing" in _output(["plan", "--help"]) else []
    return {
        "--help": ["--help"],
        "validate": ["validate", str(CAMPAIGN)],
        "list models": ["list", "models"],
        "status": ["status", str(results)],
        " ".join(["plan", *timing]): ["plan", str(CAMPAIGN), "-o", str(results / "none"), *timing],
    }


def write_results(folder: Path) -> None:
    """A results folder of the campaign in which no trial is done."""
    (folder / "journal").mkdir(parents=True)
    write_manifest(folder, load_campaign(CAMPAIGN), command=[], execution={}, data={}, findings={})


def started(arguments: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    """One run to its end; CalledProcessError unless all went well."""
    command = [sys.executable, *options, "-m", "faultbench", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)


def _output(arguments: list[str]) -> str:
    return started(arguments).stdout


def children_s() -> float:
    """Processor time of all processes that this one started and saw end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def breakdown(arguments: list[str]) -> str:
    """The packages that take longest to import, with their milliseconds, their parts' included."""
    own: Counter[str] = Counter()
    for line in started(arguments, "-X", "importtime").stderr.splitlines():
        if line.startswith("import time:") and "self [us]" not in line:
            microseconds, _, name = line.removeprefix("import time:").split("|")
            own[name.strip().partition(".")[0]] += int(microseconds)
    return ", ".join(f"{name} {microseconds / 1000:.0f}" for name, microseconds in own.most_common(N_PACKAGES))


def main() -> None:
    """Measure, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=DOCS, help="folder for startup.csv")
    given = parser.parse_args()
    note = f"{machine()}; median of {given.rounds} interleaved rounds"
    print(note)
    with TemporaryDirectory() as folder:
        write_results(Path(folder) / "quickstart")
        asked = verbs(Path(folder) / "quickstart")
        times: dict[str, list[float]] = {name: [] for name in asked}
        processor: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(given.rounds):
            for name, arguments in asked.items():
                before = children_s()
                times[name].append(seconds(lambda arguments=arguments: started(arguments)))
                processor[name].append(children_s() - before)
        rows = [
            {
                "verb": name,
                "seconds": median(times[name]),
                "cpu_seconds": median(processor[name]),
                "asked": ASKED_S.get(name, ""),
                "imports_ms": breakdown(asked[name]),
            }
            for name in asked
        ]
    for row in rows:
        print(f"{row['verb']:<18}{row['seconds']:6.2f} s, cpu {row['cpu_seconds']:.2f} s   {row['imports_ms']}")
    write_csv(given.output / "startup.csv", rows, note)


if __name__ == "__main__":
    main()
