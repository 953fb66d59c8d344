"""Lets an unmodified SGLang wheel start on a machine without a GPU. `install_sglang.sh` puts it into site-packages.

Two packages that SGLang imports have no CPU wheels. `sgl_kernel` becomes a module whose names all import and raise when
called; torchvision's two compiled operators that its Python part asks for at import are declared and never defined. A
.pth file imports this in every process of the server, because SGLang spawns its scheduler and detokenizer.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from typing import Any


class _Missing(types.ModuleType):
    """Any name can be imported from it; calling one raises."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        where = f"{self.__name__}.{name}"

        def absent(*_args: Any, **_kwargs: Any) -> Any:
            raise NotImplementedError(f"{where} has no CPU build on this installation")

        setattr(self, name, absent)
        return absent


class _Finder:
    library: Any = None

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name == "torchvision" and self.library is None:
            import torch

            self.library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                self.library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        elif name == "sgl_kernel.scalar_type":
            raise ModuleNotFoundError(name)  # SGLang has its own fallback for this one
        elif name == "sgl_kernel" or name.startswith("sgl_kernel."):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Missing(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


sys.meta_path.insert(0, _Finder())
