"""Memory, traffic and time over a grid of sizes, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from scaling_fit import rates
from scaling_model import (
    bytes_per_rank,
    checkpoint_bytes,
    kmeans_bytes,
    memory_parts,
    memory_per_rank,
    message_bytes,
    seconds_per_cycle,
)
from scaling_problem import BF16, FP32, FP64, Problem, Rates, Search, Sizes

SAMPLES = {"1.28M": 1_281_167, "96M": 95_920_149, "1B": 1_000_000_000}
CLUSTERS = {"10k": 10_000, "320k": 320_000, "1M": 1_000_000}
DIMS = (256, 4096)
WORLDS = (1, 8, 64, 512)
# The sizes that belong together: about a hundred or more samples a cluster.
PAIRS = (("1.28M", "10k"), ("96M", "320k"), ("1B", "1M"))
# Assumed of a GPU: peak rates and bandwidth of the data sheet of an H200 and of PCIe 5, and the
# share of a peak that is hoped for. None was measured with this code.
SEARCH_FLOPS = 330e12  # of 790e12 in bf16: the product, its search and the certificate in one
FP32_FLOPS = 67e12
DEVICE_BYTES = 4.3e12
HOST_BYTES = 50e9
LINK_BYTES = 25e9
# VGG-16 at 224 pixels: 31 GFLOP forward and three times that in training, at half of TF32; an
# extraction waits for JPEG decoding, 2.8 ms an image on each of 16 cores.
TRAIN_IMAGES = 200e12 / 93e9
EXTRACT_IMAGES = 16 / 2.8e-3
DEVICE_MEMORY = 141e9


def gpu_rates(coefficients: dict[str, float]) -> Rates:
    """Assumed rates of one GPU a process; what stays on the host is as fitted."""
    number = (BF16 + 2 * FP32) / DEVICE_BYTES  # the copy is searched, the rows are added
    search = Search(
        multiply=2.0 / SEARCH_FLOPS,
        score=0.0,
        number=number,
        row=0.0,
        # Every matrix (K, D) is read and written once.
        centre=8 * 2 * FP64 / DEVICE_BYTES,
        once=4 * FP32 / DEVICE_BYTES,
        call=1e-4,
    )
    host = rates(coefficients, 1.0 / EXTRACT_IMAGES, 1.0 / TRAIN_IMAGES, 1.0 / LINK_BYTES)
    return replace(
        host,
        held=search,
        mapped=search,
        pca_multiply=2.0 / FP32_FLOPS,
        pca_number=2 * FP32 / HOST_BYTES,  # read twice
        apply_multiply=2.0 / FP32_FLOPS,
        apply_number=FP32 / HOST_BYTES,
        move_byte=2.0 / DEVICE_BYTES,
    )


def problem(
    samples: str, clusters: str, dim: int, world: int, params: int, grouped: bool = False
) -> Problem:
    """The cycle of a row of a table."""
    return Problem(
        SAMPLES[samples],
        CLUSTERS[clusters],
        dim,
        world,
        backbone_params=params,
        grouped=grouped,
    )


def can_group(world: int) -> bool:
    """Whether W processes can hold one of 16 sub-heads each."""
    return world % 16 == 0


def giga(value: float) -> str:
    """Gigabytes (1e9) with two or three digits."""
    value /= 1e9
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}" if value < 0.995 else f"{value:.1f}"


def timed(seconds: float) -> str:
    """Seconds, minutes, hours or days."""
    if 0 < seconds < 0.01:
        return "< 0.01 s"
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            value = seconds / size
            return f"{value:,.0f} {unit}" if value >= 99.5 else f"{value:.3g} {unit}"
    return f"{seconds:.2g} s"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Lines of a table in Markdown."""
    head = list(head)
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join("---" for _ in head) + " |"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def samples_table(sizes: Sizes) -> Iterator[str]:
    """What each process holds of all samples, however many processes there are."""
    rows = []
    for name, number in SAMPLES.items():
        parts = memory_parts(Problem(number, 4, 4, 512, feature_dim=4), sizes)
        cells = [parts["labels"].device, parts["level 1"].host]
        cells += [parts["new labels"].host, parts["draws"].host]
        rows.append([name, *map(giga, cells)])
    head = ["N", "labels, device", "level 1, host", "new labels, host", "draws, host"]
    return table(head, rows)


def rows_table() -> Iterator[str]:
    """Rows of a process: on the host as extracted, on the device as clustered."""
    rows = []
    for name, number in SAMPLES.items():
        for kind, dim, width in (
            ("features F = 4096, host", 4096, FP32),
            ("rows D = 256, device", 256, FP32 + BF16),
            ("rows D = 4096, device", 4096, FP32 + BF16),
        ):
            rows.append([name, kind, *(giga(number * dim * width / w) for w in WORLDS)])
    return table(["N", "", *(f"W = {world}" for world in WORLDS)], rows)


def clusters_table(sizes: Sizes) -> Iterator[str]:
    """What grows with the number of clusters, for m = 4."""
    rows = []
    for name, number in CLUSTERS.items():
        for dim in DIMS:
            sub = Problem(number, number, dim)
            wide = replace(sub, dim=4096)
            cells = [
                number * dim * FP32,
                sub.sub_clusters * dim * FP64,
                kmeans_bytes(0, dim, sub.sub_clusters, sizes),
                message_bytes(sub.sub_clusters, dim),
                3 * wide.sub_head_bytes,
                3 * wide.num_super_classes * wide.sub_head_bytes,
            ]
            rows.append([name, str(dim), *map(giga, cells)])
    head = ["K", "D", "centroids", "one sum (K/4, D)", "level 2, peak", "message of an iteration"]
    return table([*head, "one sub-head x 3", "16 sub-heads x 3"], rows)


def peak_cell(found: Problem, sizes: Sizes, on_device: bool) -> str:
    """Largest phase; bold where a GPU of 141 GB does not hold it."""
    phases = {
        phase: memory.device if on_device else memory.host
        for phase, memory in memory_per_rank(found, sizes).items()
    }
    phase = max(phases, key=lambda name: phases[name])
    text = giga(phases[phase])
    if on_device and phases[phase] > DEVICE_MEMORY:
        text = f"**{text}**"
    return f"{text} ({phase})"


def memory_table(sizes: Sizes, params: int) -> Iterator[str]:
    """Peaks on host and device."""
    rows = []
    for samples, clusters in PAIRS:
        for dim in DIMS:
            for world in WORLDS:
                found = problem(samples, clusters, dim, world, params)
                cells = [samples, clusters, str(dim), str(world), peak_cell(found, sizes, False)]
                cells.append(peak_cell(found, sizes, True))
                grouped = "-"
                if can_group(world):
                    grouped = peak_cell(replace(found, grouped=True), sizes, True)
                rows.append([*cells, grouped])
    head = ["N", "K", "D", "W", "host", "device, all sub-heads", "device, grouped"]
    return table(head, rows)


def traffic_table(params: int) -> Iterator[str]:
    """Bytes that a process sends in a cycle."""
    rows = []
    for samples, clusters in PAIRS:
        for dim in DIMS:
            for world in WORLDS[1:]:
                found = problem(samples, clusters, dim, world, params, can_group(world))
                sent = bytes_per_rank(found)
                mode = "grouped" if found.grouped else "all"
                rows.append(
                    [samples, clusters, str(dim), str(world), mode, *map(giga, sent.values())]
                )
    return table(["N", "K", "D", "W", "sub-heads", *sent], rows)


def time_table(found_rates: Rates, params: int, worlds: Iterable[int]) -> Iterator[str]:
    """Time of the phases of a cycle."""
    rows = []
    for samples, clusters in PAIRS:
        for dim in DIMS:
            for world in worlds:
                found = problem(samples, clusters, dim, world, params, can_group(world))
                phases = seconds_per_cycle(found, found_rates)
                rows.append([samples, clusters, str(dim), str(world), *map(timed, phases.values())])
    return table(["N", "K", "D", "W", *phases], rows)


def cpu_table(found_rates: Rates) -> Iterator[str]:
    """Clustering alone on the measured machine."""
    rows = []
    for samples, clusters in PAIRS:
        for dim in DIMS:
            phases = seconds_per_cycle(problem(samples, clusters, dim, 1, 0), found_rates)
            names = ("PCA", "level 1", "redistribution", "level 2", "labels", "sampler")
            rows.append([samples, clusters, str(dim), *(timed(phases[name]) for name in names)])
    return table(["N", "K", "D", *names], rows)


def checkpoint_table(params: int) -> Iterator[str]:
    """Size of a checkpoint, which the main process writes."""
    rows = []
    for samples, clusters in PAIRS:
        found = problem(samples, clusters, 256, 1, params)
        labels = 16 * found.num_samples + 8 * found.num_clusters
        rows.append([samples, clusters, giga(labels), giga(checkpoint_bytes(found))])
    return table(["N", "K", "labels and counts", "all"], rows)
