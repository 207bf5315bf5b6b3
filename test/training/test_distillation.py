"""What makes a network small, accurate: a teacher, sizes in turn, frozen parts, a half-size head, a partial start."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from small_training import small_settings, train_small

from mono_depth_recon.errors import ConfigError, ModelError

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from mono_depth_recon.config import ModelConfig  # noqa: E402
from mono_depth_recon.models.canonical import load_canonical  # noqa: E402
from mono_depth_recon.models.card import load_card  # noqa: E402
from mono_depth_recon.models.runtimes.onnx_runtime import OnnxRuntime  # noqa: E402
from mono_depth_recon.models.runtimes.openvino_runtime import OpenVinoRuntime  # noqa: E402
from mono_depth_recon.models.unetpp import load_unetpp, write_weights  # noqa: E402
from training.checkpoints import start_from_part, weights_of  # noqa: E402
from training.distillation import Teacher  # noqa: E402
from training.export_unetpp import main as export_main  # noqa: E402
from training.loading import Schedule  # noqa: E402
from training.network import UnetTask, build_network, card_text, freeze_stages  # noqa: E402
from training.settings import DistillSettings, NetworkSettings, Size, Stage, load_settings  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

HALF = {"head": "half", "decoder_channels": [16, 8, 8, 8]}


def _card(folder: Path, network: NetworkSettings) -> Path:
    torch.manual_seed(3)
    write_weights(build_network(network), folder / "teacher.safetensors")
    (folder / "teacher.json").write_text(json.dumps(card_text(network)))
    return folder / "teacher.json"


def _row(values: list[float]) -> torch.Tensor:
    return torch.tensor(values)[None, :, None, None]


def test_a_teacher_sees_the_students_images_and_answers_in_its_camera(tmp_path: Path) -> None:
    """A teacher of another normalisation and canonical camera: its own metres of the same view, as any runtime says."""
    student = replace(small_settings().network, dropout=0.0)
    other = replace(student, mean=[0.2, 0.4, 0.6], std=[0.5, 0.25, 1.0], canonical_focal_px=99.0, input_width=128)
    card = _card(tmp_path, other)
    rgb = torch.rand(2, 3, 32, 64)
    logs = Teacher(card, student).logs((rgb - _row(student.mean)) / _row(student.std))
    with torch.inference_mode():
        own = load_unetpp(card)((rgb - _row(other.mean)) / _row(other.std))
    # metres = canonical * f / focal, both at the card's area: the same metres of one camera
    same = own / 99.0 * math.sqrt(128 * 32) * student.canonical_focal_px / math.sqrt(64 * 32)
    assert torch.allclose(logs.exp(), same, rtol=1e-4)
    pixels = replace(student, size_exponent=1.0)  # metres = canonical * f / focal, f in pixels of the images
    logs = Teacher(card, pixels).logs((rgb - _row(student.mean)) / _row(student.std))
    assert torch.allclose(
        logs.exp(), own / 99.0 * math.sqrt(128 * 32 / (64 * 32)) * pixels.canonical_focal_px, rtol=1e-4
    )
    with pytest.raises(ModelError, match=r"a teacher needs the student's multiple 32 and form linear, got 32 and log"):
        Teacher(card, replace(student, form="linear"))


def test_a_student_learns_from_the_teacher_where_nothing_is_known(tmp_path: Path) -> None:
    settings = small_settings()
    card = _card(tmp_path, replace(settings.network, dropout=0.0))
    distill = DistillSettings(str(card), 0.75)
    task = UnetTask(replace(settings, distill=distill), pretrained=False)
    images, targets = torch.rand(2, 3, 32, 64), torch.full((2, 1, 32, 64), math.nan)
    values = torch.zeros(2, 1, 32, 64)
    taught = (task.network.logs(values) - Teacher(card, settings.network).logs(images)).abs().mean()
    plain = replace(settings, distill=distill, loss=replace(settings.loss, gradient_weight=0.0))
    loss = UnetTask(plain, pretrained=False).loss(values, targets, images)
    assert loss.item() == pytest.approx(0.75 * taught.item(), rel=1e-5)
    assert task.loss(values, targets).item() == 0  # validation compares with the truth alone
    module = train_small(replace(settings, distill=distill, stages=[Stage(64, 32, 2, 1, 2)]), tmp_path / "run")
    assert math.isfinite(module.rows[-1]["train_loss"])
    assert not any("teacher" in name for name in module.state_dict())


def test_batches_take_the_sizes_in_turn_through_all_epochs() -> None:
    sizes = (Size(64, 32), Size(32, 32), Size(96, 64))
    settings = small_settings(stages=[Stage(64, 32, 2, 2, 4, sizes)])
    schedule = Schedule(settings, 10)
    seen = [{draw[2:] for draw in batch} for epoch in (0, 1) for batch in schedule.batches(epoch)]
    assert seen == [{(sizes[i % 3].width, sizes[i % 3].height)} for i in range(8)]
    path = Path(__file__).parents[2] / "training" / "configs" / "unetpp_lite.yaml"
    with pytest.raises(ConfigError, match=r"stages\.0\.sizes\.0\.width must be a multiple of 32, got 250"):
        load_settings(path, {"stages.0.sizes.0.width": "250"})


def test_frozen_stages_keep_their_weights(tmp_path: Path) -> None:
    settings = small_settings(stages=[Stage(64, 32, 2, 1, 2)])
    settings = replace(settings, optimizer=replace(settings.optimizer, frozen_stages=2))
    torch.manual_seed(settings.seed)
    before = UnetTask(settings, pretrained=False).network.state_dict()
    after = train_small(settings, tmp_path).network.state_dict()
    same = {name for name, value in before.items() if name.endswith("weight") and torch.equal(value, after[name])}
    encoder = {name for name in before if name.startswith("network.encoder.model.") and name.endswith("weight")}
    stem = {name for name in encoder if ".blocks." not in name or ".blocks.0." in name}
    assert stem <= same and not (encoder - stem) & same
    with pytest.raises(ConfigError, match="frozen_stages needs an encoder of timm"):
        freeze_stages(torch.nn.Linear(1, 1), 1)


def test_a_run_can_start_from_the_tensors_that_fit(tmp_path: Path) -> None:
    settings = small_settings()
    card = _card(tmp_path, settings.network)
    student = build_network(replace(settings.network, **HALF))
    line = start_from_part(student, card)
    theirs, own = weights_of(card), student.state_dict()
    fitting = [name for name in own if name in theirs and theirs[name].shape == own[name].shape]
    assert line.startswith(f"{len(fitting)} of {len(own)} tensors start from {card}")
    assert 0 < len(fitting) < len(own) and all(torch.equal(own[name], theirs[name]) for name in fitting)
    with pytest.raises(ModelError, match="none of its"):
        start_from_part(torch.nn.Linear(1, 1), card)


def test_a_head_at_half_size_runs_everywhere_from_one_file_of_weights(tmp_path: Path) -> None:
    """Trained, exported; torch, ONNX Runtime and OpenVINO agree, and the ONNX file holds no weights."""
    settings = small_settings(stages=[Stage(64, 64, 2, 1, 2)])
    changed = {"name": "half", "input_height": 64, "encoder": "tu-resnet10t"}  # few operations are soon exported
    settings = replace(settings, network=replace(settings.network, **changed, **HALF))
    with pytest.raises(ConfigError, match="decoder_channels must be 5 numbers with head full, got 4"):
        replace(settings.network, head="full")
    train_small(settings, tmp_path / "run")
    assert export_main([str(tmp_path / "run" / "best.ckpt"), "--output", str(tmp_path)]) == 0
    card = load_card(tmp_path / "half.json")
    assert (card.head, card.decoder_channels) == ("half", (16, 8, 8, 8))
    model = load_canonical(card.path, ModelConfig(runtime="torch"), 1)
    image = torch.rand(2, 3, 64, 96)
    expected = model.runtime.run(image.numpy())
    assert expected.shape == (2, 1, 64, 96)
    onnx, weights = card.onnx_path, card.weights_path
    assert onnx.stat().st_size < 0.5 * weights.stat().st_size
    for runtime in (OnnxRuntime(model.network, "cpu", "f32", 1), OpenVinoRuntime(model.network, "f32", 1)):
        assert runtime.run(image.numpy()) == pytest.approx(expected, rel=1e-4)
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    for broken in range(2):
        with pytest.raises(ModelError, match=r"half\.(onnx|safetensors)"):
            OnnxRuntime(model.network, "cpu", "f32", 1)
        with pytest.raises(ModelError, match=r"half\.(onnx|safetensors)"):
            OpenVinoRuntime(model.network, "f32", 1).run(image.numpy())
        if not broken:
            weights.rename(tmp_path / "elsewhere")
