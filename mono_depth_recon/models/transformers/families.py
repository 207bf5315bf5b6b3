"""The families of transformers models, a row each, and the rules by which their images are prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import ModelError
from .depth_anything import DepthAnything
from .depth_pro import DepthPro
from .dpt import Dpt
from .family import Family
from .glpn import Glpn
from .input_rule import InputRule
from .prompt_depth_anything import PromptDepthAnything
from .zoedepth import ZoeDepth

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        Dpt("dpt"),
        DepthAnything("depth_anything"),
        PromptDepthAnything("prompt_depth_anything"),
        Glpn("glpn"),
        ZoeDepth("zoedepth"),
        DepthPro("depth_pro"),
    )
}


def family_of(config: Mapping[str, Any]) -> Family:
    """The family of a config.json; one without a row has what most families share."""
    model_type = str(config.get("model_type"))
    return FAMILIES.get(model_type) or Family(model_type)


def read_rule(settings: Mapping[str, Any], where: str) -> InputRule:
    """The rule of a preprocessor_config.json, by the processor that it names; `where` stands for it in messages.

    ModelError where no family has that processor, or the file asks for what is not supported.
    """
    name = str(settings.get("image_processor_type") or settings.get("feature_extractor_type") or "")
    rules = {family.rule.processor: family.rule for family in FAMILIES.values()}
    for processor, rule in rules.items():
        if name.startswith(processor):
            return rule.read(settings, where)
    raise ModelError(
        f"{where}: image processor '{name}' is not supported, expected that of "
        f"{', '.join(rules)}: give the preprocessor_config.json of such a model"
    )
