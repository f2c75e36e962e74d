"""Memory of each subject, as a manifest describes it."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from faultbench.results.journal.trial_rules import LARGEST
from faultbench.results.recorded_texts import Line, NetworkText

N_NAMED = 3
"""Most networks or weights that a sentence names."""

Kind = Annotated[str, Field(strict=True, pattern=r"^[a-z_]{1,40}$")]
Bits = Annotated[int, Field(strict=True, gt=0, le=LARGEST)]


class MemoryEntry(BaseModel):
    """Memory of a subject by kind: bits that faults can hit, and bits outside of the targets.

    computed names weights that the user's network computes before each use; memory holds their computed values.
    """

    model_config = ConfigDict(frozen=True)
    subject: Line
    name: NetworkText
    hit: dict[Kind, Bits]
    outside: dict[Kind, Bits]
    computed: tuple[NetworkText, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """Return what a reader of the numbers must know, without the name of the subject; empty if faults hit all."""
        sentences = []
        if self.outside:
            bits = ", ".join(f"{kind} {n_bits:,} bits" for kind, n_bits in self.outside.items())
            sentences.append(f"outside of the targets, where no fault hits: {bits}")
        if self.computed:
            what = "memory holds weights as they are used, which the network computes before each use"
            sentences.append(f"{what}: {_first_names(self.computed)}")
        return sentences


def memory_sentences(entries: Iterable[MemoryEntry]) -> list[str]:
    """Return the sentences on the memory of subjects, each once, with the names of its subjects."""
    names: dict[str, list[str]] = {}
    for entry in entries:
        for sentence in entry.sentences:
            names.setdefault(sentence, []).append(entry.name)
    return [f"{sentence} ({_first_names(of_sentence)})" for sentence, of_sentence in names.items()]


def _first_names(names: Sequence[str]) -> str:
    more = len(names) - N_NAMED
    return ", ".join(names[:N_NAMED]) + (f" and {more:,} more" if more > 0 else "")
