# SGD as in ODC (section 3.4): momentum 0.9 everywhere but in the head, as the released code has it.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.06, momentum=0.9, weight_decay=1e-5),
    paramwise_cfg=dict(custom_keys={"head": dict(momentum=0.0)}),
)
train_cfg = dict(max_epochs=100)
param_scheduler = [dict(type="MultiStepLR", milestones=[80], gamma=0.1)]
