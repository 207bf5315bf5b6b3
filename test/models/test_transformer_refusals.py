"""Checkpoints of transformers that are damaged, of another model, or not allowed: one line says so, no code runs."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shrunken import refused, settings_of

from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.table import CHECKPOINTS


def copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_truncated_weights(share: float, folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied(folder_of("glpn_nyu"), tmp_path / "cut")
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    message = refused(settings_of("glpn_nyu", folder))
    assert str(file) in message
    assert "copy the file again" in message


def test_weights_with_other_names_or_shapes(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied(folder_of("glpn_nyu"), tmp_path / "other")
    file = folder / "model.safetensors"
    whole = load_file(file)
    key = "decoder.stages.1.convolution.weight"
    wide = whole[key].repeat(1, 2, 1, 1)
    for changed, text in (
        ({k: v for k, v in whole.items() if k != key}, "1 are missing and 0 have another shape, 0 are unknown"),
        (whole | {"surplus": whole[key].clone()}, "0 are missing and 0 have another shape, 1 are unknown"),
        (whole | {key: wide}, f"0 are missing and 1 have another shape, 0 are unknown, such as '{key}'"),
    ):
        save_file(changed, file)
        assert text in refused(settings_of("glpn_nyu", folder))


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_weights_that_are_not_finite(ending: str, folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = copied(folder_of("glpn_nyu"), tmp_path / "diverged")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    key = "decoder.stages.1.convolution.weight"
    tensors[key][0, 0] = float("nan")
    save_file(tensors, file)
    if ending == "bin":
        file.unlink()
        file = folder / "pytorch_model.bin"
        torch.save(tensors, file)
    message = refused(settings_of("glpn_nyu", folder))
    assert f"weights {file} must be finite, its '{key}' holds NaN" in message


class Mischief:
    """What a pickle that runs code looks like."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (print, ("code has run",))


def test_a_pickle_that_wants_more_than_tensors_is_refused(
    folder_of: Callable[[str], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    folder = copied(folder_of("glpn_nyu"), tmp_path / "pickle")
    (folder / "model.safetensors").unlink()
    for write in (
        lambda file: torch.save({"weight": Mischief()}, file),
        lambda file: file.write_bytes(pickle.dumps(Mischief())),
    ):
        write(folder / "pytorch_model.bin")
        assert "refused" in refused(settings_of("glpn_nyu", folder))
    assert "code has run" not in capfd.readouterr().out


def edited(source: Path, target: Path, file: str, **entries: Any) -> Path:
    folder = copied(source, target)
    tree = json.loads((folder / file).read_text()) | entries
    (folder / file).write_text(json.dumps(tree))
    return folder


def test_folders_that_are_no_model(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    def message(name: str, folder: Path, **others: Any) -> str:
        return refused(settings_of(name, folder, **others))

    source = folder_of("glpn_nyu")
    assert "does not exist" in message("glpn_nyu", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "holds no config.json" in message("glpn_nyu", tmp_path / "empty")
    bare = copied(source, tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    assert "holds config.json but no weights" in message("glpn_nyu", bare)
    (bare / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    assert "lacks model-1.safetensors" in message("glpn_nyu", bare)
    assert "holds a model of type 'glpn', zoedepth_nyu is 'zoedepth'" in message("zoedepth_nyu", source)
    broken = copied(source, tmp_path / "broken")
    (broken / "config.json").write_text("{")
    assert "must be JSON text" in message("glpn_nyu", broken)
    (broken / "config.json").write_text("[" * 200_000)
    assert "config.json must be JSON text, got one that is nested too deeply" in message("glpn_nyu", broken)
    odd = edited(source, tmp_path / "odd", "preprocessor_config.json", image_processor_type="CLIPImageProcessor")
    assert "image processor 'CLIPImageProcessor' is not supported" in message("glpn_nyu", odd)
    types = edited(source, tmp_path / "types", "config.json", hidden_sizes="many")
    assert "cannot build a depth model" in message("glpn_nyu", types)
    kind = edited(source, tmp_path / "kind", "config.json", dtype="wide")
    assert "cannot build a depth model" in message("glpn_nyu", kind)


def test_a_model_that_brings_its_own_code_is_never_run(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    folder = edited(
        folder_of("glpn_nyu"),
        tmp_path / "own",
        "config.json",
        model_type="mine",
        auto_map={"AutoModelForDepthEstimation": "mine.Model"},
    )
    (folder / "mine.py").write_text("raise SystemExit('code has run')")
    message = refused(ModelConfig(name=f"hf:{folder}", output="metric_depth", runtime="torch"))
    assert "no architecture 'mine': install a newer transformers; code from a checkpoint is never run" in message


def test_relative_depth_is_refused_where_metres_are_asked(folder_of: Callable[[str], Path]) -> None:
    relative, metric = folder_of("depth_anything_v2_small"), folder_of("depth_anything_v2_metric_indoor_small")
    assert "predicts relative_disparity" in refused(settings_of("midas_dpt_hybrid", relative, output="metric_depth"))
    assert "predicts relative_disparity" in refused(settings_of("depth_anything_v2_metric_indoor_small", relative))
    assert "predicts metric_depth" in refused(settings_of("depth_anything_v2_small", metric))
    assert "predicts relative_disparity" in refused(ModelConfig(name=f"hf:{relative}", output="metric_depth"))
    assert "set model.output to metric_depth or" in refused(ModelConfig(name=f"hf:{relative}"))


def test_weights_of_another_range_or_backbone_are_refused(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    indoor = folder_of("depth_anything_v2_metric_indoor_small")
    message = refused(settings_of("depth_anything_v2_metric_outdoor_small", indoor))
    assert "says max_depth 20, published is 80" in message
    plain = tmp_path / "plain"
    shutil.copytree(folder_of("midas_dpt_hybrid"), plain)
    config = json.loads((plain / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps(config | {"is_hybrid": False}))
    assert "says is_hybrid False, published is True" in refused(settings_of("midas_dpt_hybrid", plain))


def test_a_sibling_of_another_size_is_another_model(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    """Its licence is another one, too."""
    source = folder_of("depth_anything_v2_small")
    backbone = json.loads((source / "config.json").read_text())["backbone_config"] | {"hidden_size": 768}
    base = edited(source, tmp_path / "base", "config.json", backbone_config=backbone)
    message = refused(settings_of("depth_anything_v2_small", base))
    assert "it has the size of depth_anything_v2_base, set model.name to that" in message


def test_weights_that_are_no_torch_file(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied(folder_of("glpn_nyu"), tmp_path / "text")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_text("<html>not found</html>")
    assert "must be a torch file, got 22 bytes of something else: copy the file again" in refused(
        settings_of("glpn_nyu", folder)
    )


def test_torch_files_of_the_old_form_cut_at_any_place(tmp_path: Path) -> None:
    import torch

    from mono_depth_recon.models.transformers.network import read_weights

    path = tmp_path / "old.pth"
    torch.save({"weight": torch.arange(6.0)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert read_weights((path,))["weight"].tolist() == [0, 1, 2, 3, 4, 5]
    for size in range(1, len(data), 3):
        path.write_bytes(data[:size])
        with pytest.raises(ModelError, match="old.pth (must be a|are refused)"):
            read_weights((path,))


def test_non_commercial_weights_must_be_accepted(folder_of: Callable[[str], Path]) -> None:
    for name, row in CHECKPOINTS.items():
        if row.noncommercial:
            message = refused(ModelConfig(name=name))
            assert row.licence in message
            assert "model.accept_noncommercial" in message
            other = refused(ModelConfig(name=f"hf:{row.hub.repo}", output=row.output))
            assert "model.accept_noncommercial" in other


def test_names_of_hf_that_are_neither_folder_nor_id() -> None:
    for name in ("hf:", "hf:nothing", "hf:./models/x", "hf:a/b/c"):
        assert "no such folder" in refused(ModelConfig(name=name, output="metric_depth"))
    both = ModelConfig(name="hf:a/b", output="metric_depth", checkpoint="c")
    assert "leave model.checkpoint empty" in refused(both)


def test_dropout_is_refused_where_the_network_has_none(folder_of: Callable[[str], Path]) -> None:
    message = refused(settings_of("glpn_nyu", folder_of("glpn_nyu"), uncertainty="mc_dropout"))
    assert "needs a network with dropout" in message
