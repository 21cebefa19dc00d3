#!/usr/bin/env python3
"""Encoding speed of Cameo's tokenizer beside the PyPI package `tokenizers`, one thread each.

  compare.py BENCH_TOKENIZER TOKENIZER_JSON... [--trained] [--text FILE]... [--rounds N] [--out STEM]

Files are called by the folder they lie in. With --trained a Unigram and a Metaspace BPE of 16,000 entries are trained on the
texts and measured too. The texts are paragraphs of the files given with --text, or of the sources and documents of this repository, cut to at most
2,000 characters, and as many made-up ones in several scripts. Both run in turns; the least processor time counts. "everything" is
`encode` with tokens, offsets, words and masks, as the package always gives them; "ids" is the package's
`encode_batch_fast`, which leaves out offsets. Both must give the same ids. Writes STEM.md and STEM.json.
"""
import argparse
import glob
import json
import os
import platform
import random
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "0"
import tokenizers  # noqa: E402  (after the variable that it reads)

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
WORDS = """Привет мир как дела сегодня Γειά σου Κόσμε τι κάνεις naïve café déjà vu Straße größer über Ångström señor mañana
こんにちは世界 東京都 日本語の文章 你好世界 今天天气很好 我们 안녕하세요 세계 한국어 नमस्ते दुनिया مرحبا بالعالم שלום עולם สวัสดี 😀 👍🏽 🇩🇪""".split()


def paragraphs(files):
    for path in files:
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError):
            continue
        for part in text.split("\n\n"):
            for start in range(0, len(part), 2000):
                if part[start:start + 2000].strip():
                    yield part[start:start + 2000]


def make_texts(files, limit):
    patterns = ("README.md", "docs/*.md", "src/*/*.md", "src/*/*.cc", "include/cameo/*.h", "tests/*/*.py")
    files = files or sorted(f for p in patterns for f in glob.glob(os.path.join(ROOT, p)))
    english, size = [], 0
    for text in paragraphs(files):
        english.append(text)
        size += len(text)
        if size > limit:
            break
    rng = random.Random(1)
    mixed = [" ".join(rng.choice(WORDS) for _ in range(60)) for _ in range(max(1, size // 1000))]
    return {"source and English": english, "many scripts": mixed}


def train(folder, texts):
    """Trains a Unigram and a Metaspace BPE on the texts; returns their files."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    made = []
    for name, model, trainer in (("trained-unigram", models.Unigram(), trainers.UnigramTrainer(vocab_size=16000, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)),
                                 ("trained-metaspace-bpe", models.BPE(unk_token="<unk>", byte_fallback=True), trainers.BpeTrainer(vocab_size=16000, special_tokens=["<unk>"] + [f"<0x{b:02X}>" for b in range(256)], show_progress=False))):
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        tokenizer.train_from_iterator(texts, trainer)
        os.mkdir(os.path.join(folder, name))
        made.append(os.path.join(folder, name, "tokenizer.json"))
        tokenizer.save(made[-1])
    return made


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())


def time_package(tokenizer, texts):
    start = time.thread_time()
    for text in texts:
        tokenizer.encode(text)
    middle = time.thread_time()
    tokenizer.encode_batch_fast(texts)
    return {"everything": middle - start, "ids": time.thread_time() - middle}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench_tokenizer")
    parser.add_argument("tokenizer_json", nargs="*")
    parser.add_argument("--trained", action="store_true", help="train two tokenizers and measure them too")
    parser.add_argument("--out", help="write STEM.md and STEM.json")
    parser.add_argument("--text", action="append", default=[], help="a UTF-8 file to take texts from")
    parser.add_argument("--limit", type=int, default=1_000_000, help="characters to encode (default: 1000000)")
    parser.add_argument("--rounds", type=int, default=3, help="times that both run in turn (default: 3)")
    options = parser.parse_args()
    folder = tempfile.TemporaryDirectory()
    text_sets = make_texts(options.text, options.limit)
    paths = options.tokenizer_json + (train(folder.name, sum(text_sets.values(), [])) if options.trained else [])
    result = {"cpu": cpu_name(), "tokenizers": tokenizers.__version__, "rounds": options.rounds, "rows": []}
    lines = [f"One thread of {result['cpu']}, beside tokenizers {tokenizers.__version__}; MB/s, least processor time of {options.rounds} rounds.", "",
             "| tokenizer | texts | everything: package | Cameo | ratio | ids: package | Cameo | ratio |", "|---|---|---:|---:|---:|---:|---:|---:|"]
    print("\n".join(lines))
    for path in paths:
        tokenizer = tokenizers.Tokenizer.from_file(path)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        for kind, texts in text_sets.items():
            encoded = [text.encode() for text in texts]
            megabytes = sum(map(len, encoded)) / 1e6
            theirs = {"everything": 1e30, "ids": 1e30}
            ours = dict(theirs)
            with tempfile.NamedTemporaryFile() as file:
                file.write(b"".join(struct.pack("<I", len(e)) + e for e in encoded))
                file.flush()
                for _ in range(options.rounds):
                    for key, seconds in time_package(tokenizer, texts).items():
                        theirs[key] = min(theirs[key], seconds)
                    done = subprocess.run([options.bench_tokenizer, path, file.name, "2"], capture_output=True, text=True, check=False)
                    if done.returncode != 0:
                        sys.exit(done.stderr)
                    report = json.loads(done.stdout)
                    for key in ours:
                        ours[key] = min(ours[key], report[f"{key}_seconds"])
            if report["sum"] != sum(sum(tokenizer.encode(text).ids) for text in texts):
                sys.exit(f"{path}: the ids differ")
            name = os.path.basename(os.path.dirname(os.path.abspath(path)))
            row = {"tokenizer": name, "texts": kind, "megabytes": megabytes}
            for key in ("everything", "ids"):
                row[key] = {"tokenizers_mb_s": megabytes / theirs[key], "cameo_mb_s": megabytes / ours[key], "ratio": theirs[key] / ours[key]}
            result["rows"].append(row)
            cells = [f"{row[key][k]:.2f}" for key in ("everything", "ids") for k in ("tokenizers_mb_s", "cameo_mb_s", "ratio")]
            lines.append(f"| {name} | {kind}, {megabytes:.2f} MB | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    result["least_ratio"] = min(row[key]["ratio"] for row in result["rows"] for key in ("everything", "ids"))
    lines += ["", f"Least ratio: {result['least_ratio']:.2f}"]
    print("\n".join(lines[-2:]))
    if options.out:
        with open(options.out + ".md", "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        with open(options.out + ".json", "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
