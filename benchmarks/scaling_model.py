"""What one DeeperCluster cycle costs a process: memory, traffic and time as plain formulas.

Nothing is measured here: ``scaling.py`` measures small sizes and fits the coefficients, and
``docs/scaling.md`` explains the terms. Sizes are in bytes, times in seconds.

Traffic is what a process sends in ring algorithms: an ``all_reduce`` of M bytes over W processes
sends ``2 M (W - 1) / W``, an ``all_gather`` of M bytes in all ``M (W - 1) / W``, and a broadcast
passes M on once.
"""

from __future__ import annotations

from typing import NamedTuple

from scaling_problem import BF16, FP32, FP64, INT32, INT64, Problem, Rates, Search, Sizes

# Columns that a search adds to rows and centroids (clustering/arithmetic.py).
_EXTRA_COLUMNS = 3
# fp64 matrices (F, F) at the peak of the second moment: the sum, its upper half, their sum with the
# lower half, the product of means and the covariance (clustering/covariance.py).
_MOMENTS = 5
# What is sent and got in one round (clustering/redistribute.py).
_ROUNDS = 2 * 2**26


class Memory(NamedTuple):
    """Bytes on the host and on the device; on a CPU they add up."""

    host: float
    device: float

    @property
    def total(self) -> float:
        """Both."""
        return self.host + self.device


def kmeans_work(rows: float, dim: int, clusters: int, passes: int) -> dict[str, float]:
    """How often each coefficient of :class:`Search` counts in one k-means."""
    return {
        "multiply": passes * rows * clusters * (dim + _EXTRA_COLUMNS),
        "score": passes * rows * clusters,
        "number": passes * rows * dim,
        "row": passes * rows,
        "centre": float(passes * clusters * dim),
        "once": rows * dim,
        "call": float(passes),
    }


def kmeans_seconds(rows: float, dim: int, clusters: int, passes: int, search: Search) -> float:
    """Time of one k-means, without traffic."""
    work = kmeans_work(rows, dim, clusters, passes)
    return sum(units * float(getattr(search, term)) for term, units in work.items())


def kmeans_bytes(rows: float, dim: int, clusters: int, sizes: Sizes) -> float:
    """Memory of one k-means beside its rows: their bf16 copy, labels, and matrices (K, D)."""
    copy = rows * (dim + _EXTRA_COLUMNS) * BF16
    return copy + rows * sizes.row_bytes + sizes.matrices * clusters * dim * FP64


def message_bytes(clusters: int, dim: int) -> int:
    """The one message of a k-means iteration: sums, counts, and the number of changed labels."""
    return FP64 * clusters * (dim + 1) + FP64


def kmeans_traffic(clusters: int, dim: int, passes: int, processes: int) -> float:
    """Bytes that a process sends in a k-means: the first centroids, and a message each pass."""
    start = reduced(clusters * dim * FP32, processes)
    return start + passes * reduced(message_bytes(clusters, dim), processes)


def reduced(size: float, processes: int) -> float:
    """Bytes that a process sends in an ``all_reduce``."""
    return 2.0 * size * (processes - 1) / processes


def gathered(total: float, processes: int) -> float:
    """Bytes that a process sends in an ``all_gather`` of ``total`` bytes in all."""
    return total * (processes - 1) / processes


def passed_on(size: float, processes: int) -> float:
    """Bytes that a process sends in a broadcast."""
    return size if processes > 1 else 0.0


def memory_parts(problem: Problem, sizes: Sizes) -> dict[str, Memory]:
    """Memory of a process by what it is for; see :func:`memory_per_rank` for what is held at once.

    Args:
        problem: The cycle.
        sizes: What was measured.
    """
    p, num_samples = problem, problem.num_samples
    rows = p.rows * p.dim * FP32
    weights = p.shared_bytes + p.sub_heads * p.sub_head_bytes
    # Weights and momentum, and the buckets in which a distributed wrapper reduces gradients.
    in_buckets = p.shared_bytes if p.grouped else weights
    buckets = in_buckets if p.world_size > 1 else 0
    # In groups a gradient is divided into a copy before it is added up.
    gradients = weights + (p.sub_head_bytes if p.grouped else 0)
    level_2 = kmeans_bytes(p.group_rows, p.dim, p.sub_clusters, sizes)
    level_1 = kmeans_bytes(p.rows, p.dim, p.num_super_clusters, sizes)
    centroids = p.num_clusters * p.dim * FP32
    inner_labels = INT64 * num_samples / p.num_super_clusters
    return {
        "features": Memory(p.rows * p.feature_dim * FP32, 0),
        "labels": Memory(0, 2 * INT64 * num_samples + INT64 * p.num_clusters),
        "weights": Memory(0, 2 * weights + buckets),
        "step": Memory(0, gradients + p.batch_size * sizes.activation_bytes),
        "PCA": Memory(0, _MOMENTS * FP64 * p.feature_dim**2),
        "rows": Memory(0, rows),
        # Labels of all rows are gathered in pieces and joined, and a permutation chooses K rows.
        "level 1": Memory(INT64 * num_samples, level_1 + 2 * INT64 * num_samples),
        "received": Memory(0, p.received_rows * p.dim * FP32 + INT64 * num_samples),
        "redistribution": Memory(0, _ROUNDS if p.world_size > 1 else 0),
        "level 2": Memory(inner_labels, level_2 + 2 * inner_labels),
        # Parts and what they are joined to.
        "result": Memory(0, 2.0 * centroids + 2 * INT64 * num_samples),
        # Labels are copied to the host first.
        "new labels": Memory((INT64 + sizes.label_bytes) * num_samples, 0),
        "draws": Memory(sizes.draw_bytes * p.drawn_from + sizes.own_bytes * p.rows, 0),
    }


# What is held together, phase by phase.
_PHASES = {
    "extraction": ("features", "labels", "weights"),
    "PCA": ("features", "labels", "weights", "rows", "PCA"),
    "level 1": ("features", "labels", "weights", "rows", "level 1"),
    "redistribution": ("features", "labels", "weights", "rows", "received", "redistribution"),
    "level 2": ("features", "labels", "weights", "rows", "received", "level 2"),
    "result": ("features", "labels", "weights", "rows", "received", "result"),
    "new labels": ("features", "labels", "weights", "rows", "new labels"),
    "training": ("labels", "weights", "step", "draws"),
}


def memory_per_rank(problem: Problem, sizes: Sizes) -> dict[str, Memory]:
    """Memory of a process in each phase of a cycle, with what it holds throughout.

    Args:
        problem: The cycle.
        sizes: What was measured.
    """
    parts = memory_parts(problem, sizes)
    return {
        phase: Memory(
            sum(parts[name].host for name in names), sum(parts[name].device for name in names)
        )
        for phase, names in _PHASES.items()
    }


def bytes_per_rank(problem: Problem) -> dict[str, float]:
    """Bytes that a process sends in each phase of a cycle."""
    p, world = problem, problem.world_size
    labels = INT64 * p.num_samples
    sums = p.feature_dim * (p.feature_dim + 4) * FP64
    transform = p.dim * (p.feature_dim + 1) * FP64
    step = reduced(p.shared_bytes, world) + p.sub_heads * reduced(p.sub_head_bytes, p.head_group)
    return {
        "PCA": reduced(sums, world) + passed_on(transform, world),
        "level 1": kmeans_traffic(p.num_super_clusters, p.dim, p.passes, world)
        + gathered(labels, world),
        "redistribution": gathered(p.rows * p.dim * FP32, world),
        "level 2": kmeans_traffic(p.sub_clusters, p.dim, p.passes, p.clustering_group)
        + gathered(labels / p.num_super_clusters, p.clustering_group),
        "result": passed_on(p.num_clusters * p.dim * FP32 + INT32 * p.num_samples, world),
        "gradients": p.steps * step,
    }


def seconds_per_cycle(problem: Problem, rates: Rates, in_memory: bool = True) -> dict[str, float]:
    """Time of a process in each phase of a cycle; its traffic is a phase of its own.

    Args:
        problem: The cycle.
        rates: Speeds of the machine.
        in_memory: Whether rows lie in memory, or else in a memory-mapped file. Level 2 copies the
            rows of a super-cluster into memory.
    """
    p = problem
    moment = p.feature_dim**2 / 2 * rates.pca_multiply + p.feature_dim * rates.pca_number
    project = p.dim * rates.apply_multiply + rates.apply_number
    solve = p.feature_dim**2 * (p.feature_dim * rates.pca_cube + p.dim * rates.pca_vectors)
    level_1 = rates.held if in_memory else rates.mapped
    level_2 = kmeans_seconds(p.group_rows, p.dim, p.sub_clusters, p.passes, rates.held)
    draws = p.drawn_from * rates.draw_sample + p.num_clusters * rates.draw_cluster
    return {
        "extraction": p.rows * (rates.extract_image + rates.index_sample),
        "PCA": p.rows * (moment + p.feature_dim * project) + solve,
        "level 1": kmeans_seconds(p.rows, p.dim, p.num_super_clusters, p.passes, level_1),
        "redistribution": p.turns * p.group_rows * p.dim * FP32 * rates.move_byte,
        "level 2": p.turns * level_2,
        "labels": p.num_samples * rates.label_sample + p.num_clusters * rates.label_cluster,
        "sampler": p.epochs * draws,
        "training": p.epochs * p.rows * rates.train_image,
        "traffic": sum(bytes_per_rank(p).values()) * rates.link_byte,
    }


def checkpoint_bytes(problem: Problem) -> float:
    """Size of a checkpoint: weights and momentum of all sub-heads, two vectors of labels."""
    p = problem
    weights = p.shared_bytes + p.num_super_classes * p.sub_head_bytes
    return 2.0 * weights + 2 * INT64 * p.num_samples + INT64 * p.num_clusters
