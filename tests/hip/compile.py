#!/usr/bin/env python3
"""Compiles what of the GPU backend is ported to HIP: the host's part with the C++ compiler, the kernels with hipcc.

  compile.py --source-dir DIR [--compiler c++] [--arch gfx90a …]

Prints SKIPPED where hipcc is not installed. An architecture whose device library hipcc lacks is named and left out.
"""
import argparse
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import tempfile


def call(command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source-dir", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", default="c++")
    parser.add_argument("--arch", action="append")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    hipcc = shutil.which("hipcc") or shutil.which("/opt/rocm/bin/hipcc")
    headers = next((p for p in (pathlib.Path("/usr/include"), pathlib.Path("/opt/rocm/include")) if (p / "hip/hip_runtime_api.h").exists()), None)
    if not hipcc or not headers:
        print("SKIPPED: hipcc is not installed")
        return 0
    folder = options.source_dir / "src/backends/cuda"
    flags = ["-std=c++20", "-DCAMEO_HIP", f"-I{options.source_dir / 'include'}", f"-I{options.source_dir / 'src'}"]
    system = [] if headers == pathlib.Path("/usr/include") else ["-isystem", headers]
    with tempfile.TemporaryDirectory() as work:
        offload = []
        for arch in options.arch or ["gfx90a", "gfx1030", "gfx1100"]:
            if call([hipcc, "-x", "hip", f"--offload-arch={arch}", "-c", "/dev/null", "-o", f"{work}/probe.o"]).returncode == 0:
                offload.append(f"--offload-arch={arch}")
            else:
                print(f"hipcc has no device library for {arch}: left out")
        if not offload:
            print("hipcc compiles for none of them")
            return 1

        def compile_one(name):
            if name.endswith(".cu"):
                return name, call([hipcc, "-x", "hip", *offload, "-O2", *flags, "-c", folder / name, "-o", f"{work}/{pathlib.Path(name).name}.o"])
            return name, call([options.compiler, "-fsyntax-only", "-D__HIP_PLATFORM_AMD__", *flags, *system, folder / name])

        failed = 0
        names = (folder / "hip/ported.txt").read_text().split()
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for name, done in pool.map(compile_one, names):
                if done.returncode != 0:
                    failed += 1
                    print(f"FAIL {name}: {done.stderr.strip()[:1500]}")
        print(f"HIP: {len(names) - failed} of {len(names)} sources compile, for {', '.join(o.split('=')[1] for o in offload)}")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
