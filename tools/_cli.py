"""What the command line tools share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from mmengine.config import DictAction

# As in mmdeepcluster.engine, which takes seconds to import.
LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--cfg-options a.b=1 c="[1,2]"``."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="settings of the config to change, e.g. model.num_clusters=100 data_root=my_photos",
    )


def run(
    main: Callable[[], Any], interrupted: str = "--resume continues from the last checkpoint"
) -> None:
    """Runs a tool; an error that is the user's to mend is one line and exit code 1.

    ``MMDEEPCLUSTER_TRACEBACK=1`` shows where it came from.

    Args:
        main: The tool.
        interrupted: What to do after Ctrl-C.
    """
    try:
        main()
    except KeyboardInterrupt:
        print(f"interrupted; {interrupted}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sys.exit(_say(error))
    from mmdeepcluster.engine import leave_processes

    leave_processes()


def _say(error: Exception) -> int:
    """Says what a user can mend, in one line; the exit code. Raises anything else again."""
    # Here, not above: --help and a wrong option need none of the seconds that torch takes.
    from mmdeepcluster.engine import (
        ConfigError,
        TrainingError,
        TrainingInterruptedError,
        leave_processes,
    )

    sys.stdout.flush()
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    speaker = f"[rank {os.environ.get('RANK')}] " if several else ""
    if isinstance(error, TrainingInterruptedError):
        print(f"{speaker}{error}", file=sys.stderr)
        leave_processes()
        return error.exit_code
    if not isinstance(error, ConfigError | TrainingError) or os.environ.get(
        "MMDEEPCLUSTER_TRACEBACK"
    ):
        raise error
    print(f"{speaker}error: {error}", file=sys.stderr)
    return 1


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Adds ``--launcher``."""
    parser.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        default="none",
        help="what started this process, where there are several (tools/dist_train.sh says it)",
    )


def add_images(parser: argparse.ArgumentParser) -> None:
    """Adds ``--images``, ``--split``, ``--labels`` and ``--unreadable``."""
    parser.add_argument(
        "--images",
        metavar="FOLDER_OR_LIST",
        help="folder of images, or list file with a path per line; default: the config's data set",
    )
    parser.add_argument("--split", help="another split of the config's data set")
    parser.add_argument(
        "--labels",
        action="store_true",
        help="with --images: folder names, or numbers behind the names of a list, are classes",
    )
    parser.add_argument(
        "--unreadable",
        choices=("fail", "skip", "trust"),
        default="fail",
        help="with --images: files that cannot be read are an error, are left out and listed, or "
        "are not looked for beforehand",
    )


def pass_options(args: argparse.Namespace) -> dict[str, Any]:
    """What the options of a pass over images say, as ``mmdeepcluster.apis`` takes it."""
    names = ("images", "split", "labels", "unreadable", "batch_size", "num_workers", "overwrite")
    given = {name: getattr(args, name) for name in (*names, "launcher")}
    return {**given, "options": args.cfg_options}


def add_pass(parser: argparse.ArgumentParser) -> None:
    """Adds ``--batch-size``, ``--num-workers`` and ``--overwrite``."""
    parser.add_argument("--batch-size", type=int, help="images at once; default: the config's")
    parser.add_argument("--num-workers", type=int, help="data workers; default: the config's")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what another command left in --out"
    )


def figure_size(text: str) -> tuple[float, float]:
    """Width and height in inches of ``12*7``, as OpenMMLab's tools take it."""
    try:
        width, height = (float(part) for part in text.split("*"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must look like 12*7, got {text!r}") from None
    if min(width, height) <= 0:
        raise argparse.ArgumentTypeError(f"must be positive, got {text!r}")
    return width, height
