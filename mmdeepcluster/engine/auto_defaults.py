"""Defaults that depend on the number of samples N."""

from __future__ import annotations

# Fewer samples per cluster than this give poor centroids; faiss warns at the same number.
MIN_SAMPLES_PER_CLUSTER = 39
MIN_SAMPLES = 8


def auto_num_clusters(num_samples: int) -> int:
    """K = min(max(16, round(N / 128)), N // 4): 128 samples a cluster, as ODC has on ImageNet."""
    return min(max(16, round(num_samples / 128)), num_samples // 4)


def auto_min_cluster_size(num_samples: int, num_clusters: int) -> int:
    """max(2, floor(0.15 N / K)), which gives 19 for ImageNet and 10,000 clusters."""
    return max(2, int(0.15 * num_samples / num_clusters))
