# DeepCluster (arXiv 1807.05520): the features themselves are clustered, after PCA to 256 whitened
# dimensions and scaling to unit length (section 3.3 and released code).
model = dict(
    type="DeepCluster",
    neck=dict(type="AveragePoolNeck"),
    head=dict(type="ClusterHead"),
    feature_transform=dict(type="PCAWhitening", dim=256),
    clusterer=dict(type="KMeans"),
    loss=dict(type="ClassBalancedCrossEntropy", power=0.0),
)
