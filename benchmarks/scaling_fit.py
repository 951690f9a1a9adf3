"""Coefficients of the scaling model from small measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
from scaling_model import kmeans_bytes
from scaling_problem import FP64, INT32, Rates, Search, Sizes
from scipy.optimize import nnls

Measurements = list[dict[str, Any]]


def fit_seconds(measurements: Measurements, clock: str) -> dict[str, float]:
    """Seconds for a unit of each kind of work: least squares of relative errors, none negative.

    Args:
        measurements: With ``phase``, ``work`` and the time under ``clock``.
        clock: ``wall`` or ``processor``.

    Raises:
        ValueError: If a phase was measured at fewer sizes than it has kinds of work.
    """
    found: dict[str, float] = {}
    for phase in dict.fromkeys(one["phase"] for one in measurements):
        runs = [one for one in measurements if one["phase"] == phase]
        terms = sorted({term for one in runs for term in one["work"]})
        if len(runs) < len(terms):
            raise ValueError(f"{phase}: {len(runs)} measurements cannot tell {len(terms)} terms")
        seconds = np.array([one[clock] for one in runs])
        work = np.array([[float(one["work"].get(term, 0)) for term in terms] for one in runs])
        work /= seconds[:, None]
        # The units of terms differ by many powers of ten.
        scale = np.maximum(np.abs(work).max(axis=0), 1e-300)
        found |= dict(zip(terms, (nnls(work / scale, np.ones(len(runs)))[0] / scale), strict=True))
    return {term: float(value) for term, value in found.items()}


def predicted(measurement: dict[str, Any], coefficients: dict[str, float]) -> float:
    """Seconds of the work of a measurement."""
    return sum(units * coefficients[term] for term, units in measurement["work"].items())


def errors(
    measurements: Measurements, coefficients: dict[str, float], clock: str
) -> dict[str, dict[str, float]]:
    """Relative error of the fit by phase: root mean square and largest."""
    found: dict[str, list[float]] = {}
    for one in measurements:
        error = predicted(one, coefficients) / one[clock] - 1.0
        found.setdefault(one["phase"], []).append(error)
    return {
        phase: {
            "rms": float(np.sqrt(np.mean(np.square(values)))),
            "largest": float(max(values, key=abs)),
        }
        for phase, values in found.items()
    }


def rates(
    coefficients: dict[str, float], extract_image: float, train_image: float, link_byte: float
) -> Rates:
    """Coefficients as the model takes them, with what was not measured."""

    def search(kind: str) -> Search:
        own = {term: coefficients[f"{term} {kind}"] for term in ("number", "once")}
        shared = {
            term: coefficients[term] for term in ("multiply", "score", "row", "centre", "call")
        }
        return Search(**own, **shared)

    names = Rates.__dataclass_fields__.keys() & coefficients.keys()
    return Rates(
        held=search("held"),
        mapped=search("mapped"),
        extract_image=extract_image,
        train_image=train_image,
        link_byte=link_byte,
        **{name: coefficients[name] for name in names},
    )


def fit_sizes(memory: Measurements, backbone: dict[str, int]) -> Sizes:
    """Memory of a unit from measured peaks.

    Args:
        memory: Peaks of k-means at several sizes, and of each bookkeeping step at one.
        backbone: Result of ``scaling_measure.backbone_sizes``.
    """
    runs = [one for one in memory if one["phase"] == "k-means"]
    nothing = Sizes(0, 0, 0, 0, 0, 0)
    rest = [one["peak"] - kmeans_bytes(one["N"], one["D"], one["K"], nothing) for one in runs]
    # The last column is what does not grow: tiles of scores and chunks of rows.
    units = np.array([[one["N"], FP64 * one["K"] * one["D"], 1 << 20] for one in runs], float)
    peaks = np.array([one["peak"] for one in runs], float)
    row_bytes, matrices, _ = nnls(units / peaks[:, None], np.maximum(rest, 0) / peaks)[0]
    per_sample = {one["phase"]: one["peak"] / one["N"] for one in memory}
    dealt, alone = per_sample["draws of an epoch"], per_sample["draws of an epoch, one process"]
    own = max(0.0, alone - dealt) * 64 / 63  # `dealt` holds the draws of one of 64 processes
    return Sizes(
        matrices=float(matrices),
        row_bytes=float(row_bytes),
        # The sampler keeps 4 bytes a sample, also while it takes new labels.
        label_bytes=per_sample["labels and sampler"] + INT32,
        draw_bytes=max(0.0, dealt - own / 64) + INT32,
        own_bytes=own,
        activation_bytes=backbone["bytes_of_an_image"],
    )
