"""Start-up file that tools/setup_env.sh copies into the site-packages of some environments; no part of the package.

A torchvision built for CUDA beside a torch built for the CPU cannot load its compiled operators and then fails on
import, because it registers Python code for operators that nobody declared. Declaring them right before torchvision
loads is enough for everything here (no detection operator is ever called). A finder does so, because a start-up file
that imported torch itself would slow every start of the interpreter.
"""

import sys


class _DeclareBeforeTorchvision:
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname != "torchvision":
            return
        sys.meta_path.remove(self)
        import torch

        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.torchvision_schemas = library  # the declarations live as long as this object


sys.meta_path.insert(0, _DeclareBeforeTorchvision())
