#!/usr/bin/env python3
"""Writes the official ONNX node cases to files.

  export_cases.py OUT_DIR [--only SUBSTRING]

A case becomes a folder OUT_DIR/NAME in the layout of ONNX's own test data: model.onnx, and input_0.pb, …
and output_0.pb, …, each a TensorProto, SequenceProto or OptionalProto, whichever type the model declares.
Beside them lies open.onnx, the same model with every extent of its inputs left open.
The tolerances are in OUT_DIR/index.txt: one line "NAME RTOL ATOL" a case, written last.

Needs the PyPI package onnx, of the version below: other versions have other cases.
"""
import argparse
import pathlib
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper

ONNX_VERSION = "1.23.2"
NUM_CASES = 1884


def to_tensor(value, name):
    if isinstance(value, onnx.TensorProto):
        return value
    return numpy_helper.from_array(np.asarray(value), name)


def to_sequence(value, declared, name):
    proto = onnx.SequenceProto(name=name)
    kind = declared.elem_type.WhichOneof("value")
    if kind == "tensor_type":
        proto.elem_type = onnx.SequenceProto.TENSOR
        proto.tensor_values.extend(to_tensor(v, "") for v in value)
    elif kind == "sequence_type":
        proto.elem_type = onnx.SequenceProto.SEQUENCE
        proto.sequence_values.extend(to_sequence(v, declared.elem_type.sequence_type, "") for v in value)
    else:
        raise TypeError(f"{name}: a sequence of {kind}")
    return proto


def to_optional(value, declared, name):
    proto = onnx.OptionalProto(name=name)
    kind = declared.elem_type.WhichOneof("value")
    if kind == "tensor_type":
        proto.elem_type = onnx.OptionalProto.TENSOR
        if value is not None:
            proto.tensor_value.CopyFrom(to_tensor(value, ""))
    elif kind == "sequence_type":
        proto.elem_type = onnx.OptionalProto.SEQUENCE
        if value is not None:
            proto.sequence_value.CopyFrom(to_sequence(value, declared.elem_type.sequence_type, ""))
    else:
        raise TypeError(f"{name}: an optional {kind}")
    return proto


def to_proto(value, declared, name):
    """The value as the message for the type that the model declares (an onnx.TypeProto)."""
    kind = declared.WhichOneof("value")
    if kind == "tensor_type":
        return to_tensor(value, name)
    if kind == "sequence_type":
        return to_sequence(value, declared.sequence_type, name)
    if kind == "optional_type":
        return to_optional(value, declared.optional_type, name)
    raise TypeError(f"{name}: {kind}")


def with_open_shapes(model):
    """A copy whose inputs have symbols for extents, and which says nothing of the shapes of other values."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for i, info in enumerate(copy.graph.input):
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            dim.dim_param = f"input{i}_{axis}"
    for info in copy.graph.output:
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.ClearField("shape")
    del copy.graph.value_info[:]
    return copy


def export(case, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    (folder / "open.onnx").write_bytes(with_open_shapes(case.model).SerializeToString())
    ((inputs, outputs),) = case.data_sets
    for prefix, values, infos in (("input", inputs, case.model.graph.input), ("output", outputs, case.model.graph.output)):
        if len(values) != len(infos):
            raise ValueError(f"{case.name}: {len(values)} {prefix}s for {len(infos)} declared")
        for i, (value, info) in enumerate(zip(values, infos)):
            (folder / f"{prefix}_{i}.pb").write_bytes(to_proto(value, info.type, info.name).SerializeToString())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT_DIR", type=pathlib.Path)
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="only the cases with this in their names")
    args = parser.parse_args()
    if onnx.__version__ != ONNX_VERSION:
        sys.exit(f"onnx {ONNX_VERSION} is needed, {onnx.__version__} is installed; install tests/requirements.txt")

    warnings.filterwarnings("ignore")  # the generators divide by zero on purpose
    np.random.seed(0)
    from onnx.backend.test.case.node import collect_testcases

    cases = collect_testcases(None)
    if len(cases) != NUM_CASES:
        sys.exit(f"{len(cases)} cases, {NUM_CASES} expected")
    args.out.mkdir(parents=True, exist_ok=True)
    index = []
    for case in sorted(cases, key=lambda case: case.name):
        if args.only in case.name:
            export(case, args.out / case.name)
            index.append(f"{case.name} {case.rtol:g} {case.atol:g}\n")
    (args.out / "index.txt").write_text("".join(index))
    print(f"{len(index)} cases in {args.out}")


if __name__ == "__main__":
    main()
