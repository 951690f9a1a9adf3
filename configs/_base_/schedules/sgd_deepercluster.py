# The schedule of DeeperCluster: a constant rate. What the optimizer knows of the head is forgotten
# when its weights start anew.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=1e-5),
)
train_cfg = dict(max_epochs=100)
param_scheduler = []
