"""Memories: what the network knows of every sample between two visits."""

from mmdeepcluster.models.memories.label_bank import LabelBank
from mmdeepcluster.models.memories.odc_memory import MemoryUpdate, ODCMemory, Refill

__all__ = ["LabelBank", "MemoryUpdate", "ODCMemory", "Refill"]
