"""Digests of the test images, stored weights and bounds that the trials of a results folder used.

The key of a cell says how its images and weights are made, not which ones were made. Two machines can train different
weights from one campaign, and a folder of images can change: trials of one cell would then belong to two networks.
"""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from faultbench.system.errors import FaultbenchError
from faultbench.system.printable import printable, shortened

Digests = dict[str, dict[str, str]]
"""Kind of content → key of how it is made → SHA-256 in hex."""

DIGESTS_KEY = "made_of"
"""Key of the manifest that holds the digests; `data` has them by labels of the campaign, which may change meaning."""

IMAGES, WEIGHTS, BUFFERS, BOUNDS = "test images", "stored weights", "buffers", "fitted bounds"

_LABELLED = (IMAGES, WEIGHTS)
"""Kinds whose digests `data` of the manifest has by label too."""


def digests_by_key(manifest: Mapping[str, Any]) -> Digests:
    """Return the digests that a manifest has by key; empty for folders of earlier versions."""
    return _texts(manifest.get(DIGESTS_KEY), (IMAGES, WEIGHTS, BUFFERS, BOUNDS))


def digests_by_label(manifest: Mapping[str, Any]) -> Digests:
    """Return the digests that `data` of a manifest has, by kind and label."""
    return _texts(manifest.get("data"), _LABELLED)


def join_digests(parts: Iterable[Mapping[str, Mapping[str, str]]]) -> Digests:
    """Return the union of digests that do not contradict each other."""
    union: Digests = {}
    for part in parts:
        for kind, digests in part.items():
            union.setdefault(kind, {}).update(digests)
    return union


def require_equal(
    which: str,
    then: Mapping[str, Mapping[str, str]],
    now: Mapping[str, Mapping[str, str]],
    advice: str,
    names: Mapping[str, str] | None = None,
) -> None:
    """Raise FaultbenchError if a key has two different digests.

    which begins the message and says who has the other digest; names maps keys to names for the message.
    """
    for kind, digests in then.items():
        for key in sorted(digests.keys() & now.get(kind, {}).keys()):
            there, here = digests[key], now[kind][key]
            if there != here:
                name = shortened((names or {}).get(key, key), 200)
                raise FaultbenchError(
                    f"{which} other {kind} of {name}: SHA-256 {printable(there[:16])}… there, "
                    f"{printable(here[:16])}… here; {advice}"
                )


def recorded_digests(
    manifest: Mapping[str, Any], subjects: Mapping[str, tuple[str, str]]
) -> tuple[Digests, Digests, dict[str, Any]]:
    """Return three parts of a manifest: digests by key, the digests of `data` by key, and `data`.

    The last two are limited to labels that still mean the same. subjects maps subject keys to the keys of images and
    network.
    """
    labels = labels_in_common(manifest, subjects)
    return digests_by_key(manifest), labelled_digests(manifest, labels), labelled_data(manifest, labels)


def labels_in_common(
    manifest: Mapping[str, Any], subjects: Mapping[str, tuple[str, str]]
) -> dict[str, tuple[str, str]]:
    """Return label in `data` of a manifest → kind and key of the same content in this campaign.

    subjects maps subject keys to the keys of images and network. A label means the same if the manifest lists it with
    one of these subjects.
    """
    labels: dict[str, tuple[str, str]] = {}
    cells = manifest.get("cells")
    for entry in cells if isinstance(cells, list) else []:
        if isinstance(entry, dict) and isinstance(subject := entry.get("subject"), str) and subject in subjects:
            images, network = subjects[subject]
            labels[f"{entry.get('dataset')}"] = (IMAGES, images)
            labels[f"{entry.get('dataset')}/{entry.get('model')}/{entry.get('format')}"] = (WEIGHTS, network)
    return labels


def labelled_digests(manifest: Mapping[str, Any], labels: Mapping[str, tuple[str, str]]) -> Digests:
    """Return the digests that `data` of a manifest has for these labels, by key; earlier versions wrote no others."""
    by_label, by_key = digests_by_label(manifest), Digests()
    for label, (kind, key) in labels.items():
        if label in by_label[kind]:
            by_key.setdefault(kind, {})[key] = by_label[kind][label]
    return by_key


def labelled_data(manifest: Mapping[str, Any], labels: Container[str]) -> dict[str, Any]:
    """Return the entries of `data` of a manifest for these labels, so that a run that stops early keeps them."""
    data = manifest.get("data")
    kinds = data.items() if isinstance(data, dict) else ()
    kept = {
        kind: {k: v for k, v in values.items() if k in labels} for kind, values in kinds if isinstance(values, dict)
    }
    return {kind: values for kind, values in kept.items() if values}


def _texts(value: Any, kinds: Iterable[str]) -> Digests:
    """Return the texts of each kind; anything else, wherever it stands, is left out."""
    recorded = value if isinstance(value, dict) else {}
    by_kind = {kind: recorded[kind] if isinstance(recorded.get(kind), dict) else {} for kind in kinds}
    return {kind: {k: text for k, text in texts.items() if isinstance(text, str)} for kind, texts in by_kind.items()}
