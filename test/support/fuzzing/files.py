"""Every kind of file that the package reads, as the smallest sound one and the call that reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mono_depth_recon.config import ModelConfig, read_json, read_yaml
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import DataError
from mono_depth_recon.photo import camera_from_exif, read_depth, read_exif, read_grey, read_photo

from .target import Target


def _recording(pattern: str, camera: str = "50 51 31.5 23.5") -> Any:
    """Opens what lies at `pattern` and reads all of it; frames that cannot be read are left out, as players do."""

    def read(folder: Path) -> None:
        path = next(folder.glob(pattern), folder) if pattern else folder
        dataset = open_dataset(path, OpenOptions(camera=camera, split="all"))
        for i in range(min(len(dataset), 20)):
            try:
                dataset[i]
            except DataError as error:
                check_line(error)
        if hasattr(dataset, "close"):
            dataset.close()

    return read


def check_line(error: Exception) -> None:
    """Raises ValueError for a message that is no line of a readable length."""
    text = str(error)
    if not text.strip() or "\n" in text or len(text) > LONGEST_LINE:
        raise ValueError(
            f"a message of {len(text)} letters in {len(text.splitlines())} lines: {text[:60]!r}"
        ) from error


LONGEST_LINE = 2000


def _bag(form: str) -> Any:
    def make(folder: Path) -> None:
        from made_recordings import FORMATS, Scene

        FORMATS[form](folder, Scene(frames=3))

    return make


def _training_set(function: str, *arguments: Any) -> Any:
    def make(folder: Path) -> None:
        import made_training_sets

        getattr(made_training_sets, function)(folder, *arguments)

    return make


def _make_mat(old: bool) -> Any:
    def make(folder: Path) -> None:
        from made_training_sets import write_nyu_mat, write_splits

        write_nyu_mat(folder / "nyu.mat", ["kitchen_0001", "office_0002", "office_0003"])
        write_splits(folder / "splits.mat", [1, 2], [3], old)

    return make


def _read_mat(folder: Path) -> None:
    from mono_depth_recon.datasets.nyu.mat import NyuMat

    dataset = NyuMat("nyu", folder / "nyu.mat")
    dataset.official()
    for i in range(len(dataset)):
        dataset[i]


def _make_kitti(folder: Path) -> None:
    from made_training_sets import write_kitti

    write_kitti(folder, {"2011_09_26_drive_0001_sync": "train"}, frames=2)


def _read_kitti(folder: Path) -> None:
    from mono_depth_recon.datasets.kitti import KittiDepth

    dataset = KittiDepth("kitti", folder / "raw", folder / "data_depth_annotated")
    for i in range(len(dataset)):
        dataset[i]


def _make_photos(folder: Path) -> None:
    import cv2
    from floor import photo

    rng = np.random.default_rng(0)
    photo(folder / "exif.jpg", (64, 48), focal_35mm=28)
    image = rng.integers(0, 255, (48, 64, 3), np.uint8)
    for suffix in ("png", "tiff", "webp", "bmp", "ppm", "jpeg"):
        cv2.imwrite(str(folder / f"colour.{suffix}"), image)
    cv2.imwrite(str(folder / "depth.png"), rng.integers(0, 5000, (48, 64)).astype(np.uint16))
    cv2.imwrite(str(folder / "depth.tiff"), rng.random((48, 64)).astype(np.float32))


def _read_photos(folder: Path) -> None:
    for file in sorted(folder.iterdir()):
        image = read_depth(file) if file.name.startswith("depth") else read_photo(file)
        if not file.name.startswith("depth"):
            read_grey(file)
        if file.suffix == ".jpg":
            read_exif(file)
            camera_from_exif(file, image.shape[1], image.shape[0])


def _make_map(folder: Path) -> None:
    from mono_depth_recon.fusion.map_file import StoredMap, write_map

    rng, shape = np.random.default_rng(0), (2, 8, 8, 8)
    tsdf, weight, color = (rng.random((*shape, n)).astype(np.float32) for n in (1, 1, 3))
    keys, seen = np.array([[0, 0, 0], [1, 0, 0]], np.int32), np.array([1, 2])
    write_map(folder / "map.npz", StoredMap(0.02, 4.0, 3, keys, seen, tsdf, weight, color))


def _read_map(folder: Path) -> None:
    from mono_depth_recon.fusion.map_file import read_map

    read_map(folder / "map.npz", 1000)


def _make_prediction(folder: Path) -> None:
    from mono_depth_recon.evaluation.predictions import write_prediction
    from mono_depth_recon.frames import Prediction

    write_prediction(folder / "a.npz", Prediction(np.ones((6, 8), np.float32)), 3.0)


def _read_prediction(folder: Path) -> None:
    from mono_depth_recon.evaluation.predictions import read_kept

    read_kept(folder / "a.npz")


def _make_card(folder: Path) -> None:
    from mono_depth_recon.models.table import EMBEDDED

    text = json.loads((EMBEDDED / "unetpp_lite.json").read_text(encoding="utf-8"))
    text["architecture"] |= {"encoder": "resnet18", "decoder_channels": [16, 16, 8, 8, 8], "dropout": 0.0}
    text["architecture"].pop("head", None)
    text["input"] = {"width": 64, "height": 64, "multiple": 32}
    text.pop("weights_sha256", None)
    (folder / "tiny.json").write_text(json.dumps(text))


def _read_card(folder: Path) -> None:
    from mono_depth_recon.models.canonical import network_of
    from mono_depth_recon.models.card import load_card

    card = load_card(folder / "tiny.json")
    card.check_weights()
    network_of(card)
    width, height = card.input_size(640, 480)
    if not (width > 0 and height > 0):
        raise ValueError(f"an input of {width}x{height}")


def _make_onnx_card(folder: Path) -> None:
    from made_onnx import card_of, template, write_card, write_colours

    write_colours(folder / "tiny.onnx")
    others = {"green": {"kind": "valid", "threshold": 0.4}, "blue": {"kind": "confidence", "worst": 1, "best": 0}}
    source = template("moge_2_small")["source"]
    rule = {"width": 64, "height": 48, "multiple": 8, "fit": "pad", "kernel": "bicubic", "mean": [0.4, 0.5, 0.6]}
    write_card(folder / "tiny.json", card_of(input=rule, outputs=others, source=source))


def _read_onnx_card(folder: Path) -> None:
    from mono_depth_recon.camera import PinholeCamera
    from mono_depth_recon.config import ModelConfig
    from mono_depth_recon.models import load_model

    settings = ModelConfig(name=f"onnx:{folder / 'tiny.json'}", runtime="onnxruntime", accept_noncommercial=True)
    load_model(settings, 1).predict([(np.zeros((48, 64, 3), np.uint8), PinholeCamera.from_hfov(64, 48, 60))])


def _make_safetensors(folder: Path) -> None:
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    save_file({f"layer.{i}.weight": rng.random((4, 3), np.float32) for i in range(4)}, folder / "a.safetensors")


def _read_safetensors(folder: Path) -> None:
    from mono_depth_recon.models.safetensors_file import check_finite, read_safetensors

    check_finite(folder / "a.safetensors")
    read_safetensors(folder / "a.safetensors")


def _make_onnx(folder: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    depth = helper.make_tensor_value_info("depth", TensorProto.FLOAT, ["n", 1, "h", "w"])
    kernel = np.random.default_rng(0).random((1, 3, 1, 1)).astype(np.float32)
    weights = helper.make_tensor("kernel", TensorProto.FLOAT, kernel.shape, kernel.ravel().tolist())
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["sum"], kernel_shape=[1, 1]),
        helper.make_node("Softplus", ["sum"], ["depth"]),
    ]
    graph = helper.make_graph(nodes, "tiny", [image], [depth], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "tiny.onnx")


def _network(path: Path) -> Any:
    from mono_depth_recon.models.runtimes.base import Network

    def preprocess(rgb: Any) -> Any:
        return np.ascontiguousarray(rgb[None, ::8, ::8].transpose(0, 3, 1, 2), np.float32) / 255

    return Network("tiny", "tiny", lambda: None, path.with_suffix(".safetensors"), path, preprocess=preprocess)


def _read_onnx(runtime: str) -> Any:
    def read(folder: Path) -> None:
        from mono_depth_recon.models.runtimes.opening import open_named

        settings = ModelConfig(runtime=runtime, device="cpu", precision="f32")
        opened = open_named(runtime, _network(folder / "tiny.onnx"), settings, 1)
        opened.run(np.zeros((1, 3, 32, 32), np.float32))

    return read


def _make_torch_files(folder: Path) -> None:
    import torch

    tensors = {f"layer.{i}": torch.ones(3, 2) for i in range(3)}
    torch.save(
        {
            "state_dict": {f"network.{name}": value for name, value in tensors.items()},
            "settings": {"epochs": 3},
            "callbacks": {},
        },
        folder / "last.ckpt",
    )
    torch.save(tensors, folder / "pytorch_model.bin")
    torch.save(tensors, folder / "old.pth", _use_new_zipfile_serialization=False)


def _read_torch_files(folder: Path) -> None:
    from mono_depth_recon.models.transformers.network import read_weights
    from training.checkpoints import read_checkpoint, weights_of

    for name in ("pytorch_model.bin", "old.pth"):
        read_weights((folder / name,))
    read_checkpoint(folder / "last.ckpt")
    weights_of(folder / "last.ckpt")


def _make_hub_folder(folder: Path) -> None:
    from safetensors.numpy import save_file
    from shrunken import write_shrunken

    write_shrunken("depth_anything_v2_small", folder)
    (folder / "model.safetensors").unlink()
    save_file({"a": np.ones(3, np.float32)}, folder / "model-00001-of-00001.safetensors")
    index = {"metadata": {"total_size": 12}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _read_hub_folder(folder: Path) -> None:
    from mono_depth_recon.models.hub import local_files
    from mono_depth_recon.models.transformers.families import family_of, read_rule
    from mono_depth_recon.models.transformers.network import build_skeleton

    files = local_files(folder)
    from mono_depth_recon.models.hub import read_json as read_object

    config = read_object(files.config)
    family = family_of(config)
    family.output(config), family.channels(config), family.multiple(config)
    rule = read_rule(read_object(files.processor), str(files.processor))
    rule.with_short_side(112, family.multiple(config), "tiny").network_size(640, 480)
    build_skeleton(family, config, str(files.config))


def _make_settings(folder: Path) -> None:
    root = Path(__file__).parents[3]
    (folder / "train.yaml").write_bytes((root / "training/configs/unetpp_lite.yaml").read_bytes())
    (folder / "params.yaml").write_bytes((root / "config/recon.yaml").read_bytes())


def _read_settings(folder: Path) -> None:
    from mono_depth_recon.datasets.mixture.settings import data_settings
    from training.settings import load_settings

    read_yaml(folder / "params.yaml", "parameter file")
    data_settings(load_settings(folder / "train.yaml").data)


def _make_results(folder: Path) -> None:
    from made_results import write_results_folder

    write_results_folder(folder)


def _read_results(folder: Path) -> None:
    from mono_depth_recon.report.page import _sections, page
    from mono_depth_recon.report.results import read_results

    results = read_results(folder / "results/made")
    page(results, _sections(results))


def _make_split_file(folder: Path) -> None:
    (folder / "splits.txt").write_text("# split<tab>source<tab>scene\ntrain\tnyu\tkitchen\nvalidation\tnyu\toffice\n")


def _read_split_file(folder: Path) -> None:
    from mono_depth_recon.datasets.mixture.splits import SplitFile

    SplitFile(folder / "splits.txt")


def _make_rows(folder: Path) -> None:
    rows = [{"recording": "desk", "model": "a", "figures": {"abs_rel": 0.1}}]
    (folder / "rows.json").write_text(json.dumps({"asked": {}, "rows": rows}))


def _read_rows(folder: Path) -> None:
    from mono_depth_recon.evaluation.ledger import _kept

    read_json(folder / "rows.json", "rows")
    _kept(folder / "rows.json", {})


def _make_points(folder: Path) -> None:
    numbers = np.random.default_rng(1).normal(size=(20, 3)).astype("<f4")
    head = "ply\nformat {}\nelement vertex 20\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    lines = "".join(f"{x} {y} {z}\n" for x, y, z in numbers)
    (folder / "binary.ply").write_bytes(head.format("binary_little_endian 1.0").encode() + numbers.tobytes())
    (folder / "ascii.ply").write_text(head.format("ascii 1.0") + lines)
    (folder / "points.txt").write_text(lines)


def _read_points(folder: Path) -> None:
    from mono_depth_recon.camera import PinholeCamera
    from mono_depth_recon.cloud.points_file import read_points
    from mono_depth_recon.registration import project_points

    for file in sorted(folder.iterdir()):
        project_points(read_points(file), PinholeCamera.from_hfov(64, 48, 60))


FILES = (
    Target("TUM folder", _recording("desk"), _bag("folder"), ("desk/*.txt", "desk/rgb/*", "desk/depth/*")),
    Target("TUM archive", _recording("desk.tgz"), _bag("tgz"), ("*.tgz",)),
    Target("ROS 1 bag", _recording("*.bag"), _bag("ros1"), ("*.bag",)),
    Target("ROS 1 bag bz2", _recording("*.bag"), _bag("ros1_bz2"), ("*.bag",)),
    Target("ROS 1 bag lz4", _recording("*.bag"), _bag("ros1_lz4"), ("*.bag",)),
    Target("ROS 2 sqlite3", _recording("desk"), _bag("sqlite3"), ("desk/*",)),
    Target("ROS 2 sqlite3 zstd", _recording("desk"), _bag("sqlite3_message"), ("desk/*",)),
    Target("ROS 2 MCAP", _recording("desk"), _bag("mcap"), ("desk/*",)),
    Target("ROS 2 MCAP chunks", _recording("desk"), _bag("mcap_storage"), ("desk/*",)),
    Target("NYU .mat", _read_mat, _make_mat(True), ("nyu.mat",)),
    Target("splits.mat 5", _read_mat, _make_mat(True), ("splits.mat",)),
    Target("splits.mat 7.3", _read_mat, _make_mat(False), ("splits.mat",)),
    Target(
        "NYU csv",
        _recording("", camera=""),
        _training_set("write_nyu_csv", ["kitchen_0001"], 2, 2),
        ("data/*.csv", "data/*/*"),
    ),
    Target("KITTI", _read_kitti, _make_kitti, ("**/*",)),
    Target(
        "image folder",
        _recording("", camera="50 51 31.5 23.5"),
        _training_set("write_pairs", ["kitchen"], 2),
        ("**/*",),
    ),
    Target("photo", _read_photos, _make_photos),
    Target("points", _read_points, _make_points),
    Target("map", _read_map, _make_map),
    Target("kept prediction", _read_prediction, _make_prediction),
    Target("model card", _read_card, _make_card),
    Target("ONNX file with a card", _read_onnx_card, _make_onnx_card),
    Target("safetensors", _read_safetensors, _make_safetensors),
    Target("ONNX on OpenVINO", _read_onnx("openvino"), _make_onnx),
    Target("ONNX on ONNX Runtime", _read_onnx("onnxruntime"), _make_onnx),
    Target("torch file", _read_torch_files, _make_torch_files),
    Target("hub folder", _read_hub_folder, _make_hub_folder, ("*.json",)),
    Target("settings YAML", _read_settings, _make_settings),
    Target("results", _read_results, _make_results, ("results/made/*.*", "results/made/*/*.csv")),
    Target("split file", _read_split_file, _make_split_file),
    Target("evaluation rows", _read_rows, _make_rows),
)
