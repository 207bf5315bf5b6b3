"""Models of transformers: the published architectures and input rules, against transformers itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shrunken import build_shrunken, committed, processor_of, refused, settings_of

from mono_depth_recon.arrays import Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.models import load_model
from mono_depth_recon.models.base import View
from mono_depth_recon.models.table import CHECKPOINTS
from mono_depth_recon.models.transformers.families import read_rule
from mono_depth_recon.models.transformers.family import Focal
from mono_depth_recon.models.transformers.model import TransformerDepthModel

# One row per architecture, and per way of reading its answer.
ROWS = (
    "midas_dpt_hybrid",
    "depth_anything_v2_small",
    "depth_anything_v2_metric_indoor_small",
    "glpn_nyu",
    "zoedepth_nyu",
    "depth_pro",
)
SIZES = ((640, 480), (97, 131), (333, 75))


def picture(width: int, height: int, seed: int = 0) -> Rgb:
    """Waves, hard edges and noise."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:height, :width]
    waves = 120 + 90 * np.sin(u / width * 9 + seed) * np.cos(v / height * 7)
    waves[(u // 16 + v // 16) % 2 == 0] *= 0.6
    rgb: Rgb = np.clip(waves[..., None] * (1, 0.8, 0.6) + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)
    return rgb


def view(width: int, height: int, hfov_deg: float = 60) -> View:
    return picture(width, height), PinholeCamera.from_hfov(width, height, hfov_deg)


def loaded(name: str, folder: Path, **others: Any) -> TransformerDepthModel:
    model = load_model(settings_of(name, folder, **others), 1)
    assert isinstance(model, TransformerDepthModel)
    return model


def values_of(model: Any, one: View) -> np.ndarray[Any, np.dtype[np.float32]]:
    prediction = model.predict([one])[0]
    values = prediction.disparity if prediction.depth is None else prediction.depth
    assert values is not None
    return values


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_committed_architecture_has_the_size_of_the_published_weights(name: str) -> None:
    """Full size, on the meta device: bytes of its tensors against the file that the hub lists."""
    from mono_depth_recon.models.transformers.network import build_skeleton

    row = CHECKPOINTS[name]
    bytes_per_number = 2 if name == "depth_pro" else 4  # published in half precision
    tensors = build_skeleton(CHECKPOINTS[name].family, committed(name)["config"], name).state_dict()
    assert {str(tensor.device) for tensor in tensors.values()} == {"meta"}
    size_mb = sum(tensor.numel() for tensor in tensors.values()) * bytes_per_number / 1e6
    assert size_mb == pytest.approx(row.hub.size_mb, rel=0.005)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        (
            "midas_dpt_hybrid",
            {
                "dpt.embeddings.position_embeddings": (1, 577, 768),
                "dpt.embeddings.projection.weight": (768, 1024, 1, 1),
                "dpt.embeddings.backbone.bit.embedder.convolution.weight": (64, 3, 7, 7),
                "neck.convs.0.weight": (256, 256, 3, 3),
                "head.head.4.weight": (1, 32, 1, 1),
            },
        ),
        (
            "depth_anything_v2_small",
            {
                "backbone.embeddings.position_embeddings": (1, 1370, 384),
                "backbone.embeddings.patch_embeddings.projection.weight": (384, 3, 14, 14),
                "neck.convs.3.weight": (64, 384, 3, 3),
                "head.conv3.weight": (1, 32, 1, 1),
            },
        ),
        (
            "depth_anything_v2_metric_outdoor_large",
            {"backbone.embeddings.position_embeddings": (1, 1370, 1024), "neck.convs.0.weight": (256, 256, 3, 3)},
        ),
        ("glpn_nyu", {"decoder.stages.0.convolution.weight": (64, 512, 1, 1)}),
        ("zoedepth_nyu", {"neck.convs.3.weight": (256, 1024, 3, 3)}),
    ],
)
def test_names_and_shapes_of_the_full_size_models(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    from mono_depth_recon.models.transformers.network import build_skeleton

    tensors = build_skeleton(CHECKPOINTS[name].family, committed(name)["config"], name).state_dict()
    assert {key: tuple(tensors[key].shape) for key in shapes if key in tensors} == shapes


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_committed_configuration_tells_its_source_and_that_it_is_not_verified(name: str) -> None:
    tree, row = committed(name), CHECKPOINTS[name]
    assert (tree["repo"], tree["revision"]) == (row.hub.repo, row.hub.revision)
    assert tree["config"]["model_type"] == row.family.model_type
    assert tree["sources"]
    assert all(source.startswith("https://") for source in tree["sources"])
    assert tree["verified_against_the_hub"] is False
    assert row.hub.is_pinned or "full commit was not found" in tree["note"]


def test_maximum_depth_of_the_metric_models() -> None:
    for name, row in CHECKPOINTS.items():
        config = committed(name)["config"]
        if row.family.model_type == "depth_anything" and row.output == "metric_depth":
            assert (config["depth_estimation_type"], config["max_depth"]) == ("metric", 20 if "indoor" in name else 80)
    assert committed("glpn_nyu")["config"]["max_depth"] == 10


# The numbers


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("input_size", [0, 160])
def test_the_output_is_that_of_transformers_on_the_same_input(
    name: str, input_size: int, folder_of: Callable[[str], Path]
) -> None:
    import torch
    from transformers import AutoModelForDepthEstimation

    if name == "depth_pro" and input_size:
        pytest.skip("Depth Pro takes one size")
    model = loaded(name, folder_of(name), input_size=input_size)
    batch = model.network_input(view(320, 240))
    if input_size:
        assert min(batch.shape[2:]) in range(input_size - 16, input_size + 17)
    theirs = AutoModelForDepthEstimation.from_pretrained(folder_of(name)).eval()
    tensor = torch.from_numpy(batch)
    with torch.inference_mode():
        if name == "midas_dpt_hybrid" and input_size:  # its own call refuses other sizes than 384
            theirs.dpt.embeddings.image_size = tensor.shape[-2:]
        expected = theirs(pixel_values=tensor).predicted_depth.numpy()
        found = model.network.build()(tensor)[:, 0].numpy()
    assert found.dtype == np.float32
    assert np.ptp(expected) > 0.01 * np.abs(expected).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).mean())


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("backend", ["torchvision", "pil"])
def test_the_input_is_that_of_the_published_processor_within_one_grey_level(
    name: str, backend: str, tmp_path: Path
) -> None:
    """Pillow's, with which the models were published; torchvision's own rounding strays by two in some of a million."""
    from transformers import AutoImageProcessor

    processor = processor_of(name)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    rule = read_rule(processor, name)
    if name == "depth_pro" and backend == "pil":
        pytest.skip("the library has one processor of Depth Pro")
    theirs = AutoImageProcessor.from_pretrained(tmp_path, backend=backend)
    for size in SIZES:
        expected = np.asarray(theirs(picture(*size), return_tensors="np")["pixel_values"])[0]
        network_size = rule.network_size(*size)
        assert network_size == expected.shape[:0:-1]
        found = rule.blob(picture(*size), network_size)
        assert found.dtype == np.float32
        grey_levels = np.abs(found - expected) / np.reshape(rule.gain, (3, 1, 1))
        if backend == "pil":
            assert grey_levels.max() <= 0.01
        assert grey_levels.max() <= 2.001
        assert (grey_levels > 1.001).mean() <= 1e-5


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("midas_dpt_hybrid", (640, 480), (384, 384)),
        ("depth_anything_v2_small", (640, 480), (686, 518)),
        ("glpn_nyu", (650, 490), (640, 480)),
        ("zoedepth_nyu", (640, 480), (512, 384)),
    ],
)
def test_published_input_sizes(name: str, image: tuple[int, int], expected: tuple[int, int]) -> None:
    assert read_rule(committed(name)["preprocessor"], name).network_size(*image) == expected


def test_input_size_is_the_short_side_in_multiples_and_keeps_the_aspect_where_the_model_does(
    folder_of: Callable[[str], Path],
) -> None:
    expected = {
        "midas_dpt_hybrid": (256, 256),
        "depth_anything_v2_small": (336, 252),
        "glpn_nyu": (320, 256),
        "zoedepth_nyu": (320, 256),
    }
    for name, size in expected.items():
        model = loaded(name, folder_of(name), input_size=256)
        assert model.network_input(view(640, 480)).shape == (1, 3, size[1], size[0]), name


def test_depth_pro_refuses_other_sizes(folder_of: Callable[[str], Path]) -> None:
    message = refused(settings_of("depth_pro", folder_of("depth_pro"), input_size=320))
    assert "256x256 only" in message
    assert "model.input_size" in message


def test_depth_pro_is_its_published_depth_for_a_camera_of_that_field_of_view(folder_of: Callable[[str], Path]) -> None:
    import torch
    from transformers import AutoImageProcessor
    from transformers.models.depth_pro.modeling_depth_pro import DepthProDepthEstimatorOutput

    model = loaded("depth_pro", folder_of("depth_pro"))
    one = view(320, 240, 73)
    with torch.inference_mode():
        inverse = model.network.build()(torch.from_numpy(model.network_input(one)))[:, 0]
    outputs = DepthProDepthEstimatorOutput(predicted_depth=inverse, field_of_view=torch.tensor([73.0]))
    processor = AutoImageProcessor.from_pretrained(folder_of("depth_pro"))
    expected = processor.post_process_depth_estimation(outputs, target_sizes=[(240, 320)])[0]["predicted_depth"].numpy()
    np.testing.assert_allclose(values_of(model, one), expected, rtol=2e-4)


def test_depth_pro_answers_the_intrinsics_of_its_published_field_of_view(folder_of: Callable[[str], Path]) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    folder, one = folder_of("depth_pro"), view(320, 240, 73)
    model = loaded("depth_pro", folder)
    theirs = AutoModelForDepthEstimation.from_pretrained(folder).eval()
    with torch.inference_mode():
        outputs = theirs(pixel_values=torch.from_numpy(model.network_input(one)))
    processor = AutoImageProcessor.from_pretrained(folder)
    focal = processor.post_process_depth_estimation(outputs, target_sizes=[(240, 320)])[0]["focal_length"].item()
    assert 160 < focal < 600
    K = model.predict([one])[0].intrinsics
    np.testing.assert_allclose(K, [[focal, 0, 159.5], [0, focal, 119.5], [0, 0, 1]], rtol=1e-4)


def test_metres_follow_the_focal_length_and_disparity_does_not(folder_of: Callable[[str], Path]) -> None:
    """Another lens before the same pixels: what the network sees is the same."""
    for name in ROWS:
        model = loaded(name, folder_of(name), input_size=0 if name == "depth_pro" else 128)
        rgb, narrow = view(160, 120, 45)
        wide = PinholeCamera.from_hfov(160, 120, 90)
        ratio = narrow.fx / wide.fx if model.output == "metric_depth" else 1.0
        np.testing.assert_allclose(values_of(model, (rgb, narrow)), ratio * values_of(model, (rgb, wide)), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "image"),
    [  # sizes that need no resampling; ZoeDepth adds margins of 43 and 37 pixels
        ("depth_anything_v2_metric_indoor_small", (686, 518)),
        ("glpn_nyu", (160, 96)),
        ("zoedepth_nyu", (426, 310)),
    ],
)
def test_without_focal_scaling_metres_are_those_of_the_reference_pipeline(
    name: str, image: tuple[int, int], folder_of: Callable[[str], Path]
) -> None:
    """transformers' own network and post-processing; its picture `depth` is another thing."""
    import torch
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    folder, one = folder_of(name), view(*image, 90)
    model = loaded(name, folder, focal_scaling=False)
    theirs = AutoModelForDepthEstimation.from_pretrained(folder).eval()
    with torch.inference_mode():
        outputs = theirs(pixel_values=torch.from_numpy(model.network_input(one)))
    sizes = {"source_sizes": [image[::-1]]} if name == "zoedepth_nyu" else {}
    processor = AutoImageProcessor.from_pretrained(folder)
    expected = processor.post_process_depth_estimation(outputs, target_sizes=[image[::-1]], **sizes)
    metres = expected[0]["predicted_depth"].numpy()
    assert np.ptp(metres) > 0.01 * metres.mean()
    np.testing.assert_allclose(values_of(model, one), metres, rtol=1e-4)
    scaled = loaded(name, folder)
    assert scaled.focal is not None and model.focal is None
    factor = scaled.focal.scale(one[1], scaled.rule.network_size(*image))
    assert abs(factor - 1) > 0.2
    np.testing.assert_allclose(values_of(scaled, one), factor * metres, rtol=1e-4)


def test_focal_scaling_is_not_for_models_that_use_the_focal_length_themselves(
    folder_of: Callable[[str], Path],
) -> None:
    one = view(320, 240, 73)
    found = [values_of(loaded("depth_pro", folder_of("depth_pro"), focal_scaling=on), one) for on in (True, False)]
    np.testing.assert_array_equal(*found)


def test_the_training_camera_keeps_the_published_metres() -> None:
    kinect = PinholeCamera.from_intrinsics(640, 480, 518.9, 519.5, 325.6, 253.7)
    assert Focal(519.2, None).scale(kinect, (640, 480)) == pytest.approx(1, abs=1e-3)
    assert Focal(519.2, 480).scale(kinect, (512, 384)) == pytest.approx(1, abs=1e-3)
    assert Focal(519.2, 480).scale(kinect.resized(320, 240), (512, 384)) == pytest.approx(1, abs=1e-3)
    assert Focal(519.2, None).scale(kinect, (320, 240)) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("name", ["depth_anything_v2_small", "zoedepth_nyu"])
def test_a_plane_comes_back_to_the_grid_of_the_image_without_the_margin(name: str) -> None:
    """The network is replaced by one that returns the column of each pixel."""
    rule = read_rule(committed(name)["preprocessor"], name)
    columns, rows = rule.network_size(200, 150)
    margin = 30 if name == "zoedepth_nyu" else 0  # int(3 * sqrt(200 / 2))
    wide = 200 + 2 * margin
    says = (np.arange(columns, dtype=np.float32) + 0.5) * wide / columns - 0.5 - margin
    back = rule.restored(np.broadcast_to(says, (rows, columns)).copy(), 200, 150)
    assert back.shape == (150, 200)
    np.testing.assert_allclose(back[:, 2:-2], np.broadcast_to(np.arange(200), (150, 200))[:, 2:-2], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        *((name, "openvino") for name in ROWS if name != "depth_anything_v2_metric_indoor_small"),
        ("glpn_nyu", "onnxruntime"),
    ],
)
def test_other_runtimes_say_the_same(
    name: str, runtime: str, folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    size = 0 if name == "depth_pro" else 128
    one = view(160, 120)
    expected = values_of(loaded(name, folder_of(name), input_size=size), one)
    found = values_of(loaded(name, folder_of(name), input_size=size, runtime=runtime), one)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.mean()))


# Weights


def test_any_checkpoint_by_hf_and_its_folder(folder_of: Callable[[str], Path]) -> None:
    folder = folder_of("depth_anything_v2_small")
    settings = ModelConfig(name=f"hf:{folder}", output="relative_disparity", runtime="torch", input_size=128)
    one = view(160, 120)
    np.testing.assert_array_equal(
        values_of(load_model(settings, 1), one),
        values_of(loaded("depth_anything_v2_small", folder, input_size=128), one),
    )


def test_torch_files_of_tensors_are_read(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    source = folder_of("glpn_nyu")
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(source / name, tmp_path / name)
    torch.save(load_file(source / "model.safetensors"), tmp_path / "pytorch_model.bin")
    one = view(160, 128)
    np.testing.assert_array_equal(
        values_of(loaded("glpn_nyu", tmp_path), one), values_of(loaded("glpn_nyu", source), one)
    )


def test_a_bare_file_takes_the_committed_configuration(
    folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder_of("glpn_nyu")
    file = source / "model.safetensors"
    message = refused(settings_of("glpn_nyu", file))
    assert "are not those of glpn_nyu" in message  # the true widths
    tree = committed("glpn_nyu") | {"config": json.loads((source / "config.json").read_text())}
    (tmp_path / "glpn_nyu.json").write_text(json.dumps(tree))
    monkeypatch.setattr("mono_depth_recon.models.transformers.checkpoint.CONFIGS", tmp_path)
    one = view(160, 128)
    np.testing.assert_array_equal(values_of(loaded("glpn_nyu", file), one), values_of(loaded("glpn_nyu", source), one))


def test_the_identity_of_a_network_changes_with_its_weights(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    first = loaded("glpn_nyu", folder_of("glpn_nyu")).network.identity
    assert first == loaded("glpn_nyu", folder_of("glpn_nyu"), input_size=64).network.identity
    build_shrunken(CHECKPOINTS["glpn_nyu"], seed=1).save_pretrained(tmp_path)
    assert loaded("glpn_nyu", tmp_path).network.identity != first
