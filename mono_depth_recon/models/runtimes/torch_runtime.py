"""Torch on the CPU; `cuda_runtime` is its counterpart for GPUs."""

from __future__ import annotations

from typing import Any

from ...config import ModelConfig
from ...errors import ModelError
from .base import Batch, Network, build_module, example_batch, last_line


class TorchRuntime:
    """A torch module on the CPU in f32, f16 or bf16, eager or compiled. Its output is float32."""

    def __init__(self, network: Network, settings: ModelConfig, threads: int = 0) -> None:
        module = build_module(network, "model.runtime torch")
        import torch

        if threads:
            torch.set_num_threads(threads)
        precision = "f32" if settings.precision == "auto" else settings.precision
        module = module.to(memory_format=torch.channels_last)
        example = example_batch(network) if network.foldable or settings.compile else None
        self._run = forward_of(module, example if network.foldable else None, "cpu", precision, settings.compile)
        self.device = f"torch CPU {precision}" + (" compiled" if settings.compile else "")
        if settings.compile and example is not None:  # compiles now, not at the first frame
            self.run(example)

    def run(self, batch: Batch) -> Batch:
        """(N, 3, rows, columns) -> (N, channels, rows', columns')."""
        import torch

        with torch.inference_mode():
            out: Batch = self._run(torch.from_numpy(batch).to(memory_format=torch.channels_last)).numpy()
        return out

    def release_memory(self) -> None:
        """Torch on the CPU keeps nothing between runs."""


def forward_of(module: Any, example: Batch | None, device: str, precision: str, compiled: bool) -> Any:
    """A function float32 tensor -> float32 tensor that runs `module`, which is changed, in `precision`.

    With an `example` of its input, float32 folds batch norms into convolutions (`folding`).
    f16 and bf16: kernels and matrices are stored and multiplied in it; autocast keeps what needs the range
    (exponentials, softmax, normalisation) in float32. Raises ModelError where torch.compile fails.
    """
    import torch

    from .folding import convolves, fold, standardise

    dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[precision]
    standardise(module)
    if example is not None and dtype is torch.float32:
        fold(module, example.shape)
    if dtype is not torch.float32:
        for part in module.modules():
            if convolves(part) or type(part) in (torch.nn.ConvTranspose2d, torch.nn.Linear):
                part.to(dtype)
    call = torch.compile(module) if compiled else module

    def forward(image: Any) -> Any:
        try:
            with torch.autocast(device, dtype, enabled=dtype is not torch.float32):
                return call(image).float()
        except torch._dynamo.exc.TorchDynamoException as error:
            raise ModelError(f"torch.compile failed ({last_line(error)}): set model.compile to false") from error

    return forward
