"""Cross-entropy whose weights fall with the size of the cluster."""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

from mmdeepcluster.registry import LOSSES


def sample_weights(counts: Tensor, targets: Tensor, power: float) -> Tensor:
    """Weights (B,) proportional to ``N_c ** -power``, 1 for the smallest of all clusters.

    An empty cluster counts as one sample, so its weight is finite.

    Args:
        counts: Size of each cluster, int64 (K,).
        targets: Cluster of each sample, int64 (B,).
        power: Exponent.
    """
    sizes = counts.take(targets).clamp_min_(1).float()
    return sizes.div_(counts.min().clamp_min(1)).pow_(-power)


@LOSSES.register_module()
class ClassBalancedCrossEntropy(nn.Module):
    """Loss re-weighting of ODC (arXiv 2006.10645, section 3.2): ``w_c ~ N_c ** -power``.

    ``loss = sum_i w[y_i] * CE_i / sum_i w[y_i]``: divided by the sum of the weights, so equal
    clusters give exactly the plain cross-entropy and the first loss is about ln K. With several
    processes the sum is that of the global batch.

    Args:
        power: Exponent; 0 turns the re-weighting off. Defaults to 0.5, the paper. Changes results.
        loss_weight: Factor on the loss. Defaults to 1.
    """

    def __init__(self, power: float = 0.5, loss_weight: float = 1.0) -> None:
        super().__init__()
        if power < 0:
            raise ValueError(f"model.loss.power must be at least 0, got {power}")
        self.power = power
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        """Weighted loss, a scalar.

        Args:
            logits: Scores (B, K).
            targets: Cluster of each sample, int64 (B,).
            counts: Size of each cluster, int64 (K,).
        """
        weights = sample_weights(counts, targets, self.power)
        losses = F.cross_entropy(logits.float(), targets, reduction="none")
        total = weights.sum()
        if get_world_size() > 1:
            # The wrapper averages gradients over ranks: W / global sum makes that a global mean.
            total = total.detach().clone()
            all_reduce(total)
            total = total / get_world_size()
        return self.loss_weight * (weights * losses).sum() / total
