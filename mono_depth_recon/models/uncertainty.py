"""Sigma by running one model more than once: on the mirrored image (flip), or on samples of dropout (mc_dropout).

`with_uncertainty(model, settings) -> DepthModel` wraps a loaded model. Mean and spread
(sample standard deviation) are taken in plain metres, of a relative model in plain disparity. A model may offer
`stochastic: bool` (each prediction is a sample of dropout) and `sigma_fits: Mapping[str, SigmaFit]` by kind, fitted on
scenes of known depth by `training.calibrate_sigma`; without one sigma is the bare spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..config import ModelConfig
from ..errors import ModelError
from ..frames import Prediction
from .base import DepthModel, Output, View, needs_prompt
from .card import SigmaFit
from .ensemble import Ensemble
from .merging import merged, mirrored_prediction

_WINDOW = 24  # the spread of two samples is averaged over windows of 1 / 24 of the longer side


def with_uncertainty(model: DepthModel, settings: ModelConfig) -> DepthModel:
    """`model` with sigma estimated as `settings.uncertainty` says. Raises ModelError where the model cannot.

    For mc_dropout the model must have been loaded with the same settings, so that its network draws dropout.
    """
    kind = settings.uncertainty
    if isinstance(model, Ensemble):
        if kind in ("none", "ensemble"):
            return model
        raise ModelError(
            f"model.uncertainty {kind} is for one model, {model.name} is an ensemble, whose sigma is the "
            "spread of its members: set model.uncertainty to ensemble"
        )
    if kind != "none" and needs_prompt(model):
        raise ModelError(
            f"model.uncertainty {kind} is not possible for {model.name}, which is given depth: set it to none"
        )
    if kind == "ensemble":
        raise ModelError(
            f"model.uncertainty ensemble is the spread of several models, {model.name} is one: set "
            f"model.name to ensemble:{model.name}+<another>, or model.uncertainty to flip"
        )
    if kind == "flip":
        return FlipModel(model)
    return McDropoutModel(model, settings.samples) if kind == "mc_dropout" else model


def sigma_kinds(model: DepthModel) -> tuple[str, ...]:
    """The values of `model.uncertainty` that are possible with this model."""
    if isinstance(model, Ensemble):
        return ("ensemble",)
    card = getattr(model, "card", None)
    return ("flip", "mc_dropout") if card is not None and card.dropout else ("flip",)


class _Wrapper:
    """What the wrappers share: everything but `predict` is the wrapped model's."""

    def __init__(self, model: DepthModel, kind: str) -> None:
        self.model = model
        fits: Mapping[str, SigmaFit] = getattr(model, "sigma_fits", {})
        self.fit = fits.get(kind, SigmaFit())

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def output(self) -> Output:
        """The model's kind of output."""
        return self.model.output

    @property
    def device(self) -> str:
        """The model's runtime and device."""
        return self.model.device

    def release_memory(self) -> None:
        """Forwards to the model."""
        self.model.release_memory()


class FlipModel(_Wrapper):
    """Each view and its mirror in one batch: the mean of both, and sigma from their difference.

    Two samples say little about one pixel, so their variance is averaged over a small window. Only errors that depend
    on left and right show; one that both have in common does not.
    """

    def __init__(self, model: DepthModel) -> None:
        super().__init__(model, "flip")

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """One Prediction with sigma per view."""
        predictions = self.model.predict([view for one in batch for view in (one, mirrored(one))])
        return [self._combined(predictions[i], predictions[i + 1]) for i in range(0, len(predictions), 2)]

    def _combined(self, direct: Prediction, of_mirror: Prediction) -> Prediction:
        import cv2

        back = mirrored_prediction(of_mirror)
        first, second = direct.values, back.values
        mean = np.float32(0.5) * (first + second)
        side = max(first.shape) // _WINDOW | 1  # odd: about the pixel
        variance = cv2.boxFilter(np.square(first - second), -1, (side, side)) * np.float32(0.5)
        # running sums may leave a trace of rounding below zero
        sigma = self.fit.sigma(np.sqrt(np.maximum(variance, 0)), mean)
        return merged(direct, (direct, back), mean, sigma)


class McDropoutModel(_Wrapper):
    """`samples` runs of dropout as one batch: their mean, and sigma from their spread (Gal and Ghahramani, 2016).

    torch.manual_seed makes a prediction reproducible. ModelError for a model without dropout.
    """

    def __init__(self, model: DepthModel, samples: int) -> None:
        super().__init__(model, "mc_dropout")
        if not getattr(model, "stochastic", False):
            raise ModelError(
                f"model.uncertainty mc_dropout needs a network with dropout, {model.name} has none: "
                "choose unetpp_resnext50, or set model.uncertainty to flip"
            )
        self.samples = samples

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """One Prediction with sigma per view."""
        predictions = self.model.predict([view for view in batch for _ in range(self.samples)])
        return [self._combined(predictions[i : i + self.samples]) for i in range(0, len(predictions), self.samples)]

    def _combined(self, samples: Sequence[Prediction]) -> Prediction:
        values = np.stack([sample.values for sample in samples])
        mean = values.mean(axis=0)
        return merged(samples[0], samples, mean, self.fit.sigma(values.std(axis=0, ddof=1), mean))


def seed_dropout(seed: int) -> None:
    """Makes the samples of dropout that follow reproducible."""
    import torch

    torch.manual_seed(seed)


def mirrored(view: View) -> View:
    """Left and right exchanged, in the image and in its camera."""
    rgb, camera = view
    return np.ascontiguousarray(rgb[:, ::-1]), camera.mirrored()
