"""Makes a trained network faster without changing it: by twins that share its tensors, and by captured CUDA graphs."""

import copy
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch._inductor import config as inductor_config

Function = Callable[..., tuple[Tensor, ...]]


class Captured:
    """Calls functions of tensors on one device; on a GPU each becomes a CUDA graph once, and then costs one launch."""

    def __init__(self, device: torch.device, capture: bool = True) -> None:
        """With `capture` false nothing is captured, not even on a GPU: for weights that still change."""
        self.device = device
        self._captures = capture and device.type == "cuda"
        self._graphs: dict[Hashable, _Graph] = {}

    def __call__(self, key: Hashable, function: Function, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Returns `function(*inputs)`; the same key must always mean the same function and shapes."""
        if self._captures and key not in self._graphs:
            try:
                self._graphs[key] = _Graph(function, inputs, self.device)
            except RuntimeError as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                warnings.warn(
                    f"running without a captured graph, which is slower: {str(error).splitlines()[0]}",
                    RuntimeWarning,
                    stacklevel=2,
                )
                self._captures = False
        if not self._captures:
            return function(*(x.to(self.device) for x in inputs))
        return self._graphs[key](inputs)


class _Graph:
    """A function as one CUDA graph, with its own tensors for inputs and outputs."""

    def __init__(self, function: Function, inputs: Sequence[Tensor], device: torch.device) -> None:
        self._inputs = [x.to(device, copy=True) for x in inputs]
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):  # cuDNN chooses, and code is compiled, before the capture
            for _ in range(3):
                function(*self._inputs)
        torch.cuda.current_stream(device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = function(*self._inputs)

    def __call__(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        for static, given in zip(self._inputs, inputs, strict=True):
            static.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._outputs


Module = TypeVar("Module", bound=nn.Module)


def channels_last(module: Module, device: torch.device | str | None = None) -> Module:
    """Moves a module to the device (by default it stays), with its weights in the layout of fast convolutions."""
    return module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it


def shared_twin(module: Module) -> Module:
    """A copy that shares all tensors with the module; its structure can be changed without changing the original."""
    return copy.deepcopy(module, {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())})


def compile_frozen(function: Callable, device: torch.device) -> Callable:
    """A function of tensors, compiled by torch.compile, for weights that no longer change; without gradients."""
    # CUDA graphs are captured by `Captured`, around more than one function.
    fast = torch.compile(function, dynamic=False, options={"max_autotune": device.type == "cuda"})
    if device.type == "cuda":
        return fast

    def call(*arguments: object) -> object:
        # Weights become constants, laid out once as the CPU's convolutions want them. Dynamo reads this where options
        # of `torch.compile` do not reach.
        with inductor_config.patch(freezing=True):
            return fast(*arguments)

    return call
