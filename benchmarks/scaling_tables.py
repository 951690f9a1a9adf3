"""All tables of ``docs/scaling.md``, from the file that ``scaling.py`` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scaling_fit import rates
from scaling_grid import (
    WORLDS,
    checkpoint_table,
    clusters_table,
    cpu_table,
    gpu_rates,
    memory_table,
    rows_table,
    samples_table,
    table,
    time_table,
    traffic_table,
)
from scaling_model import memory_parts
from scaling_problem import Problem, Sizes

# Share of the machine that others may use before wall times count no more.
MOST_FOREIGN = 0.05
MARKER = "<!-- tables: python benchmarks/scaling.py --tables -->"


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


def clock_of(stored: dict[str, Any]) -> str:
    """The clock for times on this machine: of one thread that had to share it, the processor's."""
    # Linux counts in hundredths of a second.
    shares = [one["foreign"] for one in stored["measurements"] if one["wall"] >= 0.5]
    shared = bool(shares) and float(np.median(shares)) > MOST_FOREIGN
    return "processor" if shared and stored["machine"]["threads"] == 1 else "wall"


def about(stored: dict[str, Any]) -> str:
    """Where the figures come from."""
    place = stored["machine"]
    return (
        f"`{stored['command']}`, {stored['date']}, {place['cpu']}, {place['threads']} of "
        f"{place['cores']} cores, load average {place['load_average'][0]:.1f}, torch "
        f"{stored['versions']['torch']}. Times on this machine below are by the {clock_of(stored)} "
        "clock."
    )


def expected_peak(check: dict[str, Any], sizes: Sizes) -> float:
    """Resident set of the larger run by the model: its start, the mapped file, both levels."""
    rows, dim, supers, subs = check["shape"]
    parts = memory_parts(Problem(rows, supers * subs, dim, num_super_clusters=supers), sizes)
    # Clustered one after the other, the largest super-cluster decides.
    largest = max(check["measured"]["super_clusters"]) * supers / rows
    level_2 = (parts["received"].total + parts["level 2"].total) * largest
    peak = parts["rows"].total + max(parts["level 1"].total, level_2)
    return check["measured"]["start_bytes"] + peak


def about_check(check: dict[str, Any], sizes: Sizes) -> str:
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
        f"{measured['peak_bytes'] / 2**30:.2f} GiB, of which the process had "
        f"{measured['start_bytes'] / 2**30:.2f} at its start and the mapped file may take "
        f"{4 * rows * dim / 2**30:.2f}, expected {expected_peak(check, sizes) / 2**30:.2f} GiB "
        f"(limit 8); super-clusters of {min(measured['super_clusters']):,} to "
        f"{max(measured['super_clusters']):,} rows; other processes used "
        f"{measured['foreign']:.0%} of the machine, so the {check['clock']} time counts; bare "
        f"product before and after, GFLOP/s: fp32 {calibrators[0]} and {calibrators[1]}, bf16 "
        f"{calibrators[2]} and {calibrators[3]}."
    )


def all_tables(stored: dict[str, Any]) -> Iterator[tuple[str, Iterator[str]]]:
    """Titles and lines."""
    sizes, params = Sizes(**stored["sizes"]), stored["backbone"]["parameters"]
    own = stored["coefficients"][clock_of(stored)]
    yield f"### Measured and fitted\n\n{about(stored)}", fit_table(stored)
    yield "Relative error of the fit", error_table(stored)
    yield "Bytes, and matrices (K, D) in fp64, from measured peaks", sizes_table(stored)
    if "check" in stored:
        text = f"### Predicted and measured\n\n{about_check(stored['check'], sizes)}"
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
