"""PCA whitening against ``faiss.PCAMatrix``: time to train and apply, and error against fp64.

    python benchmarks/pca.py --json pca.json       # 100,000 x 2048 to 256, 3 minutes, 3 GB
    python benchmarks/pca.py --small               # a quick look

Contenders take turns within one run, with the full second moment by plain fp32 products as a
calibrator: judge ratios, not seconds. Both get the same rows in memory and give whitened rows of
unit length. Data are synthetic, Gaussian with a spectrum that falls as ``1 / i`` in variance; the
mean of a column is about its standard deviation, as that of a rectified feature is.

The error of a contender is measured on the projection: its output before L2 against that of an
fp64 PCA (covariance, eigenvectors and product all in fp64), each direction with the sign that
agrees, as the root mean square over rows and directions (outputs have variance 1).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from harness import goal, result_of, spread
from torch import Tensor

from mmdeepcluster.clustering import LinearTransform, PCAWhitening, l2_normalize

CHUNK = 8192
TARGET = 1.8
OFFSET = 0.06


def make_rows(num_rows: int, dim: int) -> Tensor:
    """Rows (N, D) in fp32."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0]
    mixing *= torch.arange(1, dim + 1).rsqrt()[:, None]
    rows = torch.empty(num_rows, dim)
    for chunk in rows.split(CHUNK):
        chunk.copy_(torch.randn(len(chunk), dim, generator=generator) @ mixing + OFFSET)
    return rows


class Ours:
    """``PCAWhitening``."""

    def train(self, rows: Tensor, dim: int) -> None:
        """Finds the transform."""
        self.transform = PCAWhitening(dim).fit(rows)

    def apply(self, rows: Tensor) -> Tensor:
        """Whitened rows of unit length."""
        return self.transform(rows)

    def project(self, rows: Tensor) -> Tensor:
        """Whitened rows before L2."""
        transform = self.transform
        return LinearTransform(transform.mean, transform.projection, normalize=False)(rows)


class Faiss:
    """``faiss.PCAMatrix`` with eigenvalue power -0.5."""

    def train(self, rows: Tensor, dim: int) -> None:
        """Finds the transform."""
        # The third argument by position: faiss 1.14 renamed it.
        self.matrix = faiss.PCAMatrix(rows.shape[1], dim, -0.5)
        self.matrix.train(rows.numpy())
        self.num_rows = len(rows)

    def apply(self, rows: Tensor) -> Tensor:
        """Whitened rows of unit length."""
        return l2_normalize(torch.from_numpy(self.matrix.apply(rows.numpy())))

    def project(self, rows: Tensor) -> Tensor:
        """Whitened rows before L2; faiss divides by the sum of squares, not by the variance."""
        return torch.from_numpy(self.matrix.apply(rows.numpy())) * (self.num_rows - 1) ** 0.5


def calibrate(rows: Tensor) -> None:
    """The second moment by plain fp32 products."""
    total = torch.zeros(rows.shape[1], rows.shape[1])
    for chunk in rows.split(CHUNK):
        total.addmm_(chunk.T, chunk)


def timed(function: Callable[..., Any], *args: Any) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def reference_projection(rows: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mean and whitening matrix of a PCA that is fp64 throughout."""
    mean = sum(chunk.double().sum(dim=0) for chunk in rows.split(CHUNK)) / len(rows)
    covariance = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
    for chunk in rows.split(CHUNK):
        centred = chunk.double() - mean
        covariance.addmm_(centred.T, centred)
    values, vectors = torch.linalg.eigh(covariance / (len(rows) - 1))
    return mean, vectors[:, -dim:].flip(1) * values[-dim:].flip(0).rsqrt()


def error(contender: Ours | Faiss, rows: Tensor, mean: Tensor, matrix: Tensor) -> float:
    """Root mean square of the difference to the reference over some of the rows."""
    found = contender.project(rows).double()
    expected = (rows.double() - mean) @ matrix
    found *= (found * expected).sum(dim=0).sign()
    return float((found - expected).square().mean().sqrt())


def parse_args(arguments: list[str]) -> argparse.Namespace:
    """Sizes and repetitions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-rows", type=int, default=100_000)
    parser.add_argument("--feature-dim", type=int, default=2048)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="of torch and of faiss")
    parser.add_argument("--small", action="store_true", help="4,000 x 128 to 16, 2 rounds")
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args(arguments)
    if args.small:
        args.num_rows, args.feature_dim, args.dim, args.rounds = 4000, 128, 16, 2
    return args


def main(arguments: list[str]) -> None:
    """Runs all measurements and prints them."""
    args = parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
        faiss.omp_set_num_threads(args.threads)
    began = time.perf_counter()
    rows = make_rows(args.num_rows, args.feature_dim)
    contenders: dict[str, Ours | Faiss] = {"ours": Ours(), "faiss": Faiss()}
    seconds: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        seconds.setdefault("calibrator", []).append(timed(calibrate, rows))
        for name, contender in contenders.items():
            train = timed(contender.train, rows, args.dim)
            apply = timed(contender.apply, rows)
            for part, value in (("train", train), ("apply", apply), ("total", train + apply)):
                seconds.setdefault(f"{name}_{part}", []).append(value)
    ratios = [f / o for f, o in zip(seconds["faiss_total"], seconds["ours_total"], strict=True)]
    reference = reference_projection(rows, args.dim)
    sample = rows[:: max(1, args.num_rows // 10_000)].contiguous()
    errors = {name: error(c, sample, *reference) for name, c in contenders.items()}
    result: dict[str, Any] = result_of("pca", arguments, args, "faiss") | {
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "faiss_over_ours": spread(ratios),
        "error_against_fp64": errors,
        "targets": {
            "faiss / ours": goal(float(np.median(ratios)), ">=", TARGET, id="P5"),
            "error of ours / of faiss": goal(errors["ours"] / errors["faiss"], "<=", 1.0, id="P5"),
        },
    }
    result["total_seconds"] = time.perf_counter() - began
    print_result(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


def print_result(result: dict[str, Any]) -> None:
    """A table a person can read."""
    print(f"{result['command']}\n{result['machine']}\n{result['versions']}\n")
    for name, value in [*result["seconds"].items(), ("faiss_over_ours", result["faiss_over_ours"])]:
        print(f"{name:16} {value['median']:8.3f}   [{value['p25']:.3f}, {value['p75']:.3f}]")
    print(f"error against fp64: {result['error_against_fp64']}")
    print(f"targets: {result['targets']}\n{result['total_seconds']:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
