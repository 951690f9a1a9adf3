"""A look at every image of a data set, before a training is spent on it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from mmdeepcluster.apis.unopened import unopened_dataset
from mmdeepcluster.datasets import build_pipeline
from mmdeepcluster.datasets.image_facts import ImageFacts, look_at_images
from mmdeepcluster.engine import ConfigError, prepare_config, write_atomically

# What a training cannot use, then what its owner may not know of.
FATAL = ("unreadable", "pipeline", "shape")
KINDS = (*FATAL, "duplicate", "tiny", "elongated", "grey")
_MEANING = {
    "unreadable": "cannot be decoded",
    "pipeline": "the evaluation pipeline fails",
    "shape": "the evaluation pipeline makes another shape of it",
    "duplicate": "the same contents as an earlier image",
    "tiny": "enlarged more than twice",
    "elongated": "much longer than wide, or wider than high",
    "grey": "no colour",
}
_EXAMPLES = 3


class Finding(NamedTuple):
    """Something to know of an image.

    Attributes:
        index: Its number in the data set, with all files counted.
        name: Its name.
        kind: One of :data:`KINDS`.
        detail: In words.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    name: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Verification:
    """What was found in a data set.

    Attributes:
        num_images: Images that were looked at.
        num_grey: Images without colour; each is a finding unless all of them are grey.
        shape: Shape (C, H, W) behind the evaluation pipeline.
        findings: In the order of the data set.
    """

    num_images: int
    num_grey: int
    shape: tuple[int, ...]
    findings: Sequence[Finding]

    @property
    def counts(self) -> dict[str, int]:
        """Findings by kind."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS}

    @property
    def usable(self) -> bool:
        """Whether a training can read all images."""
        return not any(self.counts[kind] for kind in FATAL)

    def as_csv(self) -> str:
        """A row for each finding."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(Finding._fields)
        writer.writerows(self.findings)
        return text.getvalue()

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        lines = [f"{self.num_images:,} images, {shape or 'none'} behind eval_pipeline"]
        width = max(map(len, KINDS))
        for kind, count in self.counts.items():
            names = [finding.name for finding in self.findings if finding.kind == kind]
            shown = ", ".join(names[:_EXAMPLES]) + (", ..." if len(names) > _EXAMPLES else "")
            text = f"{kind:{width}}  {count:>9,}  {_MEANING[kind]}"
            lines.append(f"{text}: {shown}" if names else text)
        if self.num_grey == self.num_images:
            lines.append("all images are grey")
        return "\n".join(lines)


def verify_dataset(
    config: str | Path | Config,
    *,
    out: str | Path | None = None,
    num_threads: int | None = None,
    max_ratio: float = 4.0,
    min_side: int | None = None,
    split: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Verification:
    """Decodes every image of a config and runs the evaluation pipeline on it; collective.

    Args:
        config: Config file or config.
        out: CSV file of the findings. Defaults to None, no file.
        num_threads: Images at once. Defaults to None, the usable CPU cores.
        max_ratio: Longer side over shorter side from which an image counts as elongated.
        min_side: Shorter side below which an image is tiny. Defaults to half of the shorter side
            behind the pipeline.
        split: Another split of the data set.
        options: What ``--cfg-options`` would set, with dotted keys.

    Raises:
        ConfigError: The config, or an option, cannot be used.
    """
    if max_ratio <= 1:
        raise ConfigError(f"--max-ratio must be above 1, got {max_ratio}")
    if num_threads is not None and num_threads < 1:
        raise ConfigError(f"--num-process must be at least 1, got {num_threads}")
    options = dict(options or {})
    if split is not None:
        options["dataset.split"] = split
    dataset = unopened_dataset(config, options, all_files=True)
    try:
        pipeline = build_pipeline(prepare_config(config, options).eval_pipeline)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"eval_pipeline: {error}") from error
    facts = list(look_at_images(dataset, pipeline, num_threads))
    shape = _usual(fact.shape for fact in facts)
    least = min(shape[1:], default=0) / 2 if min_side is None else min_side
    num_grey = sum(fact.grey for fact in facts)
    findings = [
        Finding(index, dataset.sample_name(index), kind, detail)
        for index, kind, detail in _findings(facts, shape, max_ratio, least)
        if kind != "grey" or num_grey < len(facts)
    ]
    named = [_named_twin(finding, dataset.sample_name) for finding in findings]
    result = Verification(len(facts), num_grey, shape, named)
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(out), result.as_csv())
    return result


def _usual(shapes: Iterator[tuple[int, ...]]) -> tuple[int, ...]:
    """The commonest shape."""
    found = Counter(shape for shape in shapes if shape)
    return found.most_common(1)[0][0] if found else ()


def _findings(
    facts: Sequence[ImageFacts], shape: tuple[int, ...], max_ratio: float, least: float
) -> Iterator[tuple[int, str, str]]:
    """Number, kind and detail; of a duplicate the number of the first one."""
    first: dict[bytes, int] = {}
    for index, fact in enumerate(facts):
        if fact.unreadable is not None:
            yield index, "unreadable", fact.unreadable
            continue
        if fact.refused is not None:
            yield index, "pipeline", fact.refused
        elif fact.shape != shape:
            yield index, "shape", f"{_by(fact.shape)} instead of {_by(shape)}"
        twin = first.setdefault(fact.digest, index)
        if twin != index:
            yield index, "duplicate", str(twin)
        if min(fact.size) < least:
            yield index, "tiny", f"{_by(fact.size)}"
        if max(fact.size) > max_ratio * min(fact.size):
            yield index, "elongated", f"{_by(fact.size)}"
        if fact.grey:
            yield index, "grey", ""


def _named_twin(finding: Finding, name_of: Any) -> Finding:
    if finding.kind != "duplicate":
        return finding
    return finding._replace(detail=f"of {name_of(int(finding.detail))}")


def _by(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers))
