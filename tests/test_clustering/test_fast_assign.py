"""Certified nearest centroids: those of a brute-force search in fp64, lowest index on ties."""

import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdeepcluster.clustering import fast_assign, nearest_certified
from mmdeepcluster.clustering.arithmetic import (
    BF16,
    FP32,
    FP64,
    CentroidOperand,
    cpu_multiplies_bf16,
    row_operand,
)
from mmdeepcluster.clustering.candidates import Pairs, decide, exact_scores, halving_sum
from mmdeepcluster.clustering.fast_assign import CentroidSearch, SearchRows, propose
from mmdeepcluster.clustering.row_source import RowSource

METRICS = ["l2", "dot"]
# bf16 is emulated, slowly but rightly, where the CPU has no instructions for it.
LADDERS = {"bf16": (BF16, FP32, FP64), "fp32": (FP32, FP64), "fp64": (FP64,)}


def rng(seed):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed))


def brute(rows, centroids, metric="l2"):
    """All N x K scores in fp64; argmin gives the lowest index of equal ones."""
    scores = torch.stack([exact_scores(rows, c.expand_as(rows), metric) for c in centroids], 1)
    return scores.argmin(dim=1)


@pytest.fixture(params=LADDERS)
def arithmetic(request, monkeypatch):
    monkeypatch.setattr(fast_assign, "ladder", lambda device: LADDERS[request.param])
    return request.param


CASES = {
    "one centroid": lambda: (randn(9, 4), randn(1, 4, seed=1)),
    "one row, one column": lambda: (randn(1, 1), randn(5, 1, seed=1)),
    "odd sizes": lambda: (randn(531, 37), randn(83, 37, seed=1)),
    "centroids are rows": lambda: (randn(600, 16), randn(600, 16)[:200]),
    "unit rows": lambda: (
        torch.nn.functional.normalize(randn(700, 64)),
        torch.nn.functional.normalize(randn(300, 64, seed=1)),
    ),
    "equal centroids": lambda: (randn(300, 8), randn(20, 8, seed=1)[torch.arange(60) % 20]),
    "equal rows": lambda: (randn(3, 8)[torch.arange(300) % 3], randn(50, 8, seed=1)),
    "all equal": lambda: (torch.ones(200, 8), torch.ones(50, 8)),
    "zero rows": lambda: (torch.zeros(40, 8), randn(50, 8, seed=1)),
    "a lattice full of ties": lambda: (
        torch.randint(-2, 3, (400, 3), generator=rng(0)).float(),
        torch.randint(-2, 3, (70, 3), generator=rng(1)).float() + 0.5,
    ),
    "far from the origin": lambda: (randn(300, 8) + 1e3, randn(100, 8, seed=1) + 1e3),
    "one step of fp32 apart": lambda: (
        1.0 + torch.randint(0, 4, (200, 6), generator=rng(0)) * 2.0**-23,
        1.0 + torch.randint(0, 4, (90, 6), generator=rng(1)) * 2.0**-23,
    ),
    "tiny": lambda: (randn(200, 8) * 1e-25, randn(60, 8, seed=1) * 1e-25),
    "huge": lambda: (randn(200, 8) * 1e30, randn(60, 8, seed=1) * 1e30),
    "unlike lengths": lambda: (
        randn(200, 8) * torch.logspace(-6, 6, 200).unsqueeze(1),
        randn(60, 8, seed=1) * torch.logspace(-6, 6, 60).unsqueeze(1),
    ),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("case", CASES)
def test_labels_are_those_of_brute_force(case, metric, arithmetic):
    rows, centroids = CASES[case]()
    assert torch.equal(nearest_certified(rows, centroids, metric), brute(rows, centroids, metric))


def test_ties_by_hand():
    # 5 lies between 0 and 10; the second and third centroid are one.
    centroids = torch.tensor([[10.0], [0.0], [0.0]])
    assert nearest_certified(torch.tensor([[5.0], [4.0], [6.0]]), centroids).tolist() == [0, 1, 0]


@pytest.mark.parametrize("metric", METRICS)
def test_tiles_and_threads_do_not_matter(metric, monkeypatch):
    rows, centroids = randn(5000, 24), randn(130, 24, seed=1)
    expected = nearest_certified(rows, centroids, metric)
    assert torch.equal(expected, brute(rows, centroids, metric))
    monkeypatch.setattr(fast_assign, "_TILE_SCORES", 999)
    assert torch.equal(nearest_certified(rows, centroids, metric), expected)
    torch.set_num_threads(3)
    try:
        assert torch.equal(nearest_certified(rows, centroids, metric), expected)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


def test_kept_rows_serve_other_centroids():
    rows = randn(3000, 12)
    prepared = SearchRows(RowSource(rows), "l2", rows.mean(dim=0), keep=True)
    for seed in (1, 2):
        centroids = randn(40, 12, seed=seed)
        search = CentroidSearch(centroids, "l2", rows.mean(dim=0))
        assert torch.equal(search.assign(prepared), brute(rows, centroids))
        assert search.num_rows == 3000 and 0 < search.num_rescored < 3000


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("arithmetic", [BF16, FP32], ids=["bf16", "fp32"])
def test_error_bound_holds(arithmetic, metric):
    rows, centroids = randn(200, 64) + 0.5, randn(100, 64, seed=1) * 3
    shift = centroids.mean(dim=0) if metric == "l2" else None
    left = row_operand(rows, shift, metric, arithmetic)
    right = CentroidOperand(centroids, shift, metric, arithmetic)
    written = (left.matrix @ right.matrix.T).double()
    product = rows.double() @ centroids.double().T
    if metric == "l2":
        moved = rows.double() - shift
        offset = (centroids.double() - shift).square().sum(dim=1)
        exact = offset - 2 * (product - rows.double() @ shift.double()[:, None])
        exact += 2 * (centroids.double() @ shift.double() - shift.double().square().sum())
        exact += left.lift.double()[:, None]
        assert torch.allclose(  # the score is the distance but for a term of the row
            exact - left.lift.double()[:, None] + moved.square().sum(dim=1, keepdim=True),
            torch.cdist(rows.double(), centroids.double()).square(),
        )
    else:
        exact = left.lift.double()[:, None] * float(right.matrix[0, -1]) - product
    error = (written - exact).abs()
    bound = right.error(left).double()[:, None] + arithmetic.out_unit * written.abs() * 1.01
    assert (error <= bound).all()
    assert error.max() > 1e-3 * bound.max()  # and it is not merely huge


def test_gpu_path_gives_the_same_candidates():
    # The search on a GPU is plain torch and runs here on the CPU.
    rows, centroids = randn(500, 16), randn(90, 16, seed=1)
    left = row_operand(rows, None, "l2", FP32)
    right = CentroidOperand(centroids, None, "l2", FP32)
    expected = propose(left, right, 90)
    tile = fast_assign._product_on_gpu(left.matrix, right.matrix)
    mask = fast_assign._candidates(tile, right.error(left))
    row, column = mask.nonzero().T
    assert torch.equal(row, expected.row) and torch.equal(column, expected.column)


def test_rows_of_many_candidates_have_none():
    # Equal centroids: all are candidates, which nobody lists.
    left = row_operand(torch.ones(9, 4), None, "l2", FP32)
    right = CentroidOperand(torch.ones(200, 4), None, "l2", FP32)
    assert len(propose(left, right, 200).row) == 9 * 200
    assert len(propose(left, right, 199).row) == 0


def test_fused_path_gives_the_same_labels(monkeypatch):
    # The logic around the kernel, with the kernel replaced by plain torch; N = 1 and K = 1, too.
    def top_two(rows, centroids):
        scores = rows.float() @ centroids.float().T
        padded = torch.cat([scores, torch.full((len(rows), 1), torch.inf)], dim=1)
        values, index = padded.sort(dim=1)
        return index[:, 0], values[:, 0], values[:, 1]

    module = types.ModuleType("triton_top_two")
    module.top_two = top_two
    monkeypatch.setitem(sys.modules, "mmdeepcluster.clustering.triton_top_two", module)
    monkeypatch.setattr(fast_assign, "ladder", lambda device: LADDERS["bf16"])
    monkeypatch.setattr(fast_assign, "_has_kernel", lambda device: True)
    for num_rows, num_centroids in ((900, 120), (1, 7), (9, 1)):
        rows, centroids = randn(num_rows, 16), randn(num_centroids, 16, seed=1)
        assert torch.equal(nearest_certified(rows, centroids), brute(rows, centroids))


KERNEL = """
import torch
from mmdeepcluster.clustering.triton_top_two import top_two
generator = torch.Generator().manual_seed(0)
for n, k, width in ((130, 140, 67), (5, 1, 3)):
    # Half precision, as the interpreter knows no bf16.
    rows = torch.randn(n, width, generator=generator).half()
    centroids = torch.randn(k, width, generator=generator).half()
    if k > 20:
        centroids[17] = centroids[3]  # equal scores: the second is the first
        rows[0] = -10 * centroids[3]
    index, low, second = top_two(rows, centroids)
    scores = rows.float() @ centroids.float().T
    values = torch.cat([scores, torch.full((n, 1), torch.inf)], dim=1).sort(dim=1).values
    torch.testing.assert_close(low, values[:, 0])
    torch.testing.assert_close(second, values[:, 1])
    torch.testing.assert_close(scores.gather(1, index[:, None])[:, 0], values[:, 0])
"""


@pytest.mark.slow
def test_kernel_in_the_interpreter_of_triton():
    # The kernel itself, without a GPU; slower than on one and without bf16.
    pytest.importorskip("triton", reason="triton is not installed here")
    env = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", KERNEL], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.mark.gpu
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("fused", [True, False])
def test_labels_on_a_gpu_are_those_of_the_cpu(metric, fused, monkeypatch):
    if fused:
        pytest.importorskip("triton", reason="triton is not installed here")
    else:
        monkeypatch.setattr(fast_assign, "_has_kernel", lambda device: False)
    rows, centroids = randn(70000, 96), randn(1500, 96, seed=1)
    found = nearest_certified(rows.cuda(), centroids.cuda(), metric)
    assert torch.equal(found.cpu(), nearest_certified(rows, centroids, metric))


def test_lower_precision_of_fp32_products_is_allowed_for(monkeypatch):
    monkeypatch.setattr(fast_assign, "ladder", lambda device: LADDERS["fp32"])
    rows, centroids = randn(2000, 64), randn(300, 64, seed=1)
    torch.set_float32_matmul_precision("medium")
    try:
        found = nearest_certified(rows, centroids)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(found, brute(rows, centroids))


def test_decision_among_candidates():
    rows = torch.tensor([[0.0], [1.0]])
    centroids = torch.tensor([[3.0], [1.0], [-1.0], [1.0]])
    pairs = Pairs(torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 2, 3]))
    won = decide(rows, centroids, "l2", pairs)
    assert won.row.tolist() == [0, 1] and won.column.tolist() == [1, 3]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 64, 100])
def test_halving_sum(length):
    values = randn(5, length).double()
    torch.testing.assert_close(halving_sum(values), values.sum(dim=1))
    each = torch.cat([halving_sum(row[None]) for row in values])
    assert torch.equal(halving_sum(values), each)


def test_arrays_memory_maps_and_half_precision(tmp_path):
    rows, centroids = randn(5000, 6).half(), randn(30, 6, seed=1)
    np.save(tmp_path / "rows.npy", rows.numpy())
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    expected = brute(rows.float(), centroids)
    for given in (rows, rows.numpy(), mapped):
        assert torch.equal(nearest_certified(given, centroids), expected)
    assert RowSource(mapped).mapped and RowSource(mapped[1:]).mapped
    assert not RowSource(rows.numpy()).mapped


def test_errors():
    with pytest.raises(ValueError, match=r"centroids must be \(K, 3\).*got \(2, 4\)"):
        nearest_certified(randn(5, 3), randn(2, 4))
    with pytest.raises(ValueError, match=r"must be a matrix \(N, D\), got \(5,\)"):
        nearest_certified(randn(5), randn(2, 4))
    with pytest.raises(ValueError, match=r"floating point numbers, got torch.int64"):
        nearest_certified(torch.arange(6).view(2, 3), randn(2, 3))


@pytest.mark.parametrize("value", [torch.nan, -torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("metric", METRICS)
def test_numbers_that_are_not_finite_are_refused(value, metric, arithmetic):
    for broken in (0, 1):
        given = [randn(50, 4), randn(7, 4, seed=1)]
        given[broken][3, 2] = value
        with pytest.raises(ValueError, match="features or centroids hold NaN or infinity"):
            nearest_certified(*given, metric)


def test_cpu_flags_are_read(monkeypatch, tmp_path):
    from mmdeepcluster.clustering import arithmetic

    file, ask = tmp_path / "cpuinfo", cpu_multiplies_bf16.__wrapped__
    monkeypatch.setattr(arithmetic, "Path", lambda name: file)
    assert not ask()
    file.write_text("processor : 0\nflags\t\t: fpu avx512f\n")
    assert not ask()
    file.write_text("processor : 0\nflags\t\t: fpu avx512f amx_bf16\n")
    assert ask() == torch.backends.mkldnn.is_available()
