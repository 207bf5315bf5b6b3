"""What the weights of a run started from, and the attribution that their data requires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mono_depth_recon.config import read_json
from mono_depth_recon.errors import ConfigError, ModelError
from mono_depth_recon.models.encoder_weights import attribution_of

from .checkpoints import read_checkpoint

# Words in the path or kind of a source, what to cite for it, and what its licence asks of the weights
_KNOWN_DATA = (
    (
        ("rgbd_dataset_freiburg",),
        "TUM RGB-D benchmark: J. Sturm, N. Engelhard, F. Endres, W. Burgard, D. Cremers, "
        "A Benchmark for the Evaluation of RGB-D SLAM Systems, IROS 2012; CC BY 4.0",
        "images of the TUM RGB-D benchmark (CC BY 4.0)",
    ),
    (
        ("nyu_csv", "nyu_mat"),
        "NYU Depth V2: N. Silberman, D. Hoiem, P. Kohli, R. Fergus, Indoor Segmentation and Support Inference from "
        "RGBD Images, ECCV 2012; research data",
        "NYU Depth V2 (research data, no open licence)",
    ),
)


@dataclass(frozen=True)
class Origin:
    """What a run's weights started from, in words, with the attribution and licence that come along (empty: none)."""

    text: str = ""
    attribution: tuple[str, ...] = ()
    licence: str = ""

    @classmethod
    def of_file(cls, path: Path) -> Origin:
        """Of a card (.json) or a checkpoint. ModelError where it cannot be read."""
        if path.suffix == ".json":
            return cls._of_card(path)
        content = read_checkpoint(path)
        earlier = cls.of_content(content)
        made = _trained(content.get("settings", {}), earlier)
        then = f", which began with {earlier.text}" if earlier.text else ""
        return cls(f"{path.name} of a run in {path.parent.name}{then}", made.attribution, made.licence)

    @classmethod
    def _of_card(cls, path: Path) -> Origin:
        try:
            card = read_json(path, "model card")
            if not isinstance(card, dict):
                raise ConfigError(f"it holds {type(card).__name__}")
        except ConfigError as error:
            raise ModelError(f"{path} is no model card: name the .json of a model") from error
        return cls(
            f"the weights of {card.get('name', path.stem)}",
            tuple(card.get("attribution", ())),
            str(card.get("licence", "")),
        )

    @classmethod
    def of_content(cls, checkpoint: Mapping[str, Any]) -> Origin:
        """The origin that a checkpoint records."""
        saved = checkpoint.get("origin") or {}
        return cls(saved.get("text", ""), tuple(saved.get("attribution", ())), saved.get("licence", ""))

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {**asdict(self), "attribution": list(self.attribution)}


def rights(settings: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    """Attribution and licence of a U-Net++ trained by `settings` (plain values), as far as they and its origin show."""
    made = _trained(settings, origin)
    architecture = (
        "architecture: U-Net++ (Zhou et al. 2018) by segmentation_models_pytorch (MIT), encoder "
        f"{settings['network']['encoder']}, where it is one of timm by timm (Apache-2.0)"
    )
    licence = made.licence or (
        "Apache-2.0 for the code; that of the weights is yours to choose, within what the licence of your data allows"
    )
    return {"attribution": list(dict.fromkeys([*made.attribution, architecture])), "licence": licence}


def _trained(settings: Mapping[str, Any], origin: Origin) -> Origin:
    """The origin, and what a run by these settings adds: its data, and the encoder's weights if it began with them."""
    network = settings.get("network", {})
    began = () if origin.text else attribution_of(network.get("encoder", ""), network.get("encoder_weights", "none"))
    attribution = (*origin.attribution, *began)
    sources = settings.get("data", {}).get("sources", [])
    words = " ".join(f"{source.get('kind', '')} {source.get('path', '')}" for source in sources)
    used = [(cited, part) for marks, cited, part in _KNOWN_DATA if any(mark in words for mark in marks)]
    if not used:
        return Origin(origin.text, attribution, origin.licence)
    before = [(cited, part) for _, cited, part in _KNOWN_DATA if cited in origin.attribution]
    derived = " and ".join(dict.fromkeys(part for _, part in [*before, *used]))
    licence = f"Apache-2.0 for the code; the weights are partly derived from {derived}: keep the attribution"
    return Origin(origin.text, tuple(dict.fromkeys([*(cited for cited, _ in used), *attribution])), licence)
