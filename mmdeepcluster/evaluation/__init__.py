"""What is measured: functions of labels and features, without a Runner."""

from mmdeepcluster.evaluation.average_precision import interpolated_average_precision
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
from mmdeepcluster.evaluation.finetune import (
    FINETUNE_PROTOCOLS,
    FinetuneProtocol,
    stratified_subset,
)
from mmdeepcluster.evaluation.initial_alignment import (
    Alignment,
    alignment,
    select_by_ia,
    summarize_alignments,
)
from mmdeepcluster.evaluation.knn import KNN_PROTOCOL, knn_accuracy, knn_classify, protocol_id
from mmdeepcluster.evaluation.layer_probe import LayerProbeResult, LayerScore, probe_layers
from mmdeepcluster.evaluation.linear_probe import ProbeResult, linear_probe, probe_id
from mmdeepcluster.evaluation.low_shot import (
    LOW_SHOT_PROTOCOLS,
    SAMPLES,
    SHOTS,
    LowShotScore,
    draw_low_shot,
    grand_mean,
    low_shot_id,
    read_low_shot_labels,
    summarize_low_shot,
)
from mmdeepcluster.evaluation.paper_results import TAGS, paper_protocols, paper_results
from mmdeepcluster.evaluation.probe_points import (
    PROBE_POINTS,
    ProbePoint,
    choose_probe_points,
    nearest_grid,
)
from mmdeepcluster.evaluation.probe_protocols import PROBE_PROTOCOLS, ProbeProtocol, pick
from mmdeepcluster.evaluation.retrieval import RetrievalResult, retrieval
from mmdeepcluster.evaluation.svm import (
    COST_LISTS,
    SvmScore,
    best_cost,
    check_svm_training,
    cross_validate,
    fit_and_test,
    normalize_rows,
    svm_id,
)
from mmdeepcluster.evaluation.voc_labels import VocLabels, read_voc_labels, voc_image_names

__all__ = [
    "COST_LISTS",
    "FINETUNE_PROTOCOLS",
    "KNN_PROTOCOL",
    "LOW_SHOT_PROTOCOLS",
    "PROBE_POINTS",
    "PROBE_PROTOCOLS",
    "SAMPLES",
    "SHOTS",
    "TAGS",
    "Alignment",
    "ClusterEntropies",
    "ClusterHealth",
    "CollapseWarning",
    "FinetuneProtocol",
    "LayerProbeResult",
    "LayerScore",
    "LowShotScore",
    "ProbePoint",
    "ProbeProtocol",
    "ProbeResult",
    "RetrievalResult",
    "SvmScore",
    "TrainingSigns",
    "VocLabels",
    "adjusted_mutual_info",
    "adjusted_rand",
    "alignment",
    "best_cost",
    "check_svm_training",
    "choose_probe_points",
    "cluster_entropies",
    "cluster_health",
    "clustering_scores",
    "collapse_warnings",
    "cross_validate",
    "draw_low_shot",
    "feature_spread",
    "fit_and_test",
    "grand_mean",
    "hungarian_accuracy",
    "interpolated_average_precision",
    "knn_accuracy",
    "knn_classify",
    "label_change_ratio",
    "largest_share_limit",
    "linear_probe",
    "low_shot_id",
    "nearest_grid",
    "normalize_rows",
    "normalized_mutual_info",
    "num_zero_rows",
    "paper_protocols",
    "paper_results",
    "pick",
    "probe_id",
    "probe_layers",
    "protocol_id",
    "rank_me",
    "read_low_shot_labels",
    "read_voc_labels",
    "retrieval",
    "select_by_ia",
    "stratified_subset",
    "summarize_alignments",
    "summarize_low_shot",
    "svm_id",
    "voc_image_names",
]
