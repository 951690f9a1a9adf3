# Four 3x3 convolutions for images of 32x32 under ODC: small enough to be trained on a CPU.
model = dict(
    type="ODC",
    backbone=dict(type="ConvNet", in_channels=3, widths=(16, 32, 64, 128)),
    neck=dict(
        type="ODCNeck",
        hidden_channels=256,
        out_channels=256,
        dropout=0.0,
        final_relu=False,
        norm_cfg=dict(type="BN1d", momentum=0.1, affine=False),
    ),
    head=dict(type="ClusterHead"),
    memory=dict(
        type="ODCMemory",
        momentum=0.5,
        min_cluster_size="auto",
        centroids_update_interval=10,
        assign_metric="l2",
    ),
    loss=dict(type="ClassBalancedCrossEntropy", power=0.5),
    clusterer=dict(type="KMeans", max_iters=20),
)
