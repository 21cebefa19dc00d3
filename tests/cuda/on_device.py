"""What the scripts have in common that run models on a GPU: starting Cameo, skipping where there is no GPU, running plans."""
import argparse
import concurrent.futures
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "models"))


def parser(doc, jobs, what):
    """The arguments --cameo, --work, --jobs and names of `what`."""
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", metavar="NAME", nargs="*", help=what)
    p.add_argument("--cameo", required=True, type=pathlib.Path)
    p.add_argument("--work", required=True, type=pathlib.Path, help="a folder for models, plans and results; what is made there is removed")
    p.add_argument("--jobs", type=int, default=jobs)
    return p


def gpu(cameo):
    """How `cameo devices` names the GPU; None, and SKIPPED is printed, where there is none."""
    probe = subprocess.run([str(cameo), "devices"], capture_output=True, text=True)
    found = next((line.strip() for line in probe.stdout.splitlines() if "cuda" in line), None)
    if found is None:
        print("SKIPPED: no usable GPU:", (probe.stdout + probe.stderr).strip())
    return found


def call(*command, timeout=600, env=None):
    """The standard output of a program; ValueError with its message where it fails."""
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, env=env)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{command[0]} {command[1]} took more than {timeout} s") from None
    if done.returncode != 0:
        raise ValueError((done.stderr or done.stdout).strip()[:1500] or f"exit code {done.returncode}")
    return done.stdout


def run_plan(cameo, plan, feeds, names, folder):
    """The outputs `names` of a plan as arrays by name; inputs and outputs are files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = []
    for k, (name, value) in enumerate(feeds.items()):
        path = folder / f"in{k}.npy"
        np.save(path, value)
        arguments += ["--input", f"{name}={path}"]
    call(cameo, "run", plan, *arguments, "--output-dir", folder)
    return {n: np.load(folder / (n.replace("/", "_").replace(":", "_") + ".npy")) for n in names}


def check_all(args, names, check, title):
    """Runs check(name), which gives (good, line) pairs, for each of the names, and prints the lines and how many are good. The
    exit code. Prints SKIPPED and does nothing where there is no GPU."""
    args.cameo = args.cameo.resolve()
    if gpu(args.cameo) is None:
        return 0
    passed = total = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(check, name) for name in names]):
            for good, line in done.result():
                passed += good
                total += 1
                print(line, flush=True)
    print(f"{title} on the GPU: {passed} of {total} passed")
    return 0 if passed == total else 1
