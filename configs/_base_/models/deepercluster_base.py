# DeeperCluster (arXiv 1905.01278): rotation and two levels of clusters. Features are whitened by
# PCA and scaled to unit length before they are clustered, ten iterations on each level.
model = dict(
    type="DeeperCluster",
    num_super_clusters=4,
    num_rotations=4,
    grouped=False,
    neck=dict(type="AveragePoolNeck"),
    head=dict(type="TwoLevelHead"),
    feature_transform=dict(type="PCAWhitening", dim=256),
    clusterer=dict(type="TwoLevelKMeans", max_iters=10),
)
