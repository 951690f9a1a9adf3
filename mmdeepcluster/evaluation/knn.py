"""Weighted nearest-neighbour classification of frozen features."""

from __future__ import annotations

import torch
from torch import Tensor

_TILE_ELEMENTS = 1 << 24


def knn_classify(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor | None = None,
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> Tensor:
    """Class of each query by a weighted vote of its nearest neighbours.

    Source: Wu et al., NPID, arXiv 1805.01978, section 3.4: cosine similarity s, weights
    exp(s / temperature). Ties go to the lowest class.

    Args:
        train_features: The bank (N, D).
        train_labels: Its classes, int64 (N,).
        test_features: Queries (M, D); None classifies the bank itself, leaving each sample out of
            its own vote.
        k: Neighbours that vote.
        temperature: Temperature of the weights.

    Returns:
        Classes, int64 (M,).

    Raises:
        ValueError: If shapes disagree or there are fewer than k neighbours.
    """
    leave_one_out = test_features is None
    bank = _unit(train_features, "train_features")
    queries = bank if test_features is None else _unit(test_features, "test_features")
    if len(train_labels) != len(bank) or queries.shape[1] != bank.shape[1]:
        raise ValueError(
            f"bank {tuple(bank.shape)}, {len(train_labels)} labels and queries "
            f"{tuple(queries.shape)} do not belong together"
        )
    available = len(bank) - leave_one_out
    if not 1 <= k <= available:
        raise ValueError(f"evaluation.knn_k={k}, but there are {available} neighbours")
    labels = train_labels.to(device=bank.device, dtype=torch.int64)
    num_classes = int(labels.max()) + 1
    predictions = torch.empty(len(queries), dtype=torch.int64, device=bank.device)
    rows = max(1, _TILE_ELEMENTS // len(bank))
    for start in range(0, len(queries), rows):
        similarity = queries[start : start + rows] @ bank.T
        if leave_one_out:
            own = torch.arange(len(similarity), device=bank.device)
            similarity[own, own + start] = -torch.inf
        nearest, index = similarity.topk(k, dim=1)
        # Relative to the best one, so that no weight overflows.
        weight = ((nearest - nearest[:, :1]) / temperature).exp()
        votes = torch.zeros(len(similarity), num_classes, device=bank.device)
        votes.scatter_add_(1, labels[index], weight)
        predictions[start : start + rows] = votes.argmax(dim=1)
    return predictions


def knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor | None = None,
    test_labels: Tensor | None = None,
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Top-1 accuracy in 0..1 of :func:`knn_classify`; without queries, leaving one out.

    Raises:
        ValueError: If only one of the query arguments is given, or shapes disagree.
    """
    if (test_features is None) != (test_labels is None):
        raise ValueError("test_features and test_labels must be given together")
    predictions = knn_classify(
        train_features, train_labels, test_features, k=k, temperature=temperature
    )
    truth = train_labels if test_labels is None else test_labels
    if len(truth) != len(predictions):
        raise ValueError(f"{len(predictions)} queries have {len(truth)} labels")
    return float((predictions == truth.to(predictions)).float().mean())


def _unit(features: Tensor, name: str) -> Tensor:
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"{name} must be (N, D) with rows, got {tuple(features.shape)}")
    features = features.float()
    return features / features.norm(dim=1, keepdim=True).clamp_min(1e-10)
