"""Writes `torch_zip.pth` and `torch_legacy.pth`; needs PyTorch, which the project does not: run by hand, once."""

from pathlib import Path

import torch


def checkpoint():
    """Views of one storage, types of numbers, an empty tensor, a parameter, and what a training keeps beside."""
    numbers = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 7
    module = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = module.state_dict()
    state.clear()  # an OrderedDict with attributes
    state |= {
        "head.0.weight": numbers,
        "turned": numbers.permute(2, 0, 1),
        "part": numbers[1, :, 1:3],
        "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
        "double": torch.tensor([1e-3, 1 / 3], dtype=torch.float64),
        "steps": torch.tensor(7),
        "nothing": torch.zeros(0, 3),
        "a.parameter": torch.nn.Parameter(torch.tensor([1.0, 2.0])),
    }
    return {"epoch": 3, "best": 0.5, "model_state_dict": state, "optimizer_state_dict": optimizer.state_dict()}


if __name__ == "__main__":
    for name, zipped in (("torch_zip.pth", True), ("torch_legacy.pth", False)):
        torch.save(checkpoint(), Path(__file__).parent / name, _use_new_zipfile_serialization=zipped)
