"""The one-way import table, where heavy libraries may load, and the size of files and functions."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from processes import ROOT

PACKAGE = "mono_depth_recon"

# The folders and top-level modules of the package (its components), lowest layer first. A component may import those in
# lower layers; within a layer only the lowest one and the pairs in BESIDE may import each other. There are no import
# cycles anywhere, not even between the files of a folder. `training` is the top-level folder.
LAYERS = (
    (
        "arrays",
        "atomic",
        "bands",
        "camera",
        "child_process",
        "compiled",
        "decoding",
        "encoding",
        "errors",
        "frames",
        "npz",
        "once",
        "param",
        "paths",
        "plausibility",
        "poses",
        "printing",
        "registration",
        "temporary",
        "text",
        "transforms",
        "alignment",
        "scale",
        "config",
    ),
    ("calibration", "cloud", "filters", "guard", "messages", "photo", "srgb"),
    ("body_mask", "datasets", "mesh", "metrics", "models", "trusted"),
    ("fusion", "pictures", "workers"),
    ("pipeline",),
    ("sequence",),
    ("benchmark", "evaluation"),
    ("report",),
    ("cli", "ros", "training"),
)
BESIDE = {("workers", "fusion"), ("training", "cli")}  # training/evaluate_tum.py is a command under another name
TORCH = {"captum", "segmentation_models_pytorch", "timm", "torch", "torchvision", "transformers"}
HEAVY = TORCH | {
    "PIL",
    "cv2",
    "h5py",
    "jinja2",
    "lightning",
    "matplotlib",
    "nncf",
    "numba",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "open3d",
    "openvino",
    "optuna",
    "rosbags",
    "scipy",
    "skimage",
    "sklearn",
    "torchmetrics",
    "trimesh",
}
ROS = {
    "ament_index_python",
    "builtin_interfaces",
    "cv_bridge",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_ros",
    "lifecycle_msgs",
    "nav_msgs",
    "point_cloud_interfaces",
    "point_cloud_transport_py",
    "rcl_interfaces",
    "rclpy",
    "rosgraph_msgs",
    "sensor_msgs",
    "sensor_msgs_py",
    "std_msgs",
    "std_srvs",
    "tf2_msgs",
    "tf2_ros",
    "visualization_msgs",
}
BANNED_NAMES = {"utils", "helpers", "common", "misc", "util", "helper"}


def modules() -> list[Path]:
    return sorted((ROOT / PACKAGE).rglob("*.py")) + sorted((ROOT / "training").rglob("*.py"))


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def component_of(path: Path) -> str:
    """The component of a file: `mesh` for mesh/files.py, `camera` for camera.py, `training` for all of training/."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "training" if parts[0] == "training" else parts[1]


def imports(tree: ast.AST, path: Path) -> Iterator[tuple[str, int]]:
    """Absolute names of everything imported below `tree`, with the line; type-checking imports left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_base(node, path)
            yield base, node.lineno
            if base.split(".")[0] in (PACKAGE, "training"):
                yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def absolute_base(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def module_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run on import: not the bodies of functions, not `if TYPE_CHECKING`."""
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        statement = pending.pop()
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif isinstance(statement, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(statement.test):
                pending += statement.body
            pending += statement.orelse
        elif isinstance(statement, ast.Try):
            pending += [*statement.body, *statement.orelse, *statement.finalbody]
            pending += [line for handler in statement.handlers for line in handler.body]
        elif isinstance(statement, ast.With | ast.ClassDef):
            pending += statement.body


def own_components(path: Path) -> Iterator[tuple[str, int]]:
    """The components that a file imports, anywhere in it."""
    for name, line in imports(parsed(path), path):
        parts = name.split(".")
        if parts[0] == "training":
            yield "training", line
        elif parts[0] == PACKAGE and len(parts) > 1 and is_module(parts[1]):
            yield parts[1], line


def is_module(name: str) -> bool:
    return (ROOT / PACKAGE / f"{name}.py").exists() or (ROOT / PACKAGE / name).is_dir()


def layer_of(component: str) -> int:
    return next((index for index, layer in enumerate(LAYERS) if component in layer), len(LAYERS))


def may_import(component: str, other: str) -> bool:
    if other == component or (component, other) in BESIDE:
        return True
    return layer_of(other) < layer_of(component) or layer_of(other) == layer_of(component) == 0


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_files(path: Path, names: set[str]) -> set[str]:
    """The modules of this project that a file imports anywhere, also within functions; not those for types alone."""
    tree = parsed(path)
    for_types = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    found = {name for name, line in imports(tree, path) if line not in for_types and name in names}
    packages = {name for name in found if any(other.startswith(f"{name}.") for other in found)}
    return found - packages - {module_name(path)}


def test_every_file_belongs_to_a_layer() -> None:
    components = {name for layer in LAYERS for name in layer} | {"__init__"}
    assert not [where(path, 1) for path in modules() if component_of(path) not in components], "add it to LAYERS"
    assert not [name for name in components - {"__init__", "training"} if not is_module(name)], (
        "LAYERS names a missing module"
    )


def test_imports_run_one_way() -> None:
    backwards = [
        f"{where(path, line)}: {component_of(path)} imports {other}, which is in the same or a higher layer"
        for path in modules()
        if component_of(path) != "__init__"
        for other, line in own_components(path)
        if not may_import(component_of(path), other)
    ]
    assert not backwards, "\n".join(backwards)


def test_the_package_itself_imports_nothing() -> None:
    assert not list(own_components(ROOT / PACKAGE / "__init__.py"))


def test_there_are_no_import_cycles() -> None:
    paths = {module_name(path): path for path in modules()}
    graph = {name: imported_files(path, set(paths)) for name, path in paths.items()}
    while graph:
        leaves = [name for name, needed in graph.items() if not needed & graph.keys()]
        assert leaves, f"import cycle: {cycle(graph)}"
        for name in leaves:
            del graph[name]


def cycle(graph: dict[str, set[str]]) -> str:
    """One cycle of a graph in which every node has a successor."""
    walked = [next(iter(graph))]
    while walked[-1] not in walked[:-1]:
        walked.append(sorted(graph[walked[-1]] & graph.keys())[0])
    return " -> ".join(walked[walked.index(walked[-1]) :])


def test_torch_stays_in_models_and_training_and_ros_in_ros() -> None:
    strays = [
        f"{where(path, line)} imports {name}"
        for path in modules()
        for name, line in imports(parsed(path), path)
        if (name.split(".")[0] in ROS and component_of(path) != "ros")
        or (name.split(".")[0] in TORCH and component_of(path) not in ("models", "training"))
    ]
    assert not strays, "\n".join(strays)


def test_heavy_libraries_load_inside_the_functions_that_use_them() -> None:
    """Except in training/, torch in the files of models/ that need it, and cv2 in ros/."""
    exempt = {"models": TORCH, "ros": {"cv2"}, "training": HEAVY}
    eager = [
        f"{where(path, line)} imports {name} at module level: import it where it is used"
        for path in modules()
        for statement in module_level(parsed(path))
        for name, line in imports(statement, path)
        if name.split(".")[0] in HEAVY - exempt.get(component_of(path), set())
    ]
    assert not eager, "\n".join(eager)


def test_files_and_functions_are_small_and_have_meaningful_names() -> None:
    large = [
        f"{where(path, 1)}: {lines} lines, split it"
        for path in modules()
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 400
    ]
    vague = [f"{where(path, 1)}: a meaningless name" for path in modules() if path.stem in BANNED_NAMES]
    long = [
        f"{where(path, node.lineno)}: {node.name} has {lines} lines"
        for path in modules()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > 60
    ]
    assert not large + vague + long, "\n".join(large + vague + long)
