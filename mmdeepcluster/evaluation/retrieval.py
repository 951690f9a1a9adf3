"""Retrieval of images of the same class by the cosine of their features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmdeepcluster.clustering import l2_normalize
from mmdeepcluster.evaluation.knn import check_labelled

_CHUNK_ELEMENTS = 1 << 24


@dataclass(frozen=True)
class RetrievalResult:
    """How well images find those of their class.

    Attributes:
        mean_ap: Mean over queries of the average precision of the whole ranking, 0 to 1.
        precision_at_1: Share of queries whose nearest image is of their class.
        num_queries: Queries that count.
        num_without: Queries with no image of their class to be found, which are left out.
        protocol: Name of the protocol.
    """

    mean_ap: float
    precision_at_1: float
    num_queries: int
    num_without: int
    protocol: str


@torch.no_grad()
def retrieval(
    features: Tensor,
    labels: Tensor,
    query_features: Tensor | None = None,
    query_labels: Tensor | None = None,
    *,
    chunk_rows: int | None = None,
) -> RetrievalResult:
    """Mean average precision of rankings by cosine.

    The average precision of a query is the mean, over the images of its class, of the share of its
    class among the images up to that one; images of equal cosine keep their order.

    Args:
        features: Gallery (N, D).
        labels: Classes (N,), int64, non-negative.
        query_features: Queries (M, D). None lets each image of the gallery look for the others,
            leaving itself out.
        query_labels: Classes of the queries (M,).
        chunk_rows: Queries ranked at a time; does not change the result.

    Returns:
        The figures.

    Raises:
        ValueError: If shapes do not fit, features are not finite, a label is negative, or no
            query has an image of its class.
    """
    if (query_features is None) != (query_labels is None):
        raise ValueError("query_features and query_labels go together, got only one of them")
    check_labelled(features, labels, "gallery")
    alone = query_features is None or query_labels is None
    asked, truth = (features, labels) if alone else (query_features, query_labels)
    assert asked is not None and truth is not None
    if not alone:
        check_labelled(asked, truth, "query")
        if asked.shape[1] != features.shape[1]:
            raise ValueError(
                f"queries have {asked.shape[1]} dimensions, the gallery {features.shape[1]}"
            )
    gallery, classes = l2_normalize(features), labels.to(features.device)
    queries, truth = l2_normalize(asked), truth.to(features.device)
    size = chunk_rows or max(1, _CHUNK_ELEMENTS // len(gallery))
    sums = torch.zeros(3, dtype=torch.float64)
    for start in range(0, len(queries), size):
        similarity = queries[start : start + size] @ gallery.T
        own = torch.arange(start, start + len(similarity)) if alone else None
        sums += _sums(similarity, truth[start : start + size], classes, own)
    number = int(sums[2])
    if number == 0:
        raise ValueError(f"none of {len(queries)} queries has another image of its class to find")
    return RetrievalResult(
        mean_ap=float(sums[0] / number),
        precision_at_1=float(sums[1] / number),
        num_queries=number,
        num_without=len(queries) - number,
        protocol=f"retrieval-cosine-{'leave-one-out' if alone else 'query-gallery'}",
    )


def _sums(similarity: Tensor, truth: Tensor, classes: Tensor, own: Tensor | None) -> Tensor:
    """Sums of average precision and precision at 1 over the queries that count, and their number.

    Args:
        similarity: Of queries to the gallery (B, N).
        truth: Classes of the queries (B,).
        classes: Classes of the gallery (N,).
        own: Place of each query in the gallery (B,), which is left out.
    """
    if own is not None:
        similarity.scatter_(1, own.to(similarity.device).unsqueeze(1), -torch.inf)
    ranked = similarity.argsort(dim=1, descending=True, stable=True)
    relevant = classes[ranked] == truth.unsqueeze(1)
    if own is not None:
        relevant = relevant[:, :-1]  # the query itself is the last
    hits = relevant.double().cumsum(dim=1)
    places = torch.arange(1, relevant.shape[1] + 1, device=hits.device)
    number = relevant.sum(dim=1)
    counted = number > 0
    precision = (hits / places * relevant).sum(dim=1)[counted] / number[counted]
    first = relevant[counted, 0].double()
    return torch.stack([precision.sum(), first.sum(), counted.sum().double()]).cpu()
