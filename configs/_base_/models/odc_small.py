# ODC for small sets and short trainings, which need a recipe of their own: no dropout, no final
# ReLU (a zero feature has no direction), and batch norm statistics that follow within tens of
# iterations.
model = dict(
    type="ODC",
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
    clusterer=dict(type="KMeans"),
)
