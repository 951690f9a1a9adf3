"""Weighted k-nearest-neighbour classification of features: no training, no options to tune."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdeepcluster.clustering import l2_normalize
from mmdeepcluster.clustering.functional import check_features

# Similarities of one chunk stay below 128 MiB in fp32, whatever the number of rows.
_CHUNK_ELEMENTS = 1 << 25


def protocol_id(k: int = 20, temperature: float = 0.07) -> str:
    """Name of the protocol, so that numbers are only compared with their like."""
    return f"knn{k}-cosine-t{temperature:g}"


KNN_PROTOCOL = protocol_id()


def knn_classify(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor | None = None,
    *,
    k: int = 20,
    temperature: float = 0.07,
    chunk_rows: int | None = None,
) -> Tensor:
    """Predicts a class by the votes of the k most similar training features (R68).

    Similarity is the cosine, in fp32; a neighbour votes with weight exp(similarity / T) as in
    NPID [0], section 3.4. Equal votes go to the lowest class.

    - [0]: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination,
      CVPR 2018.

    Args:
        train_features: Features (N, D) that vote.
        train_labels: Their classes, int64 (N,), non-negative.
        test_features: Features (M, D) to classify, on the same device. None classifies the
            training features, each by the others.
        k: Number of votes.
        temperature: Temperature T of the weights.
        chunk_rows: Rows classified at a time: memory is ``chunk_rows`` x N numbers, the result
            is the same. Defaults to None, as many as fit 128 MiB.

    Returns:
        Classes, int64 (M,), or (N,) without ``test_features``.

    Raises:
        ValueError: If shapes do not fit, features are not finite, a label is negative, ``k`` is
            not between 1 and the number of neighbours, or an option is not positive.
    """
    leave_one_out = test_features is None
    queries = train_features if test_features is None else test_features
    _check(train_features, train_labels, queries)
    _check_options(k, len(train_features) - leave_one_out, temperature, chunk_rows)
    classes, votes_for = torch.unique(train_labels.to(train_features.device), return_inverse=True)
    train, queries = l2_normalize(train_features), l2_normalize(queries)
    if chunk_rows is None:
        chunk_rows = max(1, _CHUNK_ELEMENTS // max(len(train), len(classes)))
    predictions = []
    # autocast would round the similarities that are divided by a small temperature
    with torch.no_grad(), torch.autocast(train.device.type, enabled=False):
        for start in range(0, len(queries), chunk_rows):
            similarity = queries[start : start + chunk_rows] @ train.T
            if leave_one_out:
                rows = torch.arange(len(similarity), device=train.device)
                similarity[rows, rows + start] = -torch.inf
            values, neighbours = similarity.topk(k, dim=1)
            # a common factor changes no decision and keeps exp() from overflowing
            weights = torch.exp((values - values[:, :1]) / temperature)
            votes = weights.new_zeros(len(similarity), len(classes))
            votes.scatter_add_(1, votes_for[neighbours], weights)
            predictions.append(classes[votes.argmax(dim=1)])
    return torch.cat(predictions)


def knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor | None = None,
    test_labels: Tensor | None = None,
    *,
    k: int = 20,
    temperature: float = 0.07,
    chunk_rows: int | None = None,
) -> float:
    """Top-1 accuracy of :func:`knn_classify`.

    Args:
        train_features: Features (N, D) that vote.
        train_labels: Their classes, int64 (N,), non-negative.
        test_features: Features (M, D) to classify. None leaves one out: each training feature is
            classified by the others and never votes for itself.
        test_labels: Classes of ``test_features``, int64 (M,).
        k: Number of votes.
        temperature: Temperature of the weights.
        chunk_rows: Rows classified at a time; does not change the result.

    Returns:
        0 to 1.

    Raises:
        ValueError: As :func:`knn_classify`, or if only one of ``test_features`` and
            ``test_labels`` is given, or their lengths differ.
    """
    if (test_features is None) != (test_labels is None):
        given = "test_labels" if test_features is None else "test_features"
        raise ValueError(f"test_features and test_labels go together, got only {given}")
    truth = train_labels if test_labels is None else test_labels
    if test_features is not None and truth.shape != (len(test_features),):
        raise ValueError(
            f"test_labels must be one class per row (M,), got shape {tuple(truth.shape)} for "
            f"{len(test_features)} test_features"
        )
    predictions = knn_classify(
        train_features,
        train_labels,
        test_features,
        k=k,
        temperature=temperature,
        chunk_rows=chunk_rows,
    )
    return float((predictions == truth.to(predictions.device)).double().mean())


def check_labelled(features: Tensor, labels: Tensor, name: str) -> None:
    """Refuses features without one class each.

    Args:
        features: Features (N, D).
        labels: Classes (N,).
        name: What they are called: ``train`` or ``test``.

    Raises:
        ValueError: If shapes do not fit, features are not finite, or a label is negative or no
            integer.
    """
    check_features(features, f"{name}_features")
    if labels.shape != (len(features),):
        raise ValueError(
            f"{name}_labels must be one class per row (N,), got shape {tuple(labels.shape)} "
            f"for {len(features)} {name}_features"
        )
    if labels.is_floating_point() or int(labels.min()) < 0:
        raise ValueError(
            f"{name}_labels must be integers >= 0, got {labels.dtype} with minimum "
            f"{labels.min().item()}: leave out samples that have no label"
        )


def _check(train_features: Tensor, train_labels: Tensor, queries: Tensor) -> None:
    check_labelled(train_features, train_labels, "train")
    if queries is not train_features:
        check_features(queries, "test_features")
    if queries.shape[1] != train_features.shape[1]:
        raise ValueError(
            f"test_features have {queries.shape[1]} dimensions, train_features "
            f"{train_features.shape[1]}: extract both from the same layer"
        )


def _check_options(k: int, num_neighbours: int, temperature: float, chunk_rows: int | None) -> None:
    if not 1 <= k <= num_neighbours:
        raise ValueError(
            f"k={k} must be between 1 and the {num_neighbours} neighbours that each sample has: "
            "set evaluation.knn_k"
        )
    if temperature <= 0:
        raise ValueError(f"temperature must be > 0, got {temperature}: evaluation.knn_temperature")
    if chunk_rows is not None and chunk_rows < 1:
        raise ValueError(f"chunk_rows must be >= 1, got {chunk_rows}")
