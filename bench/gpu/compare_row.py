#!/usr/bin/env python3
"""One row of compare.py, in a process of its own: makes its engines ready, prints READY, waits for a line, measures, prints the
result. What chooses kernels by their times (Cameo's tuner, cuDNN's, max-autotune) does so alone on the GPU, under a lock that the
processes share. Its argument is a JSON object; without a row in it, it measures what the GPU reaches.
"""
import contextlib
import ctypes
import fcntl
import json
import pathlib
import signal
import statistics
import sys
import time

import numpy as np
import onnx
import torch

import compare  # before what lies in bench/cpu and tests/models
import cameo_api
import torch_models

BEGIN = time.monotonic()
ROUNDS, ROUND_SECONDS = 5, 0.12
DEVICE = "cuda"
LIMITS = {"fp32": (1e-3, 0.99999), "tf32": (1e-2, 0.9999), "fp16": (2e-2, 0.9999)}


def note(text):
    print("NOTE", " ".join(str(text).split())[:300], flush=True)


def synchronize():
    torch.cuda.synchronize()


def pinned(array):
    return torch.from_numpy(np.ascontiguousarray(array)).pin_memory()


def median_ms(call, seconds):
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def difference(got, want):
    a, b = np.asarray(got, np.float64).ravel(), np.asarray(want, np.float64).ravel()
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)), float(a @ b / norm) if norm else 1.0


def machine():
    """What this GPU reaches: TFLOP/s of a large product, TB/s of a copy, GB/s from the host."""

    def best(call, repeat=5):
        call()
        times = []
        for _ in range(repeat):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            call()
            end.record()
            synchronize()
            times.append(start.elapsed_time(end) * 1e-3)
        return statistics.median(times)

    a, b = (torch.randn(8192, 8192, device=DEVICE, dtype=torch.half) for _ in range(2))
    big, host = torch.empty(1 << 30, dtype=torch.uint8, device=DEVICE), torch.empty(1 << 28, dtype=torch.uint8).pin_memory()
    other = torch.empty_like(big)
    return {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "fp16_tflops": 2 * 8192**3 / best(lambda: torch.mm(a, b)) * 1e-12,
        "copy_tb_s": 2 * big.numel() / best(lambda: other.copy_(big)) * 1e-12,
        "host_gb_s": host.numel() / best(lambda: big[: host.numel()].copy_(host, non_blocking=True)) * 1e-9,
    }


def rounded_to_float16(path):
    """The bytes of a model that rounds its weights and each value between its nodes to float16, and computes in float32."""
    model = onnx.load(path)
    for w in model.graph.initializer:
        if w.data_type == onnx.TensorProto.FLOAT:
            w.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(w).astype(np.float16).astype(np.float32), w.name))
    floats = {v.name for v in onnx.shape_inference.infer_shapes(model).graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    nodes, names = list(model.graph.node), {}
    del model.graph.node[:]
    for node in nodes:
        node.input[:] = [names.get(i, i) for i in node.input]
        model.graph.node.append(node)
        for value in floats.intersection(node.output):
            names[value] = value + "/rounded"
            model.graph.node.append(onnx.helper.make_node("Cast", [value], [value + "/half"], to=onnx.TensorProto.FLOAT16))
            model.graph.node.append(onnx.helper.make_node("Cast", [value + "/half"], [value + "/rounded"], to=onnx.TensorProto.FLOAT))
    return model.SerializeToString()


class Turn:
    """The GPU for one process."""

    def __init__(self, path):
        self._file, self._depth = open(path, "a"), 0

    def __enter__(self):
        if self._depth == 0:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._depth += 1

    def __exit__(self, *_):
        self._depth -= 1
        if self._depth == 0:
            with contextlib.suppress(RuntimeError):
                synchronize()
            fcntl.flock(self._file, fcntl.LOCK_UN)


def autotune_in_turn(turn):
    """Lets torch's compiler measure kernels only while no other row uses the GPU."""
    try:
        from torch._inductor.runtime import benchmarking

        kind = type(benchmarking.benchmarker)
        measured = kind.benchmark_gpu

        def in_turn(self, *args, **kwargs):
            with turn:
                return measured(self, *args, **kwargs)

        kind.benchmark_gpu = in_turn
    except (ImportError, AttributeError) as problem:
        note(f"kernels of torch are measured beside other work: {problem}")


@contextlib.contextmanager
def limited(seconds):
    """TimeoutError when the block takes longer."""

    def ring(*_):
        raise TimeoutError(f"not ready after {seconds} s")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(1, seconds), 2)  # again and again: compilers swallow errors of single candidates
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Bound(cameo_api.Cameo):
    """A plan whose inputs are bound once."""

    def bind(self, feeds):
        self._kept = feeds
        for name, value in feeds.items():
            key, dims = name.encode(), (ctypes.c_int64 * value.ndim)(*value.shape)
            self._call("cameo_context_set_input_shape", self._context, key, dims, ctypes.c_size_t(value.ndim))
            self._call("cameo_context_set_tensor_address", self._context, key, ctypes.c_void_p(value.ctypes.data), ctypes.c_size_t(value.nbytes))

    def run_bound(self):
        self._call("cameo_context_run", self._context)


class Peer:
    """PyTorch on one row."""

    def __init__(self, row, network, feeds, infos, mode, turn):
        half = row.precision == "fp16"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = row.precision == "tf32"
        torch.backends.cudnn.benchmark = True
        network = network.to(DEVICE)
        if half:
            network = network.half()
        channels_last = not row.length and row.model != "whisper-tiny-encoder"
        if channels_last:
            network = network.to(memory_format=torch.channels_last)
        self.host = [pinned(feeds[n]) for n in infos]
        self.device = [torch.empty_like(h, device=DEVICE) for h in self.host]

        def forward(*inputs):
            inputs = [x.half() if half and x.is_floating_point() else x for x in inputs]
            if channels_last and len(inputs) == 1 and inputs[0].ndim == 4:
                inputs = [inputs[0].contiguous(memory_format=torch.channels_last)]
            y = network(*inputs)
            return y if isinstance(y, tuple) else (y,)

        self.forward = forward
        if mode != "none":
            how = {"options": {"max_autotune_gemm": True, "triton.cudagraphs": True}} if mode == "max-autotune-gemm" else {"mode": mode}
            self.forward = torch.compile(forward, dynamic=False, **how)
        self.answers = None
        start = time.monotonic()
        if mode != "none":
            self.run()  # compiles: the processors' work
        with turn:
            for _ in range(4):
                self.run()
        self.ready_s = time.monotonic() - start

    def run(self):
        with torch.no_grad():
            for d, h in zip(self.device, self.host):
                d.copy_(h, non_blocking=True)
            outputs = self.forward(*self.device)
            if self.answers is None:
                self.answers = [torch.empty(y.shape, dtype=y.dtype).pin_memory() for y in outputs]
            for answer, y in zip(self.answers, outputs):
                answer.copy_(y, non_blocking=True)
            synchronize()


def flops(network, feeds, infos):
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*[torch.from_numpy(feeds[n]) for n in infos])
    return counter.get_total_flops()


class Prepared:
    """The engines of a row, ready to be timed."""

    def __init__(self, row, job):
        self.row, self.result, self.peers, self.loaded = row, {"name": row.name}, {}, False
        work = pathlib.Path(job["work"]) / row.model
        path = work / f"{row.model}.onnx"
        infos = compare.infos_of(path)
        self.feeds = {n: pinned(v).numpy() for n, v in row.feeds(infos).items()}
        turn = Turn(job["lock"])
        with turn:
            self.cameo = Bound(job["library"], work / f"{row.precision}.plan", 1)
            self.cameo.bind(self.feeds)
            for _ in range(3):  # tunes, captures, replays
                self.cameo.run_bound()
        self.engines = {"cameo": self.cameo.run_bound}
        want = self.reference(str(path), job["threads"]) if job["check"] else None
        if want is not None:
            self.compare_with(want, path, job["threads"])
        network = torch_models.make(row.model) if job["modes"] != ["alone"] else None
        if network is None:
            return
        self.weights = sum(p.numel() for p in network.parameters())
        try:
            small = row.first_rows(self.feeds, 1)
            self.result["gflop"] = flops(network, small, infos) * row.batch * 1e-9
            self.loaded = torch_models.load_weights(network, onnx.load(path).graph, [torch.from_numpy(small[n]) for n in infos])
        except Exception as problem:  # a peer that does not run is told, not fatal
            note(f"torch: {problem}")
        network = torch_models.with_positions(row.model, network, row.length)
        from torch._inductor import config as inductor

        autotune_in_turn(turn)
        inductor.assert_indirect_indexing = False
        if job["library_convolutions"]:
            inductor.max_autotune_conv_backends = "ATEN"
        for mode in ["none", *[m for m in job["modes"] if m != "none"]]:
            kind = "eager" if mode == "none" else mode
            try:
                with limited(job["compile_seconds"] - (time.monotonic() - BEGIN)):
                    self.peers[kind] = Peer(row, network, self.feeds, infos, mode, turn)
            except Exception as problem:
                note(f"{kind}: {problem}")
                continue
            peer = self.peers[kind]
            self.result[f"{kind}_ready_s"] = peer.ready_s
            self.engines[kind] = peer.run
            if want is not None and self.loaded:
                self.result[f"{kind}_error"], self.result[f"{kind}_cosine"] = difference(peer.answers[0].numpy()[: len(want)].astype(np.float32), want)

    def reference(self, model, threads):
        """Float32 answers to the first rows, by ONNX Runtime."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        if isinstance(model, bytes):  # pairs of casts are to stay
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return session.run(None, self.row.first_rows(self.feeds, 4))[0]

    def compare_with(self, want, path, threads):
        worst, cosine = difference(self.cameo.run(self.feeds)[0][: len(want)], want)
        self.cameo.bind(self.feeds)
        limit = LIMITS[self.row.precision]
        self.result.update(error=worst, cosine=cosine, agrees=bool(worst <= limit[0] and cosine >= limit[1]))
        if not self.result["agrees"] and self.row.precision == "fp16":
            rounded, _ = difference(self.reference(rounded_to_float16(path), threads), want)
            self.result.update(rounding_error=rounded, agrees=bool(worst <= rounded))

    def measure(self):
        order, times = list(self.engines), {e: [] for e in self.engines}
        for call in self.engines.values():
            for _ in range(5):
                call()
        for _ in range(ROUNDS):
            for engine in order:
                times[engine].append(median_ms(self.engines[engine], ROUND_SECONDS))
            order = order[1:] + order[:1]
        for engine in order:
            self.result[f"{engine}_ms"] = statistics.median(times[engine])
        if len(order) > 1:
            self.result["ratio"] = statistics.median(min(times[e][i] for e in order if e != "cameo") / times["cameo"][i] for i in range(ROUNDS))
        self.result["copied_bytes"] = sum(v.nbytes for v in self.feeds.values()) + sum(a.nbytes for a in self.cameo.run(self.feeds))
        if "gflop" in self.result:
            self.result["weight_bytes"] = self.weights * (2 if self.row.precision == "fp16" else 4)
        return self.result


def main():
    job = json.loads(sys.argv[1])
    if "row" not in job:
        print("RESULT", json.dumps(machine()), flush=True)
        return 0
    row = next(r for r in compare.rows() if r.name == job["row"])
    prepared = Prepared(row, job)
    print("READY", flush=True)
    if sys.stdin.readline():
        print("RESULT", json.dumps(prepared.measure()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
