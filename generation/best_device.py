"""Which device "auto" stands for. Imports torch, so only worker processes import it."""

import torch


def best_device() -> str:
    """CUDA if there is a GPU for it, else Apple's GPU, else the CPU, as torch names them."""
    if torch.cuda.is_available():
        return "cuda"

    return "mps" if torch.backends.mps.is_available() else "cpu"
