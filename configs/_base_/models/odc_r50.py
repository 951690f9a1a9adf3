# ODC with ResNet-50 as in the paper, sections 3.1 to 3.4; where the paper is silent (batch norm of
# the neck, unit rows in the memory) as in the released code.
model = dict(
    type="ODC",
    backbone=dict(type="ResNet", depth=50, in_channels=3),
    neck=dict(
        type="ODCNeck",
        hidden_channels=512,
        out_channels=256,
        dropout=0.5,
        final_relu=True,
        norm_cfg=dict(type="BN1d", momentum=0.001, affine=False),
    ),
    head=dict(type="ClusterHead"),
    memory=dict(
        type="ODCMemory",
        momentum=0.5,
        min_cluster_size=20,
        centroids_update_interval=10,
        assign_metric="l2",
        renormalize=True,
    ),
    loss=dict(type="ClassBalancedCrossEntropy", power=0.5),
    clusterer=dict(type="KMeans"),
)
