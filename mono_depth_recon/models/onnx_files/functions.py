"""How many nodes an ONNX file comes to once a runtime has put its functions in place of their calls.

Functions that call each other twice, 40 deep, are a file of some kilobytes and 2^40 nodes. The numbers of the fields
are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from ...errors import ModelError
from .protobuf import View, fields, parsed, text_of

_MODEL_GRAPH, _MODEL_FUNCTION = 7, 25
_GRAPH_NODE, _FUNCTION_NAME, _FUNCTION_NODE, _FUNCTION_DOMAIN = 1, 1, 7, 10
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 6, 11
_DEEPEST, _MOST_NODES = 100, 1_000_000

_Key: TypeAlias = tuple[str, str]  # domain and name of an operator or function
_GRAPH: _Key = ("", "")


def check_functions(path: Path) -> None:
    """ModelError where the functions of the ONNX file call each other without end or come to too many nodes."""
    calls = parsed(path, _calls)
    nodes = dict.fromkeys(calls, 0)
    for _ in range(_DEEPEST):
        before = nodes
        nodes = {caller: sum(1 + before.get(each, 0) for each in called) for caller, called in calls.items()}
        if nodes == before:
            return
        if max(nodes.values()) > _MOST_NODES:
            break
    raise ModelError(
        f"{path} has functions that call each other more than {_DEEPEST} deep or come to more than {_MOST_NODES} "
        "nodes: no network needs that, export it again or take another file"
    )


def _calls(view: View) -> dict[_Key, list[_Key]]:
    """The operators of each function and of the graph; nothing where the file has no functions."""
    parts = [(number, content) for number, _, content in fields(view) if number in (_MODEL_GRAPH, _MODEL_FUNCTION)]
    calls: dict[_Key, list[_Key]] = {}
    for number, content in parts:
        if number == _MODEL_FUNCTION:
            calls[_key(content, _FUNCTION_DOMAIN, _FUNCTION_NAME)] = _operators(content, _FUNCTION_NODE)
    graphs = [content for number, content in parts if number == _MODEL_GRAPH]
    return calls | {_GRAPH: [key for graph in graphs for key in _operators(graph, _GRAPH_NODE)]} if calls else calls


def _operators(view: View, node_field: int) -> list[_Key]:
    """Those of a function or graph, and of the graphs in its nodes."""
    found: list[_Key] = []
    pending = [(view, node_field)]
    while pending:
        graph, nodes = pending.pop()
        for number, _, node in fields(graph):
            if number == nodes:
                found.append(_key(node, _NODE_DOMAIN, _NODE_OPERATOR))
                attributes = [content for part, _, content in fields(node) if part == _NODE_ATTRIBUTE]
                pending += [
                    (inner, _GRAPH_NODE)
                    for attribute in attributes
                    for part, _, inner in fields(attribute)
                    if part in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS)
                ]
    return found


def _key(view: View, domain: int, name: int) -> _Key:
    texts = {number: text_of(content) for number, _, content in fields(view) if number in (domain, name)}
    return texts.get(domain, ""), texts.get(name, "")
