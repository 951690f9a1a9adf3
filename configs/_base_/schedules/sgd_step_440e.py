# The schedule of ODC on ImageNet (section 3.4): constant for 400 epochs, a tenth for the last 40.
# The head has no momentum, as in the released code.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.06, momentum=0.9, weight_decay=1e-5),
    paramwise_cfg=dict(custom_keys={"head": dict(momentum=0.0)}),
)
train_cfg = dict(max_epochs=440)
param_scheduler = [dict(type="MultiStepLR", milestones=[400], gamma=0.1)]
