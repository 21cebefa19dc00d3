"""Outputs as a few numbers: what expected.json keeps of each, and how an output is compared with it."""
import zlib

import numpy as np

TOLERANCE = 1e-3  # of the largest magnitude in the expected output


def _positions(name, size, count):
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) + size))
    return np.sort(rng.choice(size, min(count, size), replace=False))


def _checksum(array):
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def _round(value):
    return float(f"{value:.7g}")


def summarize(name, array, samples):
    """What is kept of an output: up to `samples` elements at positions that follow from its name and size."""
    entry = {"shape": list(array.shape), "dtype": array.dtype.name}
    flat = array.reshape(-1)
    picked = flat[_positions(name, flat.size, samples)]
    if np.issubdtype(array.dtype, np.floating):
        wide = flat.astype(np.float64)
        if not np.isfinite(wide).all():
            raise ValueError(f"{name} has elements that are not finite")
        entry |= {k: _round(f(wide)) if flat.size else 0.0 for k, f in (("max", lambda a: np.abs(a).max()), ("mean", np.mean), ("std", np.std))}
        entry["samples"] = [_round(v) for v in picked]
    else:
        entry["checksum"] = _checksum(array)
        entry["samples"] = [int(v) for v in picked]
    return entry


def compare(name, array, entry):
    """The worst error relative to the largest expected magnitude (0 for other types); raises ValueError that says what differs."""
    if array.dtype.name != entry["dtype"]:
        raise ValueError(f"{name}: type {array.dtype.name} instead of {entry['dtype']}")
    if list(array.shape) != entry["shape"]:
        raise ValueError(f"{name}: shape {list(array.shape)} instead of {entry['shape']}")
    flat = array.reshape(-1)
    picked = flat[_positions(name, flat.size, len(entry["samples"]))]
    if not np.issubdtype(array.dtype, np.floating):
        if _checksum(array) != entry["checksum"]:
            wrong = np.flatnonzero(picked != np.array(entry["samples"]))
            raise ValueError(f"{name}: values differ ({wrong.size} of {picked.size} samples)")
        return 0.0
    wide = flat.astype(np.float64)
    if not np.isfinite(wide).all():
        raise ValueError(f"{name}: {np.count_nonzero(~np.isfinite(wide))} elements are not finite")
    if flat.size == 0 or entry["max"] == 0:
        return float(np.abs(wide).max(initial=0))
    errors = {
        "a sample": np.abs(picked - np.array(entry["samples"])).max(),
        "the largest magnitude": abs(np.abs(wide).max() - entry["max"]),
        "the mean": abs(wide.mean() - entry["mean"]),
        "the standard deviation": abs(wide.std() - entry["std"]),
    }
    what, worst = max(errors.items(), key=lambda item: item[1])
    worst /= entry["max"]
    if worst > TOLERANCE:
        raise ValueError(f"{name}: {what} is off by {worst:.2e} of the largest magnitude ({TOLERANCE:g} allowed)")
    return worst
