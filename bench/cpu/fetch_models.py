#!/usr/bin/env python3
"""Puts the model files that compare.py measures besides the graphs of tests/models into a folder.

  fetch_models.py FOLDER

nudenet.onnx (YOLOv8n, package nudenet) and silero_vad.onnx (package silero-vad) come from PyPI; resnet50-qdq.onnx and
mpnet-qdq.onnx are the graphs of tests/models, quantised by ONNX Runtime's own tool (QDQ, uint8 activations, per-channel
int8 weights, min-max calibration on random inputs).
"""
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import onnx

from workloads import fill_weights

PACKAGES = {"nudenet.onnx": ("nudenet==3.4.2", "320n.onnx"), "silero_vad.onnx": ("silero-vad==6.0.0", "silero_vad.onnx")}


def from_package(package, suffix, target):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, package], check=True)
        wheel = next(pathlib.Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as z:
            target.write_bytes(z.read(next(n for n in z.namelist() if n.endswith(suffix))))


def quantised(name, make_feeds, target, folder):
    from onnxruntime import quantization as q
    from onnxruntime.quantization import shape_inference

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self._sets = iter([make_feeds(seed) for seed in range(4)])

        def get_next(self):
            return next(self._sets, None)

    source = folder / name / f"{name}.onnx"
    if not source.exists():
        source.parent.mkdir(parents=True, exist_ok=True)
        fill_weights.fill(name, source.parent)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = pathlib.Path(scratch) / "prepared.onnx"
        shape_inference.quant_pre_process(onnx.load(source), str(prepared), skip_symbolic_shape=True)
        q.quantize_static(str(prepared), str(target), Reader(), quant_format=q.QuantFormat.QDQ, activation_type=q.QuantType.QUInt8,
                          weight_type=q.QuantType.QInt8, per_channel=True, op_types_to_quantize=["Conv", "MatMul", "Gemm", "Add"])


def image(seed):
    return {"input": np.random.default_rng(seed).standard_normal((1, 3, 224, 224), np.float32)}


def text(seed):
    return {"input_ids": np.random.default_rng(seed).integers(3, 30000, (1, 128), np.int64), "attention_mask": np.ones((1, 128), np.int64)}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for target, (package, suffix) in PACKAGES.items():
        if not (folder / target).exists():
            from_package(package, suffix, folder / target)
    for name, target, feeds in (("resnet50", "resnet50-qdq.onnx", image), ("mpnet-base", "mpnet-qdq.onnx", text)):
        if not (folder / target).exists():
            quantised(name, feeds, folder / target, folder)


if __name__ == "__main__":
    main()
