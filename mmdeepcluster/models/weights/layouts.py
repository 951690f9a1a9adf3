"""Where a file of weights keeps the backbone.

Names of parts and prefixes are facts of the files that these projects publish; where a project
published none that could be looked at (DeeperCluster), the search of
:mod:`mmdeepcluster.models.weights.matching` finds the backbone by its shapes under any prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

# What mmdeepcluster writes beside its weights.
IDENTITY = "mmdeepcluster"


class Layout(NamedTuple):
    """One way to keep a backbone in a file.

    Attributes:
        name: For the report.
        prefix: Regular expression of what stands before the names of the backbone.
        place: Regular expression of the keys, joined by dots, of the dict that they stand in.
        mark: Regular expression of a name that must be there as well, or ''.
        library: Names of the backbone that it goes with, or '' for any.
        neck: Prefix of a neck beside it, or ''.
    """

    name: str
    prefix: str
    place: str = r"(.*\.)?(state_dict|model)|"
    mark: str = ""
    library: str = ""
    neck: str = ""


# The first that fits gives the name. Of several networks in a file, as of a teacher and its
# student, the one of the row further up is taken.
LAYOUTS = (
    Layout("MoCo v1/v2", r"(module\.)?encoder_q\.(0\.)?"),
    Layout("MoCo v3", r"(module\.)?base_encoder\."),
    Layout(
        "SwAV / DeepCluster-v2", r"(module\.)?", mark=r"(module\.)?(projection_head|prototypes)\."
    ),
    Layout("DINO (teacher)", r"(module\.)?backbone\.", place="teacher"),
    Layout("DINO (student)", r"(module\.)?backbone\.", place="student"),
    Layout("DeepCluster", r"(module\.)?", library="DeepCluster"),
    Layout("DeeperCluster", r"(module\.)?body\."),
    Layout("VISSL", r"(.*\.)?_feature_blocks\.", place=r".*"),
    Layout("SimSiam", r"(module\.)?encoder\."),
    Layout(
        "OpenMMLab (OpenSelfSup, mmselfsup, mmpretrain)", r"(module\.)?backbone\.", neck="neck."
    ),
    Layout("DeepCluster", r"(module\.)?", mark=r"(module\.)?top_layer\.", library="torchvision"),
    Layout("{library}", r""),
    Layout("{library}, wrapped by DataParallel or torch.compile", r"(module\.|_orig_mod\.)+"),
)
OURS = Layout("mmdeepcluster", r"backbone\.", neck="neck.")


class Container(NamedTuple):
    """A dict of tensors in a file, and the keys that lead to it, joined by dots."""

    place: str
    weights: dict[str, Tensor]


def containers(content: Mapping[str, Any], place: str = "") -> Iterator[Container]:
    """All dicts that hold tensors, the outermost first."""
    weights = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if weights:
        yield Container(place, weights)
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from containers(value, f"{place}.{key}" if place else str(key))


def find_layout(
    content: Mapping[str, Any], container: Container, prefix: str, library: str
) -> tuple[int, Layout]:
    """Rank and layout of a backbone at that place; an unknown one has the last rank."""
    if IDENTITY in content and re.fullmatch(OURS.prefix, prefix):
        return -1, OURS
    for rank, layout in enumerate(LAYOUTS):
        if (
            re.fullmatch(layout.prefix, prefix)
            and re.fullmatch(layout.place, container.place)
            and layout.library in ("", library)
            and (not layout.mark or any(re.match(layout.mark, key) for key in container.weights))
        ):
            return rank, layout._replace(name=layout.name.format(library=library))
    place = ".".join(part for part in (container.place, prefix.removesuffix(".")) if part)
    return len(LAYOUTS), Layout(f"unknown ({library} names below '{place}')", prefix)
