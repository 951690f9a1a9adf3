"""Runs a function in several gloo processes and collects what it returns."""

import multiprocessing
import os
import pickle

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tool_runs import PRELOAD, free_port

# The server lives as long as the tests of this worker.
multiprocessing.set_forkserver_preload(PRELOAD)


def run_processes(function, world_size, *args):
    """Calls ``function(*args)`` in each process of a group; the results by rank."""
    results = multiprocessing.get_context("forkserver").SimpleQueue()
    environment = os.environ | {
        "WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
    }
    processes = mp.start_processes(
        _call,
        (environment, results, function, args),
        world_size,
        join=False,
        start_method="forkserver",
    )
    found = {}
    while not processes.join(timeout=0.05):
        while not results.empty():
            found |= pickle.loads(results.get())
    while not results.empty():
        found |= pickle.loads(results.get())
    return [found[rank] for rank in range(world_size)]


def _call(rank, environment, results, function, args):
    # The server has the environment of its start, which is not that of this test.
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    try:
        # As bytes: tensors would be passed as handles that end with this process.
        results.put(pickle.dumps({rank: function(*args)}))
        dist.barrier()
    finally:
        dist.destroy_process_group()
