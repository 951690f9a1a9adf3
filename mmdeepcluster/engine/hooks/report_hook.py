"""What a run ends with: how good it is, against what it started from, and where it lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from mmdeepcluster.engine.access import get_algorithm
from mmdeepcluster.engine.checkpoint_io import write_atomically
from mmdeepcluster.engine.report import (
    finalize,
    scores_to_labels,
    untrained_scores,
    write_samples,
)
from mmdeepcluster.engine.resolve_config import ResolvedConfig
from mmdeepcluster.registry import HOOKS

_STATE = "report"


@HOOKS.register_module()
class ReportHook(Hook):
    """Measures the network before and after training, saves the assigner, prints both.

    What was measured at the start is kept in the checkpoint, so that a resumed run can still
    compare. Nothing of this touches training.

    Args:
        resolved: Config and data set; given by the runner's builder.
        page: Whether :func:`mmdeepcluster.apis.train` writes ``report.html`` at the end. Defaults
            to False; ``tools/report.py WORK_DIR`` writes it at any time.
    """

    # Before the hook that fills the memory, which may already move batch norm statistics.
    priority = "HIGHEST"
    derived_keys = {"resolved": "the config"}

    def __init__(self, resolved: ResolvedConfig, page: bool = False) -> None:
        if not isinstance(page, bool):
            raise ValueError(f"default_hooks.report.page must be True or False, got {page!r}")
        self.resolved = resolved
        self.page = page

    def before_train(self, runner: Any) -> None:
        """Measures the network as it is before the first step."""
        if _STATE not in runner.hook_state:
            runner.hook_state[_STATE] = untrained_scores(self.resolved, get_algorithm(runner))

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Measures the clusters that training starts from, before the first step."""
        state = runner.hook_state[_STATE]
        if "initial" not in state:
            labels = get_algorithm(runner).labels()
            state["initial"] = scores_to_labels(labels, self.resolved.dataset.eval_labels)

    def after_train(self, runner: Any) -> None:
        """Fits and saves the assigner, writes ``report.json``, prints a summary."""
        algorithm = get_algorithm(runner)
        result = finalize(self.resolved, algorithm)
        if result is None:
            return
        report = {**runner.hook_state[_STATE], **result.report}
        folder = Path(runner.work_dir)
        dataset = self.resolved.dataset
        write_samples(folder / "samples.csv", dataset, result.assignment, result.labels)
        write_atomically(folder / "report.json", json.dumps(report, indent=2) + "\n")
        if algorithm.assigner is not None:
            write_atomically(folder / "assigner.pth", algorithm.assigner.state_dict())
        runner.logger.info(summary(report, runner, algorithm.num_clusters))


def summary(report: dict[str, Any], runner: Any, num_clusters: int) -> str:
    """The report as lines for the terminal."""
    lines = ["", "Result"]
    if report["data"]["num_unreadable"]:
        lines.append(
            f"  left out        {report['data']['num_unreadable']} unreadable images, listed in "
            f"{Path(runner.work_dir) / 'unreadable.txt'}"
        )
    if report["knn"] is not None:
        before, after = report["knn_untrained"]["accuracy"], report["knn"]["accuracy"]
        lines.append(
            f"  k-NN accuracy   {before:.4f} untrained -> {after:.4f} trained "
            f"({100 * (after - before):+.1f} points; k={report['knn']['k']}, "
            f"{report['knn']['queries']})"
        )
        for name, title in (("nmi", "NMI"), ("ami", "AMI"), ("ari", "ARI"), ("accuracy", "ACC")):
            lines.append(
                f"  {title} to labels   {report['initial'][name]:.4f} first clusters -> "
                f"{report['memory'][name]:.4f} memory, {report['assigner'][name]:.4f} assigner"
            )
        # A training that an older version began did not measure it.
        first, last = report.get("features_untrained") or {}, report["features"]
        if "nmi" in first and "nmi" in last:
            lines.append(
                f"  NMI of k-means  {first['nmi']:.4f} untrained -> {last['nmi']:.4f} trained "
                f"(plain k-means of the features, K={last['num_clusters']})"
            )
    else:
        lines.append("  no known labels: k-NN and agreement with labels were not measured")
    if report["probe"] is not None:
        probe = report["probe"]
        lines.append(
            f"  linear probe    {probe['accuracy']:.4f} on {probe['layer']} "
            f"({probe['feature_dim']} wide, {probe['num_test']} test images, {probe['protocol']})"
        )
    memory, features = report["memory"], report["features"]
    lines += [
        f"  clusters        {memory['effective_clusters']:.1f} effective of {num_clusters}, "
        f"{memory['num_empty']:.0f} empty, sizes {memory['min_size']:.0f} to "
        f"{memory['max_size']:.0f}",
        f"  features        RankMe {features['rank_me']:.1f}"
        + (
            f", NMI between two k-means seeds {features['nmi_between_seeds']:.4f}"
            if "nmi_between_seeds" in features
            else ""
        ),
        "Written",
        f"  checkpoint      {Path(runner.work_dir) / f'epoch_{runner.epoch}.pth'}",
        f"  assigner        {Path(runner.work_dir) / 'assigner.pth'}",
        f"  clusters        {Path(runner.work_dir) / 'samples.csv'} (path, cluster, distance)",
        f"  figures         {Path(runner.work_dir) / 'report.json'}",
        f"  log and curves  {runner.log_dir}",
    ]
    return "\n".join(lines)


__all__ = ["ReportHook", "summary"]
