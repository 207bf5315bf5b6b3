"""Where weights come from: the hub's cache, a download, or one clear error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import DEADLINE_S

from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.models import MODELS, load_model
from mono_depth_recon.models.hub import HubSource, cache_folder, cached_folder, local_files, obtain, parse_source
from mono_depth_recon.models.safetensors_file import check_finite, check_safetensors
from mono_depth_recon.models.table import CHECKPOINTS, weights_state
from mono_depth_recon.models.transformers.families import read_rule

SOURCE = HubSource("some/model", "0123456789abcdef0123456789abcdef01234567", 1.0)
Remote = dict[str, str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    import huggingface_hub.constants

    folder = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return folder


@pytest.fixture
def publish(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Remote], list[str]]:
    """`publish(files)` puts a stand-in of the hub in the place of downloads; the list that it returns notes them."""

    def place(files: Remote) -> list[str]:
        asked: list[str] = []

        def download(repo: str, *, allow_patterns: list[str], revision: str, cache_dir: Path) -> str:
            folder = Path(cache_dir) / f"models--{repo.replace('/', '--')}" / "snapshots" / revision
            folder.mkdir(parents=True, exist_ok=True)
            for file in allow_patterns:
                if file in files and file not in asked:
                    asked.append(file)
                    (folder / file).write_text(files[file])
            return str(folder)

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        return asked

    return place


def snapshot(cache: Path, commit: str, *files: str) -> Path:
    folder = cache / "models--some--model" / "snapshots" / commit
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text("{}")
    return folder


def test_the_cache_lies_where_the_library_of_the_hub_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In fresh processes, because the library reads the environment once."""
    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    cases = (
        {},
        {"HF_HOME": str(tmp_path / "home")},
        {"HF_HUB_CACHE": str(tmp_path / "cache")},
        {"XDG_CACHE_HOME": str(tmp_path / "user")},
    )
    names = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME")
    for case in cases:
        for name in names:
            monkeypatch.delenv(name, raising=False)
        for name, value in case.items():
            monkeypatch.setenv(name, value)
        theirs = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=DEADLINE_S
        )
        assert str(cache_folder()) == theirs.stdout.strip()


def test_a_cached_checkpoint_has_configuration_and_all_weights(cache: Path) -> None:
    assert cached_folder(SOURCE) is None
    folder = snapshot(cache, SOURCE.revision, "config.json")
    assert cached_folder(SOURCE) is None
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    (folder / "one.safetensors").write_text("")
    assert cached_folder(SOURCE) is None
    (folder / "two.safetensors").write_text("")
    assert cached_folder(SOURCE) == folder
    assert obtain(SOURCE, "it") == folder


def test_branches_and_short_commits_are_looked_up_by_their_reference(cache: Path) -> None:
    folder = snapshot(cache, SOURCE.revision, "config.json", "model.safetensors")
    for revision in ("main", "0123456"):
        source = HubSource("some/model", revision)
        assert not source.is_pinned
        assert cached_folder(source) is None
        reference = cache / "models--some--model" / "refs" / revision
        reference.parent.mkdir(exist_ok=True)
        reference.write_text(SOURCE.revision)
        assert cached_folder(source) == folder
    assert SOURCE.is_pinned


def test_without_network_and_cache_one_line_tells_the_command(cache: Path) -> None:
    for name, row in CHECKPOINTS.items():
        with pytest.raises(ModelError) as raised:
            load_model(ModelConfig(name=name, accept_noncommercial=True))
        message = str(raised.value)
        assert "\n" not in message
        assert f"`hf download {row.hub.repo} --revision {row.hub.revision}`" in message
        assert str(cache) in message
    with pytest.raises(ModelError, match=r"`hf download a/b --revision v1`"):
        load_model(ModelConfig(name="hf:a/b@v1", output="metric_depth"))


def test_without_the_library_of_the_hub_the_error_names_the_extra(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("huggingface_hub", "huggingface_hub.errors"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModelError, match=r"huggingface_hub.*not installed: pip install 'mono_depth_recon\[torch\]'"):
        obtain(SOURCE, "it")


def test_a_fresh_process_says_so_too(tmp_path: Path) -> None:
    """A fresh process, in which nothing of the library has been imported."""
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    code = (
        "from mono_depth_recon.models import load_model; from mono_depth_recon.config import ModelConfig; "
        "load_model(ModelConfig(name='glpn_nyu'))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=DEADLINE_S, env=environment
    )
    assert "ModelError: the weights of glpn_nyu are not in" in result.stderr.splitlines()[-1]


def test_a_server_out_of_reach_is_told_without_trying_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local port on which nothing listens."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with pytest.raises(ModelError, match=r"127.0.0.1:9 is out of reach: .*run `hf download some/model --revision 0123"):
        obtain(SOURCE, "it")
    assert not pauses, "between tries"


@pytest.mark.parametrize(
    ("weights", "asked"),
    [
        ({"model.safetensors": ""}, ["model.safetensors"]),
        ({"pytorch_model.bin": ""}, ["pytorch_model.bin"]),
        ({"model.safetensors": "", "pytorch_model.bin": "", "tf_model.h5": ""}, ["model.safetensors"]),
        (
            {"model.safetensors.index.json": '{"weight_map": {"a": "one.safetensors"}}', "one.safetensors": ""},
            ["model.safetensors.index.json", "one.safetensors"],
        ),
    ],
)
def test_a_download_takes_configuration_input_rule_and_the_best_weights(
    publish: Callable[[Remote], list[str]], weights: Remote, asked: list[str]
) -> None:
    noted = publish({"config.json": "{}", "preprocessor_config.json": "{}", "README.md": "", **weights})
    folder = obtain(SOURCE, "it")
    assert noted == ["config.json", "preprocessor_config.json", *asked]
    assert {file.name for file in folder.iterdir()} == {"config.json", "preprocessor_config.json", *asked}
    assert obtain(SOURCE, "it") == folder
    assert len(noted) == 2 + len(asked)  # the second time it is cached


def test_a_repository_without_weights_is_named(publish: Callable[[Remote], list[str]]) -> None:
    publish({"config.json": "{}"})
    with pytest.raises(ModelError, match=r"huggingface.co/some/model at 0123456789abcdef.* holds none of model"):
        obtain(SOURCE, "it")


def test_a_repository_of_something_else_is_named_before_its_weights_are_fetched(
    publish: Callable[[Remote], list[str]],
) -> None:
    noted = publish({"model.safetensors": ""})
    with pytest.raises(ModelError, match=r"huggingface.co/some/model at 0123456789abcdef.* holds no config.json"):
        obtain(SOURCE, "it")
    assert not noted


def test_the_column_of_the_table(cache: Path) -> None:
    assert weights_state(MODELS["unetpp_lite"]) == "in the package"
    assert weights_state(MODELS["unetpp_resnext50"]) == "to be trained"
    assert weights_state(MODELS["glpn_nyu"]) == "not cached"
    row = CHECKPOINTS["glpn_nyu"]
    folder = cache / "models--vinvino02--glpn-nyu" / "snapshots" / row.hub.revision
    folder.mkdir(parents=True)
    for file in ("config.json", "pytorch_model.bin"):
        (folder / file).write_text("")
    assert weights_state(MODELS["glpn_nyu"]) == "cached"


def test_listing_the_models_loads_no_heavy_library() -> None:
    code = (
        "import sys; from mono_depth_recon.cli import main; main(['models', '--verbose']); "
        "print([name for name in ('torch', 'transformers', 'huggingface_hub', 'cv2', 'PIL', 'openvino') "
        "if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_sources_by_name() -> None:
    assert parse_source("org/name") == HubSource("org/name", "main")
    assert parse_source("org/name@v2") == HubSource("org/name", "v2")
    assert parse_source("name") is None
    assert parse_source("a/b/c") is None


def test_every_row_of_the_hub_says_licence_size_and_source() -> None:
    for spec in MODELS.values():
        assert spec.licence
        assert spec.focal
        if spec.hub is not None:
            assert spec.size_mb > 1
            named = f"{spec.hub.repo}@{spec.hub.revision}"
            why = "" if spec.hub.is_pinned else " (not pinned: no public listing showed its full commit)"
            assert spec.source == named + why
    assert [name for name, spec in MODELS.items() if "not pinned" in spec.source] == [
        "depth_anything_v2_metric_indoor_base",
        "depth_anything_v2_metric_indoor_large",
        "prompt_depth_anything_small",
        "depth_pro",
    ]


def test_whole_and_broken_safetensors_files(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    file = tmp_path / "weights.safetensors"
    save_file({"a": np.ones((3, 5), np.float32), "b": np.zeros(7, np.int8)}, file)
    check_safetensors(file)
    whole = file.read_bytes()
    for content in (whole[:-1], whole[:20], whole[:4], b"", whole + b"more", b"\xff" * 64, b"version https://git-lfs"):
        file.write_bytes(content)
        with pytest.raises(ModelError, match=r"weights.safetensors must be a whole safetensors file"):
            check_safetensors(file)
    for entry in ('{"a":{"data_offsets":[0,3],"dtype":"F32"}}', '{"a":{"data_offsets":[0,3]}}'):
        file.write_bytes(len(entry).to_bytes(8, "little") + entry.encode() + bytes(3))
        with pytest.raises(ModelError, match=r"weights.safetensors must be a whole safetensors file"):
            check_finite(file)


@pytest.mark.parametrize("shards", [True, [], {}, {"a": 3}, {"a": ["b"]}, {"a": "../b"}, {"a": ""}])
def test_an_index_of_shards_of_another_form_is_refused(tmp_path: Path, shards: object) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ModelError, match="must name the shards of the weights beside it"):
        local_files(tmp_path)


def test_a_shard_with_a_name_of_any_length_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "x" * 300}}))
    with pytest.raises(ModelError, match="lacks xxx"):
        local_files(tmp_path)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("size", {"height": [1], "width": 2}),
        ("size", 10**400),
        ("ensure_multiple_of", float("inf")),
        ("image_std", 10**400),
        ("image_mean", [0, float("nan"), 0]),
        ("rescale_factor", "x"),
        ("rescale_factor", None),
    ],
)
def test_odd_entries_of_an_input_rule_are_refused(entry: str, value: object) -> None:
    with pytest.raises(ModelError, match=f"rule.json: '{entry}' must "):
        read_rule({"image_processor_type": "DPTImageProcessor", entry: value}, "rule.json")
