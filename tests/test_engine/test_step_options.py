"""Switches of the training step: read, exact on resume, refused where they cannot be used."""

import pytest
import torch
from conftest_engine import DIGITS, FAST
from test_resume import assert_same, interrupt_training

from mmdeepcluster.apis import train
from mmdeepcluster.engine import ConfigError, get_algorithm, resolve_config
from mmdeepcluster.engine.hooks.epoch_clustering_hook import forget
from mmdeepcluster.engine.optim_groups import merged

SWITCHES = {
    "channels_last": True,
    "compile.backend": "aot_eager",  # needs no compiler of C++
    "optim_wrapper.optimizer.fused": True,
    "optim_wrapper.clip_grad": {"max_norm": 50.0},
}


def run(work_dir, resume=False, **options):
    return train(DIGITS, work_dir=work_dir, resume=resume, options=FAST | options)


def test_switches_reach_the_step(tmp_path):
    switches = {key: value for key, value in SWITCHES.items() if key != "compile.backend"}
    runner = run(tmp_path, **switches, **{"train_cfg.max_epochs": 1})
    algorithm = get_algorithm(runner)
    weights = [p for p in algorithm.backbone.parameters() if p.ndim == 4]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    assert runner.optim_wrapper.optimizer.defaults["fused"] is True
    assert "train/grad_norm" in runner.message_hub.log_scalars


@pytest.mark.slow
def test_all_at_once_and_resumed(tmp_path):
    straight = run(tmp_path / "straight", **SWITCHES)
    algorithm = get_algorithm(straight)
    assert algorithm.backbone._compiled_call_impl is not None

    def start(work_dir, **options):
        return run(work_dir, **SWITCHES, **options)

    interrupt_training(start, tmp_path / "parts", 9, 15)
    assert_same(straight, run(tmp_path / "parts", resume=True, **SWITCHES))


@pytest.mark.parametrize("fused", [False, True])
def test_an_optimizer_forgets_a_head_in_the_group_of_others(fused):
    """R9: the first step of new weights is one without momentum."""
    body, head = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = torch.optim.SGD([body, head], lr=1.0, momentum=0.5, fused=fused)

    def step():
        optimizer.zero_grad()
        (body + head).sum().backward()
        optimizer.step()

    step()
    forget(optimizer, (head,))
    step()
    assert body.tolist() == [-1.5] * 3 and head.tolist() == [-1.0] * 3


def test_equal_settings_share_a_group():
    body = [torch.nn.Parameter(torch.zeros(number)) for number in (1, 2, 3)]
    groups = [
        {"params": [body[0]], "lr": 0.1},
        {"params": [body[1]], "lr": 0.2, "momentum": 0.0},
        {"params": [body[2]], "lr": 0.1},
    ]
    found = merged(groups)
    assert [(g["lr"], [len(p) for p in g["params"]]) for g in found] == [(0.1, [1, 3]), (0.2, [2])]
    assert found[1]["momentum"] == 0.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compile": "yes"}, "compile: True, False or options of torch.compile, got 'yes'"),
        ({"compile": {"backand": "eager"}}, "compile.backand: unknown key, did you mean 'backend'"),
        ({"channels_last": 1}, "channels_last: True, False or None, got 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        resolve_config(DIGITS, options)


def test_an_optimizer_with_other_groups_is_refused(tmp_path):
    run(tmp_path, **{"train_cfg.max_epochs": 1})
    other = {"optim_wrapper.paramwise_cfg.norm_decay_mult": 0.0}
    with pytest.raises(ConfigError, match=r"optimizer has 2 groups of .* this one 3 of"):
        run(tmp_path, resume=True, **other)
