#!/usr/bin/env python3
"""Compares Cameo's tokenizer with the PyPI package `tokenizers` on generated strings.

  compare.py ENCODE_LINES [TOKENIZER_JSON...] [--trained] [--count N] [--seed S]

Strings in many scripts, emoji, combining marks, every kind of white space, digits and control characters, code, very
long words, special tokens inside text, and every assigned code point, are encoded by both, with and without special
tokens, in pairs and in batches; ids, tokens, offsets, words, segments, masks and what truncation takes off are compared.
Their ids, and lists of ids that mean nothing, are decoded by both. Any difference is shown, with the string that repeats
it, and the exit status is 1.
"""
import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

import numpy as np

try:
    import tokenizers
except ImportError:
    sys.exit("compare.py needs the Python package tokenizers")

SPACES = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and chr(c).isspace()] + list("\u200b\u2060\ufeff\u180e\u200c\u200d")
DIGITS = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Nd", "Nl", "No")]
MARKS = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Mn", "Mc", "Me")]
PUNCTUATION = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c))[0] in "PS"]
CONTROLS = [chr(c) for c in [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A),
                             0xFFF9, 0xFFFD, 0xFFFE, 0xFFFF, 0xE000, 0xF8FF, 0x10FFFF, 0xE0001, 0xE0061]]
# First and last code points of blocks of many scripts.
SCRIPTS = [(0x41, 0x7A), (0xC0, 0x17F), (0x180, 0x24F), (0x250, 0x2AF), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x58F), (0x590, 0x5F4),
           (0x600, 0x6FF), (0x700, 0x74F), (0x780, 0x7BF), (0x7C0, 0x7FA), (0x900, 0x97F), (0x980, 0x9FE), (0xA00, 0xA76),
           (0xA80, 0xAFF), (0xB00, 0xB77), (0xB80, 0xBFA), (0xC00, 0xC7F), (0xC80, 0xCF2), (0xD00, 0xD7F), (0xD80, 0xDF4),
           (0xE01, 0xE5B), (0xE80, 0xEDF), (0xF00, 0xFDA), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x139F),
           (0x13A0, 0x13FD), (0x1400, 0x167F), (0x1780, 0x17F9), (0x1800, 0x18AA), (0x1E00, 0x1EFF), (0x1F00, 0x1FFE),
           (0x2000, 0x206F), (0x2100, 0x218B), (0x2190, 0x23FF), (0x2460, 0x24FF), (0x3040, 0x30FF), (0x3100, 0x312F),
           (0x3130, 0x318E), (0x4E00, 0x9FFF), (0xA000, 0xA4C6), (0xAC00, 0xD7A3), (0xF900, 0xFAD9), (0xFB00, 0xFDFF),
           (0xFE70, 0xFEFC), (0xFF00, 0xFFEE), (0x10300, 0x1034A), (0x10400, 0x1049D), (0x12000, 0x12399), (0x1D400, 0x1D7FF),
           (0x1E900, 0x1E95F), (0x1F100, 0x1F1FF), (0x1F300, 0x1F6FF), (0x1F900, 0x1FAFF), (0x20000, 0x2A6DF)]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "🇯🇵🇺", "☂️", "☂︎", "1️⃣", "🧑🏿‍🚀", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "❤️‍🔥", "🫠", "©®™"]
WORDS = """the of and to in is it's don't we're they've I'll he'd I'm 'S 'T 'RE it’s Hello HELLO hello World tokenization antidisestablishmentarianism
GPT-2 naïve café façade Ünïcödé straße İstanbul ıI ǅ ﬁnance ﬀ Ａｂｃ １２３ 3.14159 1,000,000 0xDEADBEEF 2024-01-31 12:34:56 user@example.com
https://example.com/a?b=c&d=e#f C++ C# don''t 'tis ''s 's 't 'll x's x'll's Привет мир Γειά σου Κόσμε שלום עולם مرحبا بالعالم नमस्ते दुनिया 你好世界 こんにちは世界 안녕하세요 สวัสดีชาวโลก
ｶﾞ ガ が が é é ñ ñ Å Å Å ½ ² Ⅷ ⑨ ௧௨௩ ١٢٣ ۴۵۶ १२३ \\ud83d \\udc00 \\xff � ?? \x00 \x7f""".split(" ")
CODE = ["for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];\n}\n", "def f(x):\n    return x ** 2  # square\n\n", "<div class=\"a\">&nbsp;</div>\r\n",
        "SELECT * FROM t WHERE a='b''c';", "{\"k\": [1, 2.5e-3, null]}", "\t\t  \n \n\n  x", "#!/bin/sh\necho \"$HOME\" | sed 's/a/b/g'\n", "a->b::c<d>&&e||!f"]


def pieces(rng, specials):
    """One short random piece of text."""
    kind = rng.randrange(16)
    if kind == 0:
        first, last = rng.choice(SCRIPTS)
        return "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 12)))
    if kind == 1:
        return "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 5)))
    if kind == 2:
        return "".join(rng.choice(DIGITS) for _ in range(rng.randint(1, 6)))
    if kind == 3:
        return rng.choice("aeouAnκи") + "".join(rng.choice(MARKS) for _ in range(rng.randint(1, 5)))
    if kind == 4:
        return rng.choice(EMOJI) * rng.randint(1, 2)
    if kind == 5:
        return rng.choice(CODE)
    if kind == 6:
        return "".join(rng.choice(PUNCTUATION) for _ in range(rng.randint(1, 4)))
    if kind == 7:
        return rng.choice(CONTROLS)
    if kind == 8 and specials:
        token = rng.choice(specials)
        return rng.choice([token, token[:-1], " " + token + " ", token + token, token.upper(), "a" + token + "b"])
    if kind == 9:
        return rng.choice([" ", "  ", "   ", "\n", "\n\n", "\t", " \n ", "\r\n", "\u00a0", "\u3000 "])
    if kind == 10:
        c = 0xD800
        while 0xD800 <= c < 0xE000:
            c = rng.randrange(0x110000)
        return chr(c)
    if kind == 11:
        return "'" + rng.choice(["s", "t", "re", "ve", "m", "ll", "d", "S", "x", "", "ſ"])
    if kind == 12:
        return rng.choice("abcxyz0 .-_=") * rng.randint(1, 40)
    return rng.choice(["", " "]) + rng.choice(WORDS)


def make_strings(count, seed, specials):
    rng = random.Random(seed)
    strings = ["", " ", "  ", "a", "\n", "\u0000", "\ufeff", "�" * 3]
    # Every code point but the surrogates, between letters, after a space, and in runs.
    assigned = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    known = [c for c in assigned if unicodedata.category(chr(c)) not in ("Cn", "Co") or c % 64 == 0]
    for i in range(0, len(known), 24):
        strings.append("".join(f" {chr(c)}a{chr(c)}1" for c in known[i:i + 24]))
    for i in range(0, len(assigned), 512):
        strings.append("".join(map(chr, assigned[i:i + 512])))
    for c in SPACES:
        strings += [c, c * 3, f"a{c}b", f"a{c}{c}b", f" {c} {c}b", f"{c}\n{c}", f"{c} 1{c}"]
    for c in DIGITS:
        strings.append(f"a{c} {c}{c}1")
    for word in ["a", "ab", "é", "中", "😀", " ", "\n", "1", "!", "'s", "aB1 "]:
        for length in (100, 1000, 20000):
            strings.append(word * length)
    if count < len(strings):  # a sample of these, and as many of the others
        strings = rng.sample(strings, count // 2)
    while len(strings) < count:
        strings.append("".join(pieces(rng, specials) for _ in range(rng.choice([1, 2, 3, 5, 8, 13, 30]))))
    return strings


def encode_request(texts, flags):
    """A request of encode_lines.cc for texts, or for the texts of pairs one after the other."""
    data = [text.encode() for text in texts]
    return b"e" + struct.pack("<II", flags, len(data)) + b"".join(struct.pack("<I", len(d)) + d for d in data)


def decode_request(ids, skip):
    return b"d" + struct.pack(f"<II{len(ids)}I", int(skip), len(ids), *ids)


def pack(encoding, overflowing=True):
    """An encoding of the package as encode_lines.cc writes it."""
    def numbers(values):
        return np.array(values, dtype=np.uint32).tobytes()
    ids = encoding.ids
    out = struct.pack("<I", len(ids)) + numbers(ids)
    tokens = b"\xff".join(t.encode() for t in encoding.tokens)
    words = [0xFFFFFFFF if w is None else w for w in encoding.word_ids]
    out += numbers(encoding.type_ids) + numbers(encoding.special_tokens_mask) + numbers(encoding.attention_mask) + numbers(words)
    out += numbers(encoding.offsets) + struct.pack("<I", len(tokens)) + tokens
    # In the package some overflowing parts hold others again.
    more = encoding.overflowing if overflowing else []
    return out + struct.pack("<I", len(more)) + b"".join(pack(o, False) for o in more)


def unpack(data):
    """What pack() and encode_lines.cc write, as dictionaries to show."""
    at = 0

    def numbers(count):
        nonlocal at
        at += 4 * count
        return list(struct.unpack_from(f"<{count}I", data, at - 4 * count))

    def one():
        nonlocal at
        count = numbers(1)[0]
        out = {"ids": numbers(count)}
        for key in ("type_ids", "special", "attention", "words"):
            out[key] = numbers(count)
        flat = numbers(2 * count)
        out["offsets"] = list(zip(flat[::2], flat[1::2]))
        size = numbers(1)[0]
        out["tokens"] = [t.decode(errors="replace") for t in data[at:at + size].split(b"\xff")]
        at += size
        out["overflowing"] = [one() for _ in range(numbers(1)[0])]
        return out

    out = []
    while at < len(data):
        out.append(one())
    return out


def first_difference(mine, theirs):
    """Says in a line or two where two answers differ."""
    for i, (a, b) in enumerate(zip(mine, theirs)):
        for key in b:
            if a[key] != b[key]:
                if key == "overflowing" and len(a[key]) == len(b[key]):
                    return f"overflowing: {first_difference(a[key], b[key])}"
                place = next((k for k, (x, y) in enumerate(zip(a[key], b[key])) if x != y), min(len(a[key]), len(b[key])))
                around = slice(max(0, place - 3), place + 4)
                return (f"encoding {i}, {key} from {place} (of {len(a[key])} and {len(b[key])})\n  cameo      {ascii(a[key][around])[:200]}\n"
                        f"  tokenizers {ascii(b[key][around])[:200]}\n  its tokens {ascii(b['tokens'][around])[:200]}")
    return f"{len(mine)} encodings instead of {len(theirs)}"


def ask(program, path, requests):
    """Sends requests to the program; returns the answers and its times."""
    done = subprocess.run([program, path], input=b"".join(requests), capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{program} failed with {done.returncode}: {done.stderr.decode(errors='replace')}")
    out, at, answers = done.stdout, 0, []
    for _ in requests:
        status, size = struct.unpack_from("<BI", out, at)
        at += 5
        body = out[at:at + size]
        answers.append(body if status == 0 else RuntimeError(body.decode(errors="replace")))
        at += size
    return answers, json.loads(done.stderr)


class Comparison:
    """Collects requests with the package's answers, asks encode_lines and counts differences."""

    def __init__(self, program, path):
        self.program, self.path, self.tokenizer = program, path, tokenizers.Tokenizer.from_file(path)
        self.cases = []
        self.comparisons = self.differences = self.panics = 0
        self.shown = []
        self.times = {}

    def encode(self, texts, special=True, pairs=False):
        """Compares the encoding of a text, a pair, or of several as a batch."""
        inputs = list(zip(texts[::2], texts[1::2])) if pairs else texts
        try:
            if len(inputs) == 1:
                args = inputs[0] if pairs else inputs
                encodings = [self.tokenizer.encode(*args, add_special_tokens=special)]
            else:
                encodings = self.tokenizer.encode_batch(inputs, add_special_tokens=special)
        except BaseException as problem:  # the package itself fails on some texts, with a PanicException or an error
            if isinstance(problem, KeyboardInterrupt):
                raise
            self.panics += 1
            self.cases.append((encode_request(texts, int(special) | 2 | (4 if pairs else 0)), None, texts))
            return None
        flags = int(special) | 2 | (4 if pairs else 0)
        self.cases.append((encode_request(texts, flags), b"".join(map(pack, encodings)), texts))
        return encodings[0].ids

    def decode(self, ids, skip):
        try:
            text = self.tokenizer.decode(ids, skip_special_tokens=skip)
        except BaseException as problem:
            if isinstance(problem, KeyboardInterrupt):
                raise
            self.panics += 1
            return
        self.cases.append((decode_request(ids, skip), text.encode(errors="surrogatepass"), ids))

    def run(self):
        """Asks encode_lines for what was collected. Where the package failed, any answer but a crash is right."""
        answers, times = ask(self.program, self.path, [c[0] for c in self.cases])
        for key, value in times.items():
            self.times[key] = self.times.get(key, 0) + value
        for (request, wanted, shown), mine in zip(self.cases, answers):
            if wanted is None:
                continue
            self.comparisons += 1
            if mine == wanted:
                continue
            self.differences += 1
            if len(self.shown) < 10:
                kind = "encode" if request[:1] == b"e" else "decode"
                line = f"{kind} (flags {request[1]}) {ascii(shown)[:300]}"
                if isinstance(mine, RuntimeError):
                    line += f"\n  cameo      error: {mine}"
                elif kind == "encode":
                    line += "\n  " + first_difference(unpack(mine), unpack(wanted))
                else:
                    line += f"\n  cameo      {ascii(mine)[:300]}\n  tokenizers {ascii(wanted)[:300]}"
                self.shown.append(line)
                print(line, file=sys.stderr)
        self.cases = []

    def add(self, strings, rng):
        """All that is compared of the strings: encodings of texts, pairs and batches, and decoding."""
        known = [i for i in range(self.tokenizer.get_vocab_size() + 100) if self.tokenizer.id_to_token(i) is not None]
        for start in range(0, len(strings), 5000):
            chunk = strings[start:start + 5000]
            for i, text in enumerate(chunk):
                ids = self.encode([text])
                if ids is None:
                    continue
                if i % 4 == 0:
                    self.encode([text], special=False)
                if i % 5 == 0 and len(text) < 2000:
                    self.encode([text, chunk[i - 1][:1000]], special=i % 3 != 0, pairs=True)
                self.decode(ids, False)
                if i % 2 == 0:
                    self.decode(ids, True)
                    self.decode([rng.choice(known) for _ in range(rng.randint(1, 12))], i // 2 % 2 == 0)  # ids that no text gives
            for i in range(0, len(chunk) - 6, 250):
                self.encode(chunk[i:i + 6], pairs=i % 500 == 0)
            self.run()


def summarize(line, path):
    print(line)
    if path:
        with open(path, "w", encoding="utf-8") as file:
            file.write(line + "\n")


def without_settings(path, folder):
    """A copy of the tokenizer without truncation and padding, or the path itself if it has neither."""
    with open(path, encoding="utf-8") as file:
        description = json.load(file)
    if not description.get("truncation") and not description.get("padding"):
        return path
    description["truncation"] = description["padding"] = None
    copy = os.path.join(folder, "tokenizer.json")
    with open(copy, "w", encoding="utf-8") as file:
        json.dump(description, file)
    return copy


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encode_lines")
    parser.add_argument("tokenizer_json", nargs="*")
    parser.add_argument("--trained", action="store_true", help="train small tokenizers of every model and compare them too")
    parser.add_argument("--count", type=int, default=100000, help="number of strings for each tokenizer (default: 100000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--summary", help="write the last line to this file too")
    options = parser.parse_args()

    paths = list(options.tokenizer_json)
    trained_in = tempfile.TemporaryDirectory()
    if options.trained:
        import trained
        corpus = [s for s in make_strings(12000, 3, []) if len(s) < 2000]
        for name, tokenizer in trained.all_trained(corpus):
            paths.append(os.path.join(trained_in.name, name + ".json"))
            tokenizer.save(paths[-1])
    differences = comparisons = panics = 0
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            plain = without_settings(path, folder)
            comparison = Comparison(options.encode_lines, plain)
            specials = [token.content for token in comparison.tokenizer.get_added_tokens_decoder().values()]
            strings = make_strings(options.count, options.seed, specials)
            rng = random.Random(options.seed + 1)
            comparison.add(strings, rng)
            runs = [comparison]
            if plain != path:
                runs.append(Comparison(options.encode_lines, path))
                runs[1].add(strings[::10], rng)
        found = sum(run.differences for run in runs)
        print(f"{path}: {len(strings)} strings, {sum(run.comparisons for run in runs)} comparisons, {found} differences")
        differences += found
        comparisons += sum(run.comparisons for run in runs)
        panics += sum(run.panics for run in runs)
    summarize(f"tokenizer: {len(paths)} files, {len(strings)} strings ({sum(len(s.encode()) for s in strings) / 1e6:.1f} MB), "
              f"{comparisons} comparisons, {differences} differences; the package failed {panics} times", options.summary)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
