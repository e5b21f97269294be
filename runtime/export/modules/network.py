"""What every network is made of besides its layers."""

from __future__ import annotations

from torch import nn


class Stage(nn.Module):
    """Layers by name."""

    def __init__(self, /, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)


class Family(nn.ModuleList):
    """Layers by number."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(layers)
