#!/usr/bin/env python3
"""Compares small quantised models on a GPU with the same models on the CPU.

  precision_on_device.py --cameo build/cameo --work DIR [--jobs N] [NAME…]

Covers products and convolutions of int8 (QDQ) and of 8-bit floats, weights of 4 and 8 bits, and `cameo build --int8`, `--fp8` and
`--weights`. Needs numpy and onnx. Prints SKIPPED where there is no GPU.
"""
import itertools
import shutil
import sys
import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from on_device import call, check_all, parser, run_plan


class Model:
    """A graph that grows node by node."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants, self.inputs, self.feeds = [], [], [], {}
        self.names = (f"v{i}" for i in itertools.count())

    def input(self, array, name="x"):
        self.inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape))
        self.feeds[name] = array
        return name

    def constant(self, array, data_type=None):
        name = next(self.names)
        if data_type is None:
            tensor = numpy_helper.from_array(np.asarray(array), name)
        else:
            tensor = helper.make_tensor(name, data_type, np.shape(array), np.asarray(array).ravel())
        self.constants.append(tensor)
        return name

    def add(self, op, *inputs, **attributes):
        name = next(self.names)
        domain = attributes.pop("domain", "")
        self.nodes.append(helper.make_node(op, list(inputs), [name], domain=domain, **attributes))
        return name

    def rounded(self, x, scale, zero):
        """x to 8 bits and back; zero is a uint8 or int8 number."""
        s, z = self.constant(np.float32(scale)), self.constant(zero)
        return self.add("DequantizeLinear", self.add("QuantizeLinear", x, s, z), s, z)

    def int8_weight(self, shape, axis, size=1):
        codes = self.random.integers(-127, 128, shape).astype(np.int8)
        scales = self.random.uniform(0.002, 0.01, shape[axis]).astype(np.float32) * np.float32(size)
        return self.add("DequantizeLinear", self.constant(codes), self.constant(scales), axis=axis)

    def float8(self, x, scale):
        s, z = self.constant(np.float32(scale)), self.constant(np.float32(0), TensorProto.FLOAT8E4M3FN)
        return self.add("DequantizeLinear", self.add("QuantizeLinear", x, s, z), s, z)

    def float8_weight(self, shape, axis=None, size=1):
        values = self.random.normal(0, 1, shape).astype(np.float32)
        codes = self.constant(values * 100, TensorProto.FLOAT8E4M3FN)
        scales = np.float32(0.002) if axis is None else self.random.uniform(0.0005, 0.002, shape[axis]).astype(np.float32) * np.float32(size)
        return self.add("DequantizeLinear", codes, self.constant(scales), axis=1 if axis is None else axis)

    def proto(self, output, data_type=TensorProto.FLOAT):
        self.nodes.append(helper.make_node("Identity", [output], ["y"]))
        graph = helper.make_graph(self.nodes, "m", self.inputs, [helper.make_tensor_value_info("y", data_type, None)], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)], ir_version=10)


u8, s8 = np.uint8, np.int8


def normal(m, *shape):
    return m.random.normal(0, 1, shape).astype(np.float32)


def int8_matmul(m, shape, n, zero, act=None, bias=False, residual=False, again=False):
    x = m.rounded(m.input(normal(m, *shape)), 0.025, zero)
    y = m.add("MatMul", x, m.int8_weight((shape[-1], n), 1))
    if bias:
        y = m.add("Add", y, m.constant(normal(m, n)))
    if residual:
        y = m.add("Add", y, m.rounded(m.input(normal(m, *shape[:-1], n), "r"), 0.03, np.uint8(120)))
    if act:
        y = m.add(act, y)
    if again:  # bytes go on into another product
        y = m.rounded(y, 0.1, np.uint8(0 if act == "Relu" else 128))
        y = m.add("MatMul", y, m.int8_weight((n, 48), 1))
    return y


def int8_conv(m, shape, n, kernel, zero, group=1, again=False, residual=False, **attributes):
    x = m.rounded(m.input(normal(m, *shape)), 0.025, zero)
    w = m.int8_weight((n, shape[1] // group, *kernel), 0)
    y = m.add("Conv", x, w, m.constant(normal(m, n)), group=group, kernel_shape=kernel, **attributes)
    if residual:
        y = m.add("Add", y, x)
    y = m.add("Relu", y)
    if again:
        y = m.rounded(y, 0.05, np.uint8(0))
        y = m.add("Conv", y, m.int8_weight((32, n, 1, 1), 0), kernel_shape=[1, 1])
    return y


def float8_matmul(m, shape, n, axis=None, bias=False, act=None, again=False):
    x = m.float8(m.input(normal(m, *shape)), 0.01)
    y = m.add("MatMul", x, m.float8_weight((shape[-1], n), axis))
    if bias:
        y = m.add("Add", y, m.constant(normal(m, n)))
    if act:
        y = m.add(act, y)
    if again:
        y = m.add("MatMul", m.float8(y, 0.05), m.float8_weight((n, 64)))
    return y


def float8_conv(m, shape, n, kernel, axis=None, again=False, **attributes):
    x = m.float8(m.input(normal(m, *shape)), 0.01)
    y = m.add("Conv", x, m.float8_weight((n, shape[1], *kernel), axis), m.constant(normal(m, n)), kernel_shape=kernel, **attributes)
    y = m.add("Relu", y)
    if again:
        y = m.add("Conv", m.float8(y, 0.1), m.float8_weight((32, n, 1, 1), 0), kernel_shape=[1, 1])
    return y


def n_bits(m, rows, k, n, bits, block, zeros=False):
    blocks = (k + block - 1) // block
    codes = m.random.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8)
    inputs = [m.input(normal(m, rows, k)), m.constant(codes), m.constant(m.random.uniform(0.01, 0.02, n * blocks).astype(np.float32))]
    if zeros:
        inputs.append(m.constant(m.random.integers(0, 256, n * ((blocks * bits + 7) // 8)).astype(np.uint8)))
    return m.add("MatMulNBits", *inputs, domain="com.microsoft", K=k, N=n, bits=bits, block_size=block)


def blocked_weight(m, rows, k, n, block):
    codes = m.constant(m.random.integers(-8, 8, (k, n)), TensorProto.INT4)
    scales = m.constant(m.random.uniform(0.01, 0.02, (k // block, n)).astype(np.float32))
    y = m.add("MatMul", m.input(normal(m, rows, k)), m.add("DequantizeLinear", codes, scales, axis=0, block_size=block))
    return m.add("Relu", m.add("Add", y, m.constant(normal(m, n))))


def perceptron(m, rows, k, hidden, act="Gelu"):
    y = m.add("MatMul", m.input(normal(m, rows, k)), m.constant(normal(m, k, hidden) / np.float32(k**0.5)))
    y = m.add(act, m.add("Add", y, m.constant(normal(m, hidden))))
    y = m.add("MatMul", y, m.constant(normal(m, hidden, k) / np.float32(hidden**0.5)))
    return m.add("Add", m.add("Add", y, m.constant(normal(m, k))), "x")


def convnet(m, batch):
    x = m.input(normal(m, batch, 3, 32, 32))
    for c_in, c_out, kernel, stride in ((3, 32, 7, 2), (32, 64, 3, 1), (64, 64, 1, 1)):
        w = m.constant(normal(m, c_out, c_in, kernel, kernel) / np.float32((c_in * kernel * kernel) ** 0.5))
        x = m.add("Relu", m.add("Conv", x, w, m.constant(normal(m, c_out)), kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4, strides=[stride] * 2))
    return m.add("GlobalAveragePool", x)


def residual_net(m, batch, size, floats=False):
    """A stem with its pool and two residual blocks with projections, the second of stride 2, quantised as other tools do."""
    quantise = (lambda x, scale=0, zero=0: m.float8(x, 0.02)) if floats else (lambda x, scale=0.05, zero=u8(0): m.rounded(x, scale, zero))

    def conv(x, c_in, c_out, kernel, stride=1):
        shape, size = (c_out, c_in, kernel, kernel), 2 / (c_in * kernel * kernel) ** 0.5
        w = m.float8_weight(shape, 0, 8 * size) if floats else m.int8_weight(shape, 0, size)
        return m.add("Conv", x, w, m.constant(normal(m, c_out)), kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4, strides=[stride] * 2)

    x = quantise(m.input(normal(m, batch, 3, size, size)), 0.03, u8(120))
    x = quantise(m.add("MaxPool", m.add("Relu", conv(x, 3, 64, 7, 2)), kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]))
    for c_in, c, c_out, stride in ((64, 64, 256, 1), (256, 128, 512, 2)):
        y = quantise(m.add("Relu", conv(x, c_in, c, 1)))
        y = quantise(m.add("Relu", conv(y, c, c, 3, stride)))
        y, projected = conv(y, c, c_out, 1), conv(x, c_in, c_out, 1, stride)
        if not floats:
            y, projected = quantise(y, 0.1, u8(128)), quantise(projected, 0.1, u8(128))
        x = quantise(m.add("Relu", m.add("Add", y, projected)), 0.1)
    return conv(x, 512, 32, 1)


def codes(m, data_type, *shape):
    low = -128 if data_type == np.int8 else 0
    return m.random.integers(low, low + 256, shape).astype(data_type)


def as_floats(m, y):
    return m.add("Cast", y, to=TensorProto.FLOAT)


def matmul_integer(m, a, b, left, right, zeros):
    inputs = [m.input(codes(m, left, *a)), m.constant(codes(m, right, *b))]
    if zeros:  # of a row, and of a column
        inputs += [m.constant(codes(m, left, a[-2])), m.constant(codes(m, right, b[-1]))]
    return as_floats(m, m.add("MatMulInteger", *inputs))


def conv_integer(m, x, w, left, right, **attributes):
    inputs = [m.input(codes(m, left, *x)), m.constant(codes(m, right, *w)), m.constant(left(7)), m.constant(codes(m, right, w[0]))]
    return as_floats(m, m.add("ConvInteger", *inputs, **attributes))


def qlinear_matmul(m, a, b, columns, data_type):
    scales = m.random.uniform(0.01, 0.02, b[-1] if columns else ()).astype(np.float32)
    zeros = codes(m, np.int8, b[-1]) if columns else np.int8(3)
    return as_floats(m, m.add("QLinearMatMul", m.input(codes(m, np.uint8, *a)), m.constant(np.float32(0.02)), m.constant(np.uint8(100)),
                              m.constant(codes(m, np.int8, *b)), m.constant(scales), m.constant(zeros), m.constant(np.float32(0.7)),
                              m.constant(data_type(5))))


def qlinear_conv(m, x, w, data_type, **attributes):
    scales = m.random.uniform(0.01, 0.02, w[0]).astype(np.float32)
    return as_floats(m, m.add("QLinearConv", m.input(codes(m, np.uint8, *x)), m.constant(np.float32(0.02)), m.constant(np.uint8(100)),
                              m.constant(codes(m, np.int8, *w)), m.constant(scales), m.constant(np.zeros(w[0], np.int8)), m.constant(np.float32(0.5)),
                              m.constant(data_type(5)), m.constant(m.random.integers(-999, 999, w[0]).astype(np.int32)), **attributes))


# name -> (how the graph is made, flags on the GPU, flags on the CPU, least cosine, largest error over the largest value)
EXACT, HALF, STEP, LOSSY = (0.999999, 2e-5), (0.9999, 1e-2), (0.9999, 2e-2), (0.99, 0.2)
CASES = {
    "int8 matmul": (lambda m: int8_matmul(m, (40, 96), 64, u8(128)), [], [], *EXACT),
    "int8 matmul, symmetric": (lambda m: int8_matmul(m, (3, 50, 768), 320, s8(0)), [], [], *EXACT),
    "int8 matmul, odd extents": (lambda m: int8_matmul(m, (37, 75), 29, u8(100), bias=True), [], [], *EXACT),
    "int8 matmul, one row": (lambda m: int8_matmul(m, (1, 64), 1000, u8(3), bias=True), [], [], *EXACT),
    "int8 matmul, bias, Gelu": (lambda m: int8_matmul(m, (200, 128), 256, u8(120), act="Gelu", bias=True), [], [], 0.9999, 1e-3),
    "int8 matmul, Tanh": (lambda m: int8_matmul(m, (200, 128), 256, u8(120), act="Tanh", bias=True), [], [], *EXACT),
    "int8 matmul, residual of bytes": (lambda m: int8_matmul(m, (200, 128), 256, u8(120), bias=True, residual=True), [], [], *EXACT),
    "int8 matmul, two": (lambda m: int8_matmul(m, (200, 128), 256, u8(120), act="Relu", bias=True, again=True), [], [], *STEP),
    "int8 matmul, two, residual": (lambda m: int8_matmul(m, (300, 128), 256, s8(-5), bias=True, residual=True, again=True), [], [], *STEP),
    "int8 matmul, two, float16": (lambda m: int8_matmul(m, (200, 128), 256, u8(120), act="Relu", bias=True, again=True), ["--fp16"], [], *STEP),
    "int8 conv": (lambda m: int8_conv(m, (2, 32, 14, 15), 64, [3, 3], u8(128), pads=[1, 1, 1, 1]), [], [], *EXACT),
    "int8 conv, 7x7 of 3 channels": (lambda m: int8_conv(m, (2, 3, 40, 41), 64, [7, 7], u8(130), pads=[3, 3, 3, 3], strides=[2, 2]), [], [], *EXACT),
    "int8 conv, 1x1, stride 2": (lambda m: int8_conv(m, (2, 64, 14, 14), 128, [1, 1], u8(90), strides=[2, 2]), [], [], *EXACT),
    "int8 conv, dilated, uneven pads": (lambda m: int8_conv(m, (1, 48, 20, 17), 80, [3, 3], s8(4), pads=[2, 1, 0, 2], dilations=[2, 1]), [], [], *EXACT),
    "int8 conv, depthwise": (lambda m: int8_conv(m, (2, 32, 14, 14), 32, [3, 3], u8(128), group=32, pads=[1, 1, 1, 1]), [], [], *EXACT),
    "int8 conv, groups": (lambda m: int8_conv(m, (2, 32, 14, 14), 64, [3, 3], u8(128), group=4, pads=[1, 1, 1, 1]), [], [], *EXACT),
    "int8 conv, odd channels": (lambda m: int8_conv(m, (1, 5, 14, 14), 7, [3, 3], u8(128), pads=[1, 1, 1, 1]), [], [], *EXACT),
    "int8 conv, one axis": (lambda m: int8_conv(m, (2, 32, 50), 64, [5], u8(128), pads=[2, 2]), [], [], *EXACT),
    "int8 conv, three axes": (lambda m: int8_conv(m, (1, 16, 6, 7, 8), 32, [3, 3, 3], u8(128), pads=[1] * 6), [], [], *EXACT),
    "int8 conv, two, residual": (lambda m: int8_conv(m, (2, 64, 14, 14), 64, [3, 3], u8(128), pads=[1, 1, 1, 1], residual=True, again=True), [], [], *STEP),
    "int8 residual blocks": (lambda m: residual_net(m, 2, 56), [], [], *STEP),
    "int8 residual blocks, float16": (lambda m: residual_net(m, 3, 70), ["--fp16"], [], *STEP),
    "MatMulInteger": (lambda m: matmul_integer(m, (3, 20, 40), (40, 30), u8, s8, False), [], [], 1 - 1e-9, 0),
    "MatMulInteger, zeros": (lambda m: matmul_integer(m, (20, 40), (40, 30), s8, u8, True), [], [], 1 - 1e-9, 0),
    "MatMulInteger, batches": (lambda m: matmul_integer(m, (2, 1, 20, 40), (3, 40, 30), u8, u8, False), [], [], 1 - 1e-9, 0),
    "ConvInteger": (lambda m: conv_integer(m, (2, 6, 9, 8), (4, 3, 3, 3), u8, s8, group=2, pads=[1, 0, 2, 1], strides=[2, 1]), [], [], 1 - 1e-9, 0),
    "QLinearMatMul": (lambda m: qlinear_matmul(m, (3, 20, 40), (40, 30), False, u8), [], [], 1 - 1e-9, 0),
    "QLinearMatMul, a scale a column": (lambda m: qlinear_matmul(m, (20, 40), (40, 30), True, s8), [], [], 1 - 1e-9, 0),
    "QLinearConv": (lambda m: qlinear_conv(m, (2, 6, 9, 8), (4, 6, 3, 3), u8, pads=[1, 0, 2, 1]), [], [], 1 - 1e-9, 0),
    "QLinearConv, signed, depthwise": (lambda m: qlinear_conv(m, (2, 6, 9, 8), (6, 1, 3, 3), s8, group=6, dilations=[2, 1]), [], [], 1 - 1e-9, 0),
    "float8 matmul": (lambda m: float8_matmul(m, (40, 96), 64), [], ["--reference"], *STEP),
    "float8 matmul, a scale a column": (lambda m: float8_matmul(m, (300, 768), 320, axis=1, bias=True), ["--fp16"], ["--reference"], *STEP),
    "float8 matmul, odd extents": (lambda m: float8_matmul(m, (37, 75), 29, bias=True), [], ["--reference"], *STEP),
    "float8 matmul, two": (lambda m: float8_matmul(m, (300, 256), 512, bias=True, act="Gelu", again=True), ["--fp16"], ["--reference"], 0.999, 0.05),
    "float8 matmul, Relu": (lambda m: float8_matmul(m, (300, 256), 512, bias=True, act="Relu"), ["--fp16"], ["--reference"], *STEP),
    "float8 conv": (lambda m: float8_conv(m, (2, 32, 14, 15), 64, [3, 3], pads=[1, 1, 1, 1]), [], ["--reference"], *STEP),
    "float8 conv, a scale a channel": (lambda m: float8_conv(m, (2, 64, 14, 14), 128, [3, 3], axis=0, pads=[1, 1, 1, 1], strides=[2, 2]), ["--fp16"], ["--reference"], *STEP),
    "float8 conv, 3 channels": (lambda m: float8_conv(m, (1, 3, 30, 31), 40, [7, 7], axis=0, pads=[3, 3, 3, 3], strides=[2, 2]), [], ["--reference"], *STEP),
    "float8 conv, small": (lambda m: float8_conv(m, (1, 5, 9, 8), 7, [3, 3], pads=[1, 0, 1, 2], dilations=[2, 1]), [], ["--reference"], *STEP),
    "float8 residual blocks": (lambda m: residual_net(m, 2, 56, True), ["--fp16"], ["--reference"], *LOSSY),
    "float8 conv, two": (lambda m: float8_conv(m, (2, 64, 14, 14), 128, [1, 1], axis=0, again=True), ["--fp16"], ["--reference"], 0.999, 0.05),
    "float8 conv, one axis, dilated": (lambda m: float8_conv(m, (2, 32, 50), 64, [5], pads=[2, 2], dilations=[2]), [], ["--reference"], *STEP),
    **{f"{bits}-bit weights, {rows} rows, blocks of {block}{', zeros' if zeros else ''}{flags[0] if flags else ''}": (
        lambda m, r=rows, b=bits, bl=block, z=zeros: n_bits(m, r, 512, 320, b, bl, z), flags, [], *HALF)
       for bits, rows, block, zeros, flags in ((4, 1, 32, False, ["--fp16"]), (4, 7, 128, True, ["--fp16"]), (4, 60, 32, True, ["--bf16"]), (4, 200, 32, True, ["--fp16"]),
                                               (4, 5, 16, False, ["--fp16"]), (4, 3, 32, True, []), (8, 1, 32, False, ["--fp16"]), (8, 33, 64, False, ["--fp16"]), (8, 9, 32, True, ["--fp16"]),
                                               (8, 130, 128, True, ["--fp16"]))},
    "4-bit weights in blocks, bias and Relu": (lambda m: blocked_weight(m, 6, 256, 192, 32), ["--fp16"], [], *HALF),
    "4-bit weights in blocks, many rows": (lambda m: blocked_weight(m, 100, 256, 192, 64), ["--fp16"], [], *HALF),
    **{f"--weights {kind}, {rows} rows": (lambda m, r=rows: perceptron(m, r, 256, 512), ["--fp16", "--weights", kind, "--opt-level", "0"],
                                          ["--weights", kind, "--opt-level", "0"], 0.999, 0.03)
       for kind in ("int8", "int4", "fp16") for rows in (1, 48, 300)},
    "--int8, products": (lambda m: perceptron(m, 300, 256, 512, "Relu"), ["--int8", "--calib", "CALIB", "--opt-level", "0"],
                         ["--int8", "--calib", "CALIB", "--opt-level", "0"], *STEP),
    "--int8, products, float16": (lambda m: perceptron(m, 300, 256, 512), ["--fp16", "--int8", "--calib", "CALIB", "--opt-level", "0"],
                                  ["--int8", "--calib", "CALIB", "--opt-level", "0"], 0.999, 0.05),
    "--int8, convolutions": (lambda m: convnet(m, 4), ["--fp16", "--int8", "--calib", "CALIB", "--opt-level", "0"],
                             ["--int8", "--calib", "CALIB", "--opt-level", "0"], *STEP),
    "--fp8": (lambda m: perceptron(m, 300, 256, 512), ["--fp16", "--fp8", "--opt-level", "0"], [], *LOSSY),
    "--fp8, calibrated": (lambda m: perceptron(m, 300, 256, 512), ["--fp16", "--fp8", "--calib", "CALIB", "--opt-level", "0"], [], *LOSSY),
    "--fp8, float32, few rows": (lambda m: perceptron(m, 3, 256, 512), ["--fp8", "--calib", "CALIB", "--opt-level", "0"], [], *LOSSY),
    "--fp8, measured": (lambda m: perceptron(m, 300, 256, 512), ["--fp16", "--fp8", "--calib", "CALIB"], [], *LOSSY),
    "--fp8, convolutions": (lambda m: convnet(m, 4), ["--fp16", "--fp8", "--calib", "CALIB", "--opt-level", "0"], [], *LOSSY),
    "--int8, measured": (lambda m: convnet(m, 4), ["--fp16", "--int8", "--calib", "CALIB"], [], *LOSSY),
}


def check(name, args):
    make, device_flags, cpu_flags, least_cosine, most_error = CASES[name]
    work = args.work / name.replace(" ", "_").replace(",", "")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        m = Model(zlib.crc32(name.encode()))
        onnx.save(m.proto(make(m)), work / "m.onnx")
        np.savez(work / "calib.npz", **m.feeds)
        results = []
        for device, flags in (("cpu", cpu_flags), ("cuda", device_flags)):
            flags = [str(work / "calib.npz") if f == "CALIB" else f for f in flags]
            plan = work / f"{device}.plan"
            call(args.cameo, "build", work / "m.onnx", "-o", plan, "--device", device, *flags, timeout=120)
            results.append(run_plan(args.cameo, plan, m.feeds, ["y"], work / device)["y"].astype(np.float64))
        want, got = results
        if want.shape != got.shape:
            raise ValueError(f"shape {got.shape} instead of {want.shape}")
        error = np.abs(got - want).max() / np.abs(want).max()
        cosine = float((got * want).sum() / (np.linalg.norm(got) * np.linalg.norm(want)))
        if not (error <= most_error and cosine >= least_cosine):
            raise ValueError(f"error {error:.2e}, cosine {cosine:.7f}")
        return [(True, f"ok   {name}: error {error:.1e}, cosine {cosine:.6f}")]
    except (ValueError, OSError) as problem:
        return [(False, f"FAIL {name}: {problem}")]
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main():
    args = parser(__doc__, 4, "parts of cases' names; all cases").parse_args()
    names = [n for n in CASES if not args.names or any(part in n for part in args.names)]
    return check_all(args, names, lambda name: check(name, args), "quantised models")


if __name__ == "__main__":
    sys.exit(main())
