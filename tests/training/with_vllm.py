"""`python with_vllm.py SITE MODULE WORDS...`: a stage of training by an interpreter that has vLLM and lacks the rest.

What it lacks (TRL and its like) is taken from SITE, the other environment's site-packages, behind its own. vLLM's CPU build
packs weights after loading, and then takes no new ones; here it keeps them as they are on a GPU.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    site, module, *words = sys.argv[1:]
    sys.path[:1] = [str(Path(__file__).parents[2])]
    sys.path.append(site)
    import torch
    from vllm.model_executor.layers import utils

    def keep_weights(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    utils.dispatch_cpu_unquantized_gemm = keep_weights
    importlib.import_module(module).main(words)
