#!/usr/bin/env python3
"""Computes expected.json with ONNX Runtime (tests/requirements-regenerate.txt).

  make_expected.py [NAME...]    all models, or these; the others keep what they have
"""
import json
import pathlib
import sys
import tempfile

import onnxruntime

import fill_weights
import inputs
import summary

EXPECTED = pathlib.Path(__file__).parent / "expected.json"
SAMPLES_FIRST = 256  # of a model's first output
SAMPLES_OTHER = 24   # of each further one, such as keys and values


def expected_of(name, folder):
    path = fill_weights.fill(name, folder)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    output_names = [output.name for output in session.get_outputs()]
    cases = {}
    for label, feeds in inputs.input_sets(name, fill_weights.read_graph(name)):
        values = session.run(output_names, feeds)
        cases[label] = {
            output: summary.summarize(output, value, SAMPLES_OTHER if i else SAMPLES_FIRST)
            for i, (output, value) in enumerate(zip(output_names, values))
        }
    return cases


def main(chosen):
    everything = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    for name in chosen or fill_weights.names():
        with tempfile.TemporaryDirectory() as folder:
            everything[name] = expected_of(name, folder)
        first = {label: next(iter(outputs.values())) for label, outputs in everything[name].items()}
        print(name, {label: (entry["shape"], entry.get("max")) for label, entry in first.items()}, flush=True)
    # One output a line.
    lines = ["{"]
    for i, name in enumerate(sorted(everything)):
        lines.append(f"{',' if i else ''}{json.dumps(name)}: {{")
        for j, (label, outputs) in enumerate(everything[name].items()):
            lines.append(f"{',' if j else ''}{json.dumps(label)}: {{")
            lines += [f"{',' if k else ''}{json.dumps(o)}: {json.dumps(e, separators=(',', ':'))}" for k, (o, e) in enumerate(outputs.items())]
            lines.append("}")
        lines.append("}")
    lines.append("}")
    EXPECTED.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
