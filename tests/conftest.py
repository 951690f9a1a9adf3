"""Shared settings: few threads, so that figures do not depend on the number of cores."""

import os

# Also of the programs that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)
