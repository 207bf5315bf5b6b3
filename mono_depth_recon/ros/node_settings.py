"""Settings and life cycle of the smaller nodes: a dataclass defines command-line flags and ROS parameters."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.utilities import remove_ros_args

from ..config import Parameter, Value, add_flag, build, param, rows_of
from ..errors import ConfigError, MonoDepthError
from ..printing import printable
from .parameters import descriptor, overrides
from .params_file import unmatched

S = TypeVar("S")
T = TypeVar("T")
N = TypeVar("N", bound=Node)

_PATIENCE_S = 4.0  # less than launch allows between SIGINT and SIGTERM
_UNTYPED = "PARAMETER_NOT_SET"
_STOPPING = (signal.SIGINT, signal.SIGTERM)

# A field of a settings dataclass: its ROS parameter has its name, its flag the same with dashes for underscores.
setting = partial(param, live=False)


def parse_flags(
    program: str, description: str, settings: type[Any], arguments: Sequence[str], positional: str = ""
) -> dict[str, Value]:
    """The settings given as flags in `arguments` (program name first, ROS arguments ignored), checked, and no others.

    The setting `positional` is given without a flag. Ends the program on --help (0) and on a wrong flag (2).
    """
    parser = argparse.ArgumentParser(
        program,
        description=description,
        epilog="Every setting is also a ROS parameter: --ros-args -p name:=value, with underscores. Flags win.",
    )
    for row in rows_of(settings):
        add_flag(parser, row, *([] if row.name == positional else [f"--{row.name.replace('_', '-')}"]), switch=True)
    try:
        own = without_ros_arguments(arguments)
    except RuntimeError as error:  # rclpy's RCLInvalidROSArgsError has no public name
        parser.error(str(error).splitlines()[0])
    return vars(parser.parse_args(own[1:]))


def without_ros_arguments(arguments: Sequence[str]) -> list[str]:
    """`arguments` without those of ROS, also where a file's name is not UTF-8. Raises rclpy's RuntimeError."""
    given = {printable(word): word for word in arguments}
    return [given[word] for word in remove_ros_args(list(map(printable, arguments)))]


def declare_settings(node: Node, settings: type[S], flags: Mapping[str, Value]) -> S:
    """Declares every setting on `node` with its description, read-only, and returns them.

    A flag overrides a parameter, a parameter overrides the default. The node must be created with
    `automatically_declare_parameters_from_overrides=True`. Raises ConfigError for a wrong value or an unknown name.
    """
    given = overrides(node)
    made = build(settings, {**given, **flags}, noun="parameter")
    for row in rows_of(settings):
        if row.name in given:
            node.undeclare_parameter(row.name)
        value = getattr(made, row.name)
        shown = printable(value) if isinstance(value, str) else value
        node.declare_parameter(row.name, shown, _read_only(row), ignore_override=True)
    return made


def _read_only(row: Parameter) -> ParameterDescriptor:
    made = descriptor(row)
    made.read_only = True
    made.additional_constraints = row.range_text
    return made


def run_node(
    name: str,
    serve: Callable[[N], None],
    arguments: Sequence[str],
    make: Callable[[], N] | None = None,
    prepare: Callable[[N], None] = lambda _: None,
) -> int:
    """Runs `prepare(node)`, then `serve(node)` in the main thread while callbacks run in another; the exit status.

    SIGINT and SIGTERM reach both as KeyboardInterrupt and give 0; a MonoDepthError or wrong ROS arguments are one line
    on stderr and 1. The node is `make()`, else a plain one called `name`; its `close()`, if any, runs at the end.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # it logs every damaged image; ours are throttled
    for each in _STOPPING:
        signal.signal(each, signal.default_int_handler)
    try:
        with _context(arguments), ExitStack() as life:
            node, executor = _to_the_end(lambda: _build(life, make or (lambda: _plain_node(name)), prepare, arguments))
            with _spinning(executor):
                serve(node)
    except KeyboardInterrupt:
        pass
    except MonoDepthError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def _plain_node(name: str) -> Any:
    return Node(name, automatically_declare_parameters_from_overrides=True)


@contextmanager
def _context(arguments: Sequence[str]) -> Iterator[None]:
    try:
        # rclpy's own handlers would shut the context down under a thread that is publishing.
        rclpy.init(args=list(map(printable, arguments)), signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # rclpy's classes for this have no public name
        raise ConfigError(f"ROS arguments: {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        rclpy.try_shutdown()


def _build(
    life: ExitStack, make: Callable[[], N], prepare: Callable[[N], None], arguments: Sequence[str]
) -> tuple[N, SingleThreadedExecutor]:
    node = _made(make)
    life.callback(_end, node)
    for warning in unmatched(arguments, node.get_fully_qualified_name()):
        node.get_logger().warning(warning)
    prepare(node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    return node, executor


def _made(make: Callable[[], N]) -> N:
    """The node. ConfigError where a parameter has no type: rclpy raises ValueError for it, before it knows the node."""
    try:
        return make()
    except ValueError as error:
        if _UNTYPED not in str(error):
            raise
        raise ConfigError(
            "a parameter must have a value, got the empty list [] in a parameter file or after -p: give it a value of "
            "its type, or leave it out"
        ) from error


def _end(node: Node) -> None:
    _ignore_signals()  # the rest of the shutdown takes bounded time: let it finish
    close = getattr(node, "close", None)
    if close is not None:
        close()
    node.destroy_node()


def _ignore_signals() -> None:
    for each in _STOPPING:
        signal.signal(each, signal.SIG_IGN)


def _to_the_end(work: Callable[[], T]) -> T:
    """Runs `work` in a thread that no signal interrupts: an interrupted load of a C++ library fails unpredictably.

    KeyboardInterrupt waits for the work to finish; work that takes long ends with the process, which has nothing open.
    """
    pool = ThreadPoolExecutor(1, "prepare")
    done = pool.submit(work)
    pool.shutdown(wait=False)
    try:
        return done.result()
    except KeyboardInterrupt:
        wait([done], _PATIENCE_S)
        if done.running():
            sys.stdout.flush()
            os._exit(0)
        raise


@contextmanager
def _spinning(executor: SingleThreadedExecutor) -> Iterator[None]:
    end: Future[None] = Future()
    with ThreadPoolExecutor(1, "callbacks") as pool:
        try:  # from here on: after a signal behind `submit` the pool would wait for a spin that nobody ends
            spinning = pool.submit(executor.spin_until_future_complete, end)
            spinning.add_done_callback(_end_main_thread_on_failure)
            yield
        finally:
            _ignore_signals()
            end.set_result(None)
    executor.shutdown(timeout_sec=0)  # nothing runs any more; waiting for a coroutine would never end
    spinning.result()


def _end_main_thread_on_failure(spinning: ThreadFuture[None]) -> None:
    if spinning.exception() is not None and threading.main_thread().is_alive():
        os.kill(os.getpid(), signal.SIGINT)
