import json
import os
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from faultbench.results.journal import journal as journal_module
from faultbench.results.journal.contents import JournalContents, read_journal
from faultbench.results.journal.journal import Journal
from faultbench.results.journal.records import Quarantine, Trial
from faultbench.system.errors import EngineError, FaultbenchError
from tests.builders.results import a_golden, a_trial, an_overhead, write_journal

TRIALS = [a_trial(trial=number) for number in range(3)]


def read_trials(folder: Path) -> list[Trial]:
    return list(read_journal(folder).trials.values())


def lines_with_good_crc(*texts: bytes) -> bytes:
    return b"".join(b"%s\t%08x\n" % (text, zlib.crc32(text)) for text in texts)


def test_what_is_appended_reads_back_by_its_key(tmp_path: Path):
    write_journal(tmp_path, "one", [a_golden(), *TRIALS, an_overhead()])
    assert read_journal(tmp_path) == JournalContents(
        goldens={"s" * 32: a_golden()},
        trials={("c" * 32, number): trial for number, trial in enumerate(TRIALS)},
        overheads={"s" * 32: an_overhead()},
        n_damaged=0,
    )


def test_a_missing_folder_holds_nothing(tmp_path: Path):
    assert read_journal(tmp_path / "journal") == JournalContents()


def test_a_line_is_json_a_tab_the_crc_of_the_json_and_a_newline(tmp_path: Path):
    path = write_journal(tmp_path, "one", TRIALS[:1])
    text, digits = path.read_text().removesuffix("\n").split("\t")
    assert json.loads(text) == TRIALS[0].to_record()
    assert digits == f"{zlib.crc32(text.encode()):08x}"


def test_reopening_a_file_adds_to_it(tmp_path: Path):
    write_journal(tmp_path, "one", TRIALS[:1])
    write_journal(tmp_path, "one", TRIALS[1:])
    assert read_trials(tmp_path) == TRIALS


def test_any_flipped_bit_costs_its_line_and_no_other(tmp_path: Path):
    path = write_journal(tmp_path, "one", TRIALS)
    whole = path.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for place in range(len(whole)):
        struck = sum(end < place for end in ends)
        # A newline that is gone joins its line with the next one, if there is one.
        hurt = {struck, struck + 1} if place in ends else {struck}
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            contents = read_journal(tmp_path)
            assert list(contents.trials.values()) == [t for t in TRIALS if t.trial not in hurt], (place, bit)
            assert 1 <= contents.n_damaged <= 2, (place, bit)


def test_a_file_cut_anywhere_keeps_its_whole_lines_and_can_be_continued(tmp_path: Path):
    path = write_journal(tmp_path, "one", TRIALS)
    whole = path.read_bytes()
    later = a_trial(trial=99)
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        # The last line is whole without its newline too.
        n_whole = whole[:length].count(b"\n") + (whole[length : length + 1] == b"\n")
        torn = length > 0 and whole[length - 1 : length] != b"\n" and whole[length : length + 1] != b"\n"
        contents = read_journal(tmp_path)
        assert list(contents.trials.values()) == TRIALS[:n_whole], length
        assert contents.n_damaged == torn, length
        write_journal(tmp_path, "one", [later])
        assert read_trials(tmp_path) == [*TRIALS[:n_whole], later], length


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"3",
        b"{}",
        b"not json",
        b"\xff\xfe",
        b'{"kind":["trial"]}',
        b'{"kind":"trial"}',
        json.dumps({**TRIALS[0].to_record(), "n_images": 1}).encode(),
        json.dumps({**TRIALS[0].to_record(), "cell": None}).encode(),
        json.dumps({**an_overhead().to_record(), "fit_seconds": float("nan")}).encode(),
    ],
)
def test_a_record_that_makes_no_sense_is_counted_as_damaged(tmp_path: Path, text: bytes):
    (tmp_path / "one.jsonl").write_bytes(lines_with_good_crc(text, json.dumps(TRIALS[1].to_record()).encode()))
    contents = read_journal(tmp_path)
    assert contents.n_damaged == 1
    assert list(contents.trials.values()) == [TRIALS[1]]


@pytest.mark.parametrize(
    "text", [b"", b"{", b"1,2", b'{"kind":"trial"},{"kind":"trial"}', b"]", b"[" * 100_000, b"\xff"]
)
def test_a_line_that_is_no_record_takes_no_other_line_along(tmp_path: Path, text: bytes):
    sound = [json.dumps(trial.to_record()).encode() for trial in TRIALS]
    (tmp_path / "one.jsonl").write_bytes(lines_with_good_crc(sound[0], text, *sound[1:]))
    contents = read_journal(tmp_path)
    assert sorted(contents.trials) == sorted((trial.cell, trial.trial) for trial in TRIALS)
    assert contents.n_damaged == 1


def test_equal_records_of_several_files_merge(tmp_path: Path):
    write_journal(tmp_path, "one", [a_golden(), *TRIALS[:2]])
    write_journal(tmp_path, "two", [a_golden(), *TRIALS[1:]])
    contents = read_journal(tmp_path)
    assert sorted(contents.trials) == [("c" * 32, number) for number in range(3)]
    assert contents.n_damaged == 0


def test_a_trial_recorded_twice_with_different_outcomes_is_an_error_that_names_it(tmp_path: Path):
    write_journal(tmp_path, "one", [TRIALS[1]])
    write_journal(tmp_path, "two", [replace(TRIALS[1], n_correct=100)])
    with pytest.raises(FaultbenchError, match=r"two\.jsonl.*cell c{32} trial 1.*n_correct 178 before, 100 here"):
        read_journal(tmp_path)


def test_two_golden_runs_of_a_subject_that_differ_are_an_error_that_names_it(tmp_path: Path):
    write_journal(tmp_path, "one", [a_golden(), a_golden(n_correct=190)])
    with pytest.raises(FaultbenchError, match=r"subject s{32}.*n_correct 196 before, 190 here"):
        read_journal(tmp_path)


def test_a_quarantined_trial_that_was_run_after_all_is_a_trial(tmp_path: Path):
    given_up = [Quarantine(cell="c" * 32, trial=number, n_deaths=3, reason="killed") for number in (1, 2)]
    write_journal(tmp_path, "one", [*given_up, replace(given_up[1], n_deaths=4)])
    write_journal(tmp_path, "two", [TRIALS[1]])
    contents = read_journal(tmp_path)
    assert list(contents.trials) == [("c" * 32, 1)]
    assert contents.quarantined == {("c" * 32, 2): replace(given_up[1], n_deaths=4)}


def test_the_last_overhead_in_the_order_of_files_wins(tmp_path: Path):
    write_journal(tmp_path, "b", [an_overhead(fit_seconds=3.0)])
    write_journal(tmp_path, "a", [an_overhead(fit_seconds=1.0), an_overhead(fit_seconds=2.0)])
    assert read_journal(tmp_path).overheads["s" * 32].fit_seconds == 3.0


def test_a_full_disk_is_an_engine_error_that_names_the_file(tmp_path: Path):
    (tmp_path / "one.jsonl").symlink_to("/dev/full")
    journal = Journal(tmp_path, "one")
    with pytest.raises(EngineError, match=r"one\.jsonl.*No space left"):
        journal.append(TRIALS[0].to_record())


def test_a_line_that_the_disk_took_in_part_is_an_error_and_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with Journal(tmp_path, "one") as journal:
        journal.append(TRIALS[0].to_record())
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: len(data) // 2]))
        with pytest.raises(EngineError, match=r"one\.jsonl.*No space left"):
            journal.append(TRIALS[1].to_record())
        monkeypatch.undo()
        journal.append(TRIALS[2].to_record())
    contents = read_journal(tmp_path)
    assert list(contents.trials.values()) == [TRIALS[0], TRIALS[2]]
    assert contents.n_damaged == 1


def test_a_folder_that_cannot_be_made_is_an_engine_error_that_names_it(tmp_path: Path):
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(EngineError, match=r"journal/one\.jsonl"):
        Journal(tmp_path / "journal", "one")


def test_records_reach_the_disk_once_a_second_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now_s, synced_at_s = 0.0, []
    monkeypatch.setattr(journal_module, "perf_counter", lambda: now_s)
    monkeypatch.setattr(os, "fsync", lambda _: synced_at_s.append(now_s))
    with Journal(tmp_path, "one") as journal:
        for number in range(25):
            now_s = number / 10
            journal.append(a_trial(trial=number).to_record())
    assert synced_at_s == [1.0, 2.0, 2.4]


def test_every_record_is_one_write_at_the_end_of_the_file(tmp_path: Path):
    with Journal(tmp_path, "one") as first, Journal(tmp_path, "one") as second:
        for trial, journal in zip(TRIALS, (first, second, first), strict=True):
            journal.append(trial.to_record())
    assert read_trials(tmp_path) == TRIALS


def test_a_closed_journal_takes_no_record_and_closes_again(tmp_path: Path):
    with Journal(tmp_path, "one") as journal:
        pass
    journal.close()
    with pytest.raises(ValueError, match="closed"):
        journal.append(TRIALS[0].to_record())


@pytest.mark.parametrize("writer", ["", "../one", "a/b", ".hidden", "a b"])
def test_a_writers_name_is_a_plain_file_name(tmp_path: Path, writer: str):
    with pytest.raises(ValueError, match="writer"):
        Journal(tmp_path, writer)


def test_a_number_that_json_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path):
    with Journal(tmp_path, "one") as journal, pytest.raises(ValueError, match="JSON"):
        journal.append({"kind": "overhead", "fit_seconds": float("nan")})
    assert journal.path.read_bytes() == b""
