"""Networks that stay on their device: what is copied from the CPU in each run cannot be recorded as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shrunken import settings_of

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from mono_depth_recon.config import ModelConfig  # noqa: E402
from mono_depth_recon.models import load_model  # noqa: E402
from mono_depth_recon.models.table import CHECKPOINTS  # noqa: E402


class Mixed(TorchDispatchMode):
    """Notes the operations that take tensors of the CPU and of the device; numbers as tensors are no copies."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [each for each in tree_leaves((args, kwargs or {})) if isinstance(each, torch.Tensor)]
        here = [each for each in tensors if each.device.type == "cpu" and each.dim() > 0]
        if here and (len(here) < len(tensors) or "_to_copy" in str(func)):
            self.found.append(f"{func} of {[tuple(each.shape) for each in here]}")
        return func(*args, **(kwargs or {}))


ONE_OF_EACH = {type(checkpoint.family): name for name, checkpoint in reversed(CHECKPOINTS.items())}.values()


@pytest.mark.parametrize("name", [*ONE_OF_EACH, "unetpp_mobile"])
def test_no_operation_takes_what_lies_on_the_cpu(folder_of: Callable[[str], Path], name: str) -> None:
    """From the second run on, on torch's device without memory."""
    embedded = ModelConfig(name=name, runtime="torch", precision="f32")
    model: Any = load_model(embedded if name == "unetpp_mobile" else settings_of(name, folder_of(name)), 1)
    module = model.network.build().to("meta").eval()
    assert model.network.preprocess is not None
    rows, columns = model.network.preprocess(np.zeros((120, 160, 3), np.uint8)).shape[2:]
    batch = torch.zeros((1, model.network.input_channels, rows, columns), device="meta")
    with torch.inference_mode():
        module(batch)
        with Mixed() as mixed:
            module(batch)
    assert not mixed.found, mixed.found
