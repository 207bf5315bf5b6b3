"""Depth networks that come as an ONNX file with a card: `model.name: onnx:FILE_OR_CARD`, and rows of the table.

Reading order: `card` is what the JSON says, `placement` how an image reaches the network and a map comes back,
`graph_file` what an ONNX file says of itself and `checks` whether the two agree, `weights` and `functions` whether it
computes with finite numbers and comes to an end; `predictions` makes a Prediction of the outputs, with `point_maps` for
networks that predict points; `model` runs them, `loading` goes from a name to a model. Nothing here imports torch.
"""
