"""Whatever a campaign file, a journal or a manifest holds: it is read, or refused by a FaultbenchError."""

import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultbench.campaign import parse_campaign
from faultbench.output.export.table_files import write_tables
from faultbench.results.analysis.results import read_results
from faultbench.results.journal.records import Quarantine
from faultbench.results.merge import merge
from faultbench.system.errors import FaultbenchError
from tests.builders.campaign_texts import SMALL
from tests.builders.results import ArtificialCampaign, a_golden, a_trial, an_overhead

pytestmark = pytest.mark.slow

VALID = [
    SMALL,
    """\
name: paper_table
seed: 2024
datasets: [digits, cifar10]
models:
  - digits_cnn
  - {name: resnet20, when: {dataset: cifar10}}
  - {name: "torchvision:mobilenet_v2", when: {dataset: [cifar10]}}
schemes: [relu, {name: clip_act, granularity: channel, label: "Clip-Act (channel)"}, {name: ranger, out_of_range: zero}]
formats: [q15.16, float32]
faults: [{name: bernoulli, targets: [weights, bounds], layers: ["*"], bits: [0, 31]}]
bers: [1e-7, 3e-7]
trials: 100
images: all
training: {schedule: paper}
""",
]

WORDS = [
    "name", "models", "schemes", "plugins", "weights", "label", "when", "bers", "images", "trials", "null", "true",
    "1e-7", ".inf", ".nan", "-1", "0x10", "9" * 400, "{", "}", "[", "]", ":", ": ", "- ", "&a", "*a", "!!int", "<<",
    "---", "...", "'", '"', "\n", "\t", "\x00", "\\ud83d", "# ", "|", ">", "%", "@", "`", "?", ",", "../../etc/passwd",
    "q99999.1", "torchvision:", "q0.0", "é\u202e", "\ufeff", "plugins: [os]\n", "plugins: [a.b, '']\n",
]  # fmt: skip

slow_ok = settings(
    max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
few = settings(slow_ok, max_examples=300)

edits = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 12), st.sampled_from(WORDS) | st.text(max_size=4)),
    min_size=1,
    max_size=6,
)


def edited(text: str, changes: list[tuple[float, int, str]]) -> str:
    """The text with stretches of it replaced, at fractions of its length."""
    for place, n_dropped, put in changes:
        start = int(place * (len(text) + 1))
        text = text[:start] + put + text[start + n_dropped :]
    return text


@slow_ok
@given(text=st.sampled_from(VALID), changes=edits)
def test_a_mutated_campaign_is_read_or_refused(
    text: str, changes: list[tuple[float, int, str]], tmp_path: Path
) -> None:
    with suppress(FaultbenchError):
        parse_campaign(edited(text, changes), tmp_path / "fuzz.yaml", allow_outside=False)
    assert not list(tmp_path.iterdir())


@few
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_campaign_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(FaultbenchError):
        parse_campaign(data.decode("latin-1"), tmp_path / "fuzz.yaml")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)

RECORDS = [
    a_trial().to_record(),
    a_golden().to_record(),
    an_overhead().to_record(),
    Quarantine(cell="c" * 32, trial=1, n_deaths=3, reason="killed").to_record(),
]


def all_that_reads(folder: Path) -> None:
    """Read a results folder as the verbs do."""
    with suppress(FaultbenchError):
        write_tables(read_results(folder), folder.parent / "tables")
    with suppress(FaultbenchError):
        merge(folder.parent / "merged", [folder])


@few
@given(record=st.sampled_from(RECORDS), data=st.data(), value=plain, junk=st.binary(max_size=30))
def test_a_journal_of_anything_with_the_right_checksum_is_read_or_refused(
    record: dict[str, Any], data: st.DataObject, value: Any, junk: bytes, tmp_path: Path
) -> None:
    made = ArtificialCampaign(bers=(1e-6,), schemes=("relu",), trials=2)
    folder = made.write_manifest(tmp_path)
    (folder / "journal").mkdir(exist_ok=True)
    owner = {"cell": made.cells[0]["cell"], "subject": made.cells[0]["subject"]}
    record = {**record, **{key: owner[key] for key in owner if key in record}}
    changed = {**record, data.draw(st.sampled_from(sorted(record)) | st.text(max_size=5)): value}
    texts = [json.dumps(record).encode(), json.dumps(changed).encode(), json.dumps(value).encode(), junk, b"[" * 99_999]
    lines = [b"%s\t%08x\n" % (text, zlib.crc32(text)) for text in texts if b"\n" not in text]
    (folder / "journal" / "fuzz.jsonl").write_bytes(b"".join(lines) + junk)
    all_that_reads(folder)


@few
@given(path=st.lists(st.integers(0, 9), max_size=4), value=plain)
def test_a_manifest_with_anything_in_it_is_read_or_refused(path: list[int], value: Any, tmp_path: Path) -> None:
    folder = ArtificialCampaign(bers=(1e-6,), trials=2).write(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    holder: Any = {"whole": manifest}
    whole, key = holder, "whole"
    for step in path:
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        holder, key = inner, (sorted(inner)[step % len(inner)] if isinstance(inner, dict) else step % len(inner))
    holder[key] = value
    (folder / "manifest.json").write_text(json.dumps(whole["whole"]))
    all_that_reads(folder)
