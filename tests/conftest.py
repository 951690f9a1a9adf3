"""Shared settings: few threads, so that figures do not depend on the number of cores."""

import torch

torch.set_num_threads(1)
