"""Where the weights of a model lie: a local folder or file, or the cache of the Hugging Face hub. Loads no torch."""

from __future__ import annotations

import json
import os
import re
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..paths import expanded, names_file
from ..text import read_text

CONFIG = "config.json"
PROCESSOR = "preprocessor_config.json"
HF = "hf:"  # before the id or folder of a model that is not in the table
# In order of preference; an index names the shards beside it.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_REPO = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubSource:
    """A checkpoint on the hub: `repo` 'organisation/name' at `revision`, `size_mb` of weights in megabytes (1e6).

    `file` is the path of the one file that is wanted, empty for a whole model of transformers. A revision that is no
    full commit (a branch, or a commit's first digits) is one whose full commit was not known when the table was
    written.
    """

    repo: str
    revision: str = "main"
    size_mb: float = 0.0
    file: str = ""

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a full commit."""
        return _COMMIT.fullmatch(self.revision) is not None

    @property
    def text(self) -> str:
        """'organisation/name@revision' for tables, and why the revision is not a full commit where it is none."""
        named = f"{self.repo}@{self.revision}"
        return named if self.is_pinned else f"{named} (not pinned: no public listing showed its full commit)"

    @property
    def fetch_command(self) -> str:
        """The shell command that puts the checkpoint into the cache."""
        return f"hf download {self.repo}{' ' * bool(self.file)}{self.file} --revision {self.revision}"


@dataclass(frozen=True)
class WeightFiles:
    """The files of one checkpoint; `config` and `processor` are None where a bare file of weights was given."""

    place: Path
    weights: tuple[Path, ...]
    config: Path | None = None
    processor: Path | None = None


def parse_source(text: str) -> HubSource | None:
    """'organisation/name' or 'organisation/name@revision' as a source; None where `text` is something else."""
    repo, _, revision = text.partition("@")
    return HubSource(repo, revision or "main") if _REPO.fullmatch(repo) else None


def cache_folder() -> Path:
    """The hub's cache, as its own library finds it: HF_HUB_CACHE, else HF_HOME/hub, else the user's cache folder."""
    environment = os.environ
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return expanded(environment[name])
    user_cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or str(Path(user_cache) / "huggingface")
    return expanded(home) / "hub"


def cached_folder(source: HubSource) -> Path | None:
    """The folder of a checkpoint in the cache, with configuration and weights; None where it is not there.

    Read without huggingface_hub, which need not be installed and takes its time to load where models are only listed;
    its `local_files_only` does not say whether all shards of the weights are there.
    """
    repo = cache_folder() / f"models--{source.repo.replace('/', '--')}"
    reference = repo / "refs" / source.revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else source.revision
    folder = repo / "snapshots" / commit
    if source.file:
        return folder if (folder / source.file).is_file() else None
    if not (folder / CONFIG).is_file():
        return None
    try:
        return folder if _weights_in(folder) else None
    except ModelError:  # an interrupted download: the rest must still be fetched
        return None


def obtain(source: HubSource, name: str) -> Path:
    """The folder of a checkpoint in the cache, downloaded where it is not there.

    ModelError with the command that fetches it where neither works; `name` is the model's, for the message.
    """
    folder = cached_folder(source)
    if folder is not None:
        return folder
    try:
        from huggingface_hub.errors import EntryNotFoundError, HFValidationError
    except ImportError as error:
        raise ModelError(
            f"the weights of {name} are not in {cache_folder()}, and huggingface_hub, which fetches them, "
            f"is not installed: pip install 'mono_depth_recon[torch]', then {source.fetch_command}"
        ) from error
    try:
        return _download(source)
    except (OSError, EntryNotFoundError, HFValidationError) as error:  # OSError: network, server, disk
        raise ModelError(
            f"the weights of {name} are not in {cache_folder()} and cannot be fetched "
            f"({_first_sentence(error)}): on a machine with a network run `{source.fetch_command}`, or "
            f"name their {'file' if source.file else 'folder'} by model.checkpoint"
        ) from error


def _download(source: HubSource) -> Path:
    """Configuration, input rule and one set of weights: many repositories hold the same weights in several formats."""
    from huggingface_hub import constants, snapshot_download

    _check_network(constants)
    page = f"https://huggingface.co/{source.repo} at {source.revision}"

    def fetch(*files: str) -> Path:
        patterns = list(files)
        folder = snapshot_download(
            source.repo, revision=source.revision, cache_dir=cache_folder(), allow_patterns=patterns
        )
        return Path(folder)

    if source.file:
        folder = fetch(source.file, f"{source.file}_data", f"{source.file}.data")  # weights may lie beside the graph
        if not (folder / source.file).is_file():
            raise ModelError(f"{page} holds no {source.file}: name another revision")
        return folder
    folder = fetch(CONFIG, PROCESSOR)
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{page} holds no {CONFIG}: name a model of the library transformers")
    for name in _WEIGHTS:
        if (fetch(name) / name).is_file():
            if name.endswith(".json"):
                fetch(*(shard.name for shard in _shards(folder / name)))
            return folder
    raise ModelError(f"{page} holds none of {', '.join(_WEIGHTS)}: name another checkpoint")


def _check_network(constants: Any) -> None:
    """OSError immediately where the hub's server is out of reach: the library retries a pinned commit for 23 s."""
    if constants.HF_HUB_OFFLINE:  # the library itself refuses immediately
        return
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=10).close()
    except urllib.error.HTTPError:  # the server responds
        return
    except urllib.error.URLError as error:
        if isinstance(error.reason, (ConnectionError, TimeoutError, socket.gaierror)):
            raise OSError(f"{constants.ENDPOINT} is out of reach: {error.reason}") from error


def local_files(path: Path) -> WeightFiles:
    """The files of a checkpoint in a folder as transformers' save_pretrained writes it, or one file of weights.

    ModelError where the path is missing, or the folder holds no configuration or no weights.
    """
    if path.is_file():
        if path.suffix not in (".safetensors", ".bin", ".pt", ".pth"):
            raise ModelError(
                f"{path} must be a file of weights (.safetensors, .bin, .pt, .pth) or the folder of a "
                "transformers model"
            )
        return WeightFiles(path, (path,))
    if not path.is_dir():
        raise ModelError(f"{path} does not exist: name the folder of a transformers model ({CONFIG}, {_WEIGHTS[0]})")
    if not (path / CONFIG).is_file():
        raise ModelError(f"{path} is not the folder of a transformers model: it holds no {CONFIG}")
    weights = _weights_in(path)
    if not weights:
        raise ModelError(f"{path} holds {CONFIG} but no weights: put {_WEIGHTS[0]} or {_WEIGHTS[2]} beside it")
    processor = path / PROCESSOR
    return WeightFiles(path, weights, path / CONFIG, processor if processor.is_file() else None)


def _weights_in(folder: Path) -> tuple[Path, ...]:
    """The files of weights of a folder, all of them there; empty where there are none."""
    for name in _WEIGHTS:
        path = folder / name
        if path.is_file():
            files = _shards(path) if path.suffix == ".json" else (path,)
            missing = [file.name for file in files if not names_file(file)]
            if missing:
                raise ModelError(f"{folder} lacks {', '.join(missing)}, which {name} names: copy the folder again")
            return files
    return ()


def _shards(index: Path) -> tuple[Path, ...]:
    shards = read_json(index).get("weight_map")
    names = list(shards.values()) if isinstance(shards, dict) else []
    if not names or not all(isinstance(name, str) and name and Path(name).name == name for name in names):
        raise ModelError(f"{index} must name the shards of the weights beside it ('weight_map'): copy it again")
    return tuple(index.parent / name for name in sorted(set(names)))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. ModelError where the file cannot be read or is something else."""
    try:
        tree = json.loads(read_text(path))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise ModelError(f"{path} must be JSON text, got one that is nested too deeply") from error
    except ValueError as error:
        raise ModelError(f"{path} must be JSON text, got: {error}") from error
    if not isinstance(tree, dict):
        raise ModelError(f"{path} must hold a JSON object, got {type(tree).__name__}")
    return tree


def fingerprint(files: WeightFiles) -> str:
    """Names, sizes and times of the weights. In the hub's cache a file's target is named by its content."""
    parts = []
    for path in files.weights:
        target = path.resolve()
        status = target.stat()
        parts.append(f"{path.name} {target.name} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(parts)


def _first_sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text.split(". ")[0][:200] or type(error).__name__
