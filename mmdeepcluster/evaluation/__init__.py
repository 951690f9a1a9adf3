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
from mmdeepcluster.evaluation.initial_alignment import (
    Alignment,
    alignment,
    select_by_ia,
    summarize_alignments,
)
from mmdeepcluster.evaluation.knn import KNN_PROTOCOL, knn_accuracy, knn_classify, protocol_id
from mmdeepcluster.evaluation.linear_probe import ProbeResult, linear_probe, probe_id

__all__ = [
    "KNN_PROTOCOL",
    "Alignment",
    "ClusterEntropies",
    "ClusterHealth",
    "CollapseWarning",
    "ProbeResult",
    "TrainingSigns",
    "adjusted_mutual_info",
    "adjusted_rand",
    "alignment",
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
    "linear_probe",
    "normalized_mutual_info",
    "num_zero_rows",
    "probe_id",
    "protocol_id",
    "rank_me",
    "select_by_ia",
    "summarize_alignments",
]
