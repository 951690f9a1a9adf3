# SGD with one drop of the rate, for small sets. As in the released code of ODC the head has no
# momentum; here it learns ten times faster than the rest, or it would lag behind the network
# (docs/recipes.md has the measurements).
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.06, momentum=0.9, weight_decay=1e-5),
    paramwise_cfg=dict(custom_keys={"head": dict(momentum=0.0, lr_mult=10)}),
)
train_cfg = dict(max_epochs=100)
param_scheduler = [dict(type="MultiStepLR", milestones=[80], gamma=0.1)]
