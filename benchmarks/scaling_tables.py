"""Tables of ``docs/scaling.md``, from the file that ``scaling.py`` wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

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
MARKER = "<!-- tables: python benchmarks/scaling.py --tables -->"


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
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return (
                f"{seconds / size:.3g} {unit}"
                if seconds < 99.5 * size
                else (f"{seconds / size:,.0f} {unit}")
            )
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


def fit_table(stored: dict[str, Any]) -> Iterator[str]:
    """Fitted coefficients as rates, by both clocks."""
    wall, processor = (stored["coefficients"][clock] for clock in ("wall", "processor"))
    rows = [[term, f"{value:.2e}", f"{processor[term]:.2e}"] for term, value in wall.items()]
    return table(["seconds for a unit of", "wall", "processor"], rows)


def error_table(stored: dict[str, Any]) -> Iterator[str]:
    """How well the fit repeats what it was fitted to."""
    wall, processor = (stored["errors"][clock] for clock in ("wall", "processor"))
    rows = [
        [phase, *(f"{found[key]:.0%}" for found in (error, processor[phase]) for key in error)]
        for phase, error in wall.items()
    ]
    head = ["phase", "wall: rms", "largest", "processor: rms", "largest"]
    return table(head, rows)


def sizes_table(stored: dict[str, Any]) -> Iterator[str]:
    """Measured memory of a unit."""
    rows = [[name, f"{value:,.1f}"] for name, value in stored["sizes"].items()]
    return table(["measured", ""], rows)


def check_table(check: dict[str, Any]) -> Iterator[str]:
    """The larger run beside its prediction."""
    measured, rows = check["measured"], []
    for clock, parts in check["predicted_parts"].items():
        level_1, *others = (part[clock] for part in measured["parts"])
        found = {"level 1": level_1, "level 2": sum(others)}
        found["redistribution"] = measured[clock] - level_1 - sum(others)
        parts = parts | {"all": check["predicted"][clock]}
        found["all"] = measured[clock]
        rows.append([clock, "predicted", *(f"{seconds:.1f} s" for seconds in parts.values())])
        rows.append([clock, "measured", *(f"{found[phase]:.1f} s" for phase in parts)])
        ratios = (found[phase] / seconds for phase, seconds in parts.items())
        rows.append([clock, "measured / predicted", *(f"{ratio:.2f}" for ratio in ratios)])
    return table(["clock", "", *parts], rows)


def about(stored: dict[str, Any]) -> str:
    """Where the figures come from."""
    place = stored["machine"]
    return (
        f"`{stored['command']}`, {stored['date']}, {place['cpu']}, {place['threads']} of "
        f"{place['cores']} cores, load average {place['load_average'][0]:.1f}, torch "
        f"{stored['versions']['torch']}."
    )


def about_check(check: dict[str, Any]) -> str:
    """The verdict on the larger run."""
    rows, dim, supers, subs = check["shape"]
    measured = check["measured"]
    calibrators = [
        f"{check[when][f'{kind}_gflops']:.0f}"
        for kind in ("fp32", "bf16")
        for when in ("calibrator_before", "calibrator_after")
    ]
    return (
        f"{rows:,} x {dim} mapped rows into {supers} x {subs:,} clusters, "
        f"{measured['num_iters']} iterations: peak resident set "
        f"{measured['peak_bytes'] / 2**30:.2f} GiB; other processes used "
        f"{measured['foreign']:.0%} of the machine, so the {check['clock']} time counts; bare "
        f"product before and after, GFLOP/s: fp32 {calibrators[0]} and {calibrators[1]}, bf16 "
        f"{calibrators[2]} and {calibrators[3]}."
    )


def all_tables(stored: dict[str, Any]) -> Iterator[tuple[str, Iterator[str]]]:
    """Titles and lines."""
    sizes, params = Sizes(**stored["sizes"]), stored["backbone"]["parameters"]
    own = stored["coefficients"]["wall"]
    yield f"### Measured and fitted\n\n{about(stored)}", fit_table(stored)
    yield "Relative error of the fit", error_table(stored)
    yield "Bytes, and matrices (K, D) in fp64, from measured peaks", sizes_table(stored)
    if "check" in stored:
        text = f"### Predicted and measured\n\n{about_check(stored['check'])}"
        yield text, check_table(stored["check"])
    yield (
        "### Memory\n\nGB that every process holds of all N samples (W = 512)",
        samples_table(sizes),
    )
    yield "GB of the rows of a process", rows_table()
    yield "GB that grow with K (m = 4, head on F = 4096)", clusters_table(sizes)
    yield "Peak of a process in GB, and its phase (bold: above 141 GB)", memory_table(sizes, params)
    yield "GB of a checkpoint", checkpoint_table(params)
    yield "### Traffic\n\nGB that a process sends in a cycle of 3 epochs", traffic_table(params)
    yield (
        "### Time\n\nA cycle on one GPU a process: GPU and links assumed, host fitted",
        time_table(gpu_rates(own), params, WORLDS),
    )
    yield (
        "Clustering and bookkeeping by one process on the measured machine: fitted",
        cpu_table(rates(own, 0.0, 0.0, 0.0)),
    )


def text_of_tables(stored: dict[str, Any]) -> str:
    """All tables in Markdown."""
    return "\n\n".join(
        f"{title}:\n\n" + "\n".join(lines)
        if "###" not in title
        else f"{title}\n\n" + "\n".join(lines)
        for title, lines in all_tables(stored)
    )


def replace_tables(file: Path, text: str) -> None:
    """Puts the tables where others stand in a document.

    Raises:
        ValueError: If the document has no place for them.
    """
    parts = file.read_text().split(MARKER)
    if len(parts) != 3:
        raise ValueError(f"{file} must hold {MARKER!r} twice, around the tables")
    file.write_text(f"{parts[0]}{MARKER}\n\n{text}\n\n{MARKER}{parts[2]}")
