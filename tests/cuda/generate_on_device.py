#!/usr/bin/env python3
"""Generates text on a GPU and on the CPU, and compares the tokens.

  generate_on_device.py --cameo build/cameo --work DIR [--jobs N] [NAME…]

NAME is tiny-gpt2 (in ../../models) or a language model of ../models, with drawn weights; all are read with tiny-gpt2's tokenizer.
In float32 every token must be the CPU's: greedy with one row and several of different lengths, drawn, with penalties, by beam search;
but where tokens are drawn among nearly all words, of which many are about as likely, every token must be the one that the host draws
from the GPU's logits. In float16 log-probabilities must be close until the tokens part. Prints SKIPPED where there is no GPU.
"""
import json
import shutil
import sys

from on_device import ROOT, call, check_all, parser

TINY = ROOT / "models" / "tiny-gpt2"
NAMES = ["tiny-gpt2", "distilgpt2", "distilgpt2-with-past", "smollm2-135m-with-past", "qwen2-4l-with-past"]

SHORT, LONG = "In the beginning", "And the LORD spake unto Moses, saying, Speak unto the children of Israel, and say unto them, When ye are come into the land"
MANY = [SHORT, "The", "And it came to pass in those days", LONG, "He said", "The LORD is my shepherd; I shall not want", "Behold, I", "Of the sons of Judah"]


def flags(*prompts):
    return [x for p in prompts for x in ("--prompt", p)]


# What to run, and how many tokens.
CASES = {
    "one short row": (flags(SHORT), ["--greedy"], 32),
    "one long row": (flags(LONG), ["--greedy"], 32),
    "eight rows": (flags(*MANY), ["--greedy"], 20),
    "eight short rows": (flags(*[m[:12] for m in MANY]), ["--greedy"], 12),
    "forty rows": (flags(*(MANY * 5)), ["--greedy"], 6),
    "logits": (flags(MANY[0], MANY[5]), ["--greedy", "--logprobs"], 12),
    "drawn": (flags(*MANY[:4]), ["--temperature", "0.9", "--top-k", "20", "--seed", "5", "--repetition-penalty", "1.2"], 16),
    "drawn, top-p": (flags(*MANY), ["--temperature", "0.7", "--top-p", "0.4", "--min-p", "0.05", "--seed", "9", "--frequency-penalty", "0.3"], 16),
    "drawn, forty rows": (flags(*(MANY * 5)), ["--temperature", "1", "--top-k", "5", "--top-p", "0.8", "--seed", "3", "--presence-penalty", "0.5"], 6),
    "greedy, penalties": (flags(*[m[:12] for m in MANY[:3]]), ["--greedy", "--repetition-penalty", "1.5", "--logit-bias", "5:3", "--logit-bias", "7:-inf"], 24),
    "drawn of all": (flags(*MANY[:3]), ["--temperature", "1", "--seed", "21"], 24),
    "drawn of many": (flags(*MANY), ["--temperature", "1.5", "--top-p", "0.95", "--seed", "11"], 24),
    "beams": (flags(*MANY[:2]), ["--num-beams", "3"], 10),
}
OF_MANY = ["drawn, top-p", "drawn of all", "drawn of many"]
DRAWN = [case for case in CASES if case.startswith("drawn")] + ["greedy, penalties"]


def generate(cameo, plan, case, *more):
    prompts, extra, count = CASES[case]
    made = json.loads(call(cameo, "generate", plan, "--tokenizer", TINY / "tokenizer.json", *prompts, *extra, *more, "--max-new-tokens", count, "--ignore-eos", "--json"))
    rows = made.get("completions", [made])
    if made["mode"] != "cached":
        raise ValueError(f"it ran in mode {made['mode']}")
    return [r["token_ids"] for r in rows], [r.get("log_probabilities") for r in rows]


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def check(name, args):
    work = args.work / name
    lines = []
    try:
        work.mkdir(parents=True, exist_ok=True)
        if name == "tiny-gpt2":
            model = TINY / "model.onnx"
        else:
            import fill_weights
            model = fill_weights.fill(name, work)
        call(args.cameo, "build", model, "-o", work / "cpu.plan", "--kv-cache=on", "--opt-level", "0")
        for precision in ("fp32", "fp16"):
            call(args.cameo, "build", model, "-o", work / f"{precision}.plan", "--kv-cache=on", "--device", "cuda", *([] if precision == "fp32" else ["--fp16"]))
    except (ValueError, OSError) as problem:
        return [(False, f"FAIL {name}: {problem}")]
    for case in CASES:
        try:
            want, want_log = generate(args.cameo, work / "cpu.plan", case)
        except ValueError as problem:
            lines.append((False, f"FAIL {name} {case} on the CPU: {problem}"))
            continue
        for precision in ("fp32", "fp16"):
            try:
                got, got_log = generate(args.cameo, work / f"{precision}.plan", case)
                same = [first_difference(a, b) for a, b in zip(got, want)]
                text = f"{sum(same)} of {sum(map(len, want))} tokens up to the first difference in each row"
                off = max((abs(x - y) for n, a, b in zip(same, got_log, want_log) if a for x, y in zip(a[:n], b[:n])), default=0)
                good = off <= (1e-3 if precision == "fp32" else 5e-2)
                if precision == "fp32" and case in DRAWN:
                    by_host, _ = generate(args.cameo, work / "fp32.plan", case, "--logprobs")  # has the logits copied back
                    alike = [first_difference(a, b) for a, b in zip(got, by_host)]
                    text += f", {sum(alike)} as the host draws them"
                    good = good and got == by_host
                if precision == "fp32" and case not in OF_MANY:
                    good = good and got == want
                lines.append((good, f"{'ok  ' if good else 'FAIL'} {name} {precision} {case}: {text}" + (f", log-probabilities off by {off:.1e}" if want_log[0] else "")))
            except ValueError as problem:
                lines.append((False, f"FAIL {name} {precision} {case}: {problem}"))
    shutil.rmtree(work, ignore_errors=True)
    return lines


def main():
    args = parser(__doc__, 2, "models; all of " + ", ".join(NAMES)).parse_args()
    return check_all(args, args.names or NAMES, lambda name: check(name, args), "generation")


if __name__ == "__main__":
    sys.exit(main())
