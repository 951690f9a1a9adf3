"""What is measured: functions of labels and features, without a Runner."""

from mmdeepcluster.evaluation.cluster_entropies import ClusterEntropies, cluster_entropies
from mmdeepcluster.evaluation.cluster_health import (
    ClusterHealth,
    cluster_health,
    feature_spread,
    num_zero_rows,
    rank_me,
)
from mmdeepcluster.evaluation.cluster_metrics import (
    adjusted_mutual_info,
    adjusted_rand,
    clustering_scores,
    hungarian_accuracy,
    label_change_ratio,
    normalized_mutual_info,
)
from mmdeepcluster.evaluation.collapse import (
    CollapseWarning,
    TrainingSigns,
    collapse_warnings,
    largest_share_limit,
)
from mmdeepcluster.evaluation.knn import KNN_PROTOCOL, knn_accuracy, knn_classify, protocol_id

__all__ = [
    "KNN_PROTOCOL",
    "ClusterEntropies",
    "ClusterHealth",
    "CollapseWarning",
    "TrainingSigns",
    "adjusted_mutual_info",
    "adjusted_rand",
    "cluster_entropies",
    "cluster_health",
    "clustering_scores",
    "collapse_warnings",
    "feature_spread",
    "hungarian_accuracy",
    "knn_accuracy",
    "knn_classify",
    "label_change_ratio",
    "largest_share_limit",
    "normalized_mutual_info",
    "num_zero_rows",
    "protocol_id",
    "rank_me",
]
