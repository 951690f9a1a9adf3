"""Clusters of new images, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from mmdeepcluster.apis.cluster_model import ClusterModel
from mmdeepcluster.engine import (
    ConfigError,
    open_images,
    share_cores,
    write_left_out,
    write_table,
)


def assign(
    model: str | Path | ClusterModel,
    images: str | Path,
    out: str | Path,
    *,
    labels: bool = False,
    unreadable: str = "skip",
    device: str | None = None,
    batch_size: int | None = None,
    num_workers: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes the cluster of each image of a folder or list as a CSV file.

    Columns: ``index,path,label,cluster,distance,margin,stable_id``. Images that cannot be read
    are left out and listed with the reason in ``<out>.unreadable.txt``.

    Args:
        model: File of ``export_clusters`` or ``export_model``, or a loaded one.
        images: Folder or list file.
        out: The CSV file.
        labels: Whether folder names, or the numbers behind the names of a list, are known classes.
        unreadable: ``skip``, ``fail`` or ``trust``.
        device: Where it computes. Defaults to a GPU if there is one.
        batch_size: Images at once. Defaults to that of the training's evaluation.
        num_workers: Data workers.
        overwrite: Whether ``out`` may be replaced.

    Returns:
        ``csv``, ``num_images``, ``num_unreadable``.

    Raises:
        ConfigError: If the model or the images cannot be used, or ``out`` exists.
    """
    path = Path(out)
    if path.exists() and not overwrite:
        raise ConfigError(f"--out {out} exists: give another file, or --overwrite")
    if path.is_dir():
        raise ConfigError(f"--out {out} is a folder, give a CSV file")
    share_cores()
    if not isinstance(model, ClusterModel):
        model = ClusterModel.load(
            model, device=device, batch_size=batch_size, num_workers=num_workers
        )
    dataset = open_images(Config(), images, labels=labels, unreadable=unreadable)
    try:
        found = model.assign(dataset)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, dataset, found._asdict())
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    write_left_out(path.with_name(f"{path.name}.unreadable.txt"), dataset)
    print_log(f"{len(dataset):,} images: {path}", "current")
    return {"csv": path, "num_images": len(dataset), "num_unreadable": dataset.num_unreadable}
