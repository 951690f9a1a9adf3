# The schedule of DeepCluster: a constant rate, and a head without momentum, since its weights are
# new in each cycle.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=1e-5),
    paramwise_cfg=dict(custom_keys={"head": dict(momentum=0.0)}),
)
train_cfg = dict(max_epochs=200)
param_scheduler = []
