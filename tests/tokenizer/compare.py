#!/usr/bin/env python3
"""Compares Cameo's tokenizer with the PyPI package `tokenizers` on generated strings.

  compare.py ENCODE_LINES TOKENIZER_JSON [--count N] [--seed S] [--json]

Strings in many scripts, emoji, combining marks, every kind of white space, digits and control characters, code, very
long words, special tokens inside text, and every assigned code point, are encoded by both, with and without special
tokens; their ids, and lists of ids that mean nothing, are decoded by both. Any difference is shown, with the string
that repeats it, and the exit status is 1.
"""
import argparse
import json
import random
import struct
import subprocess
import sys
import time
import unicodedata

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
    while len(strings) < count:
        strings.append("".join(pieces(rng, specials) for _ in range(rng.choice([1, 2, 3, 5, 8, 13, 30]))))
    return strings


def ask(program, path, requests):
    """Sends requests to the program; returns the answers and its times."""
    body = bytearray()
    for kind, flags, data in requests:
        size = len(data) if kind == "e" else len(data) // 4
        body += kind.encode() + struct.pack("<II", flags, size) + data
    done = subprocess.run([program, path], input=bytes(body), capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{program} failed with {done.returncode}: {done.stderr.decode(errors='replace')}")
    out, at, answers = done.stdout, 0, []
    for kind, _, _ in requests:
        status, size = struct.unpack_from("<BI", out, at)
        at += 5
        if kind == "e" and status == 0:
            answers.append(list(struct.unpack_from(f"<{size}I", out, at)))
            at += 4 * size
        else:
            text = out[at:at + size].decode(errors="surrogateescape")
            answers.append(text if status == 0 else RuntimeError(text))
            at += size
    return answers, json.loads(done.stderr)


def summarize(line, path):
    print(line)
    if path:
        with open(path, "w", encoding="utf-8") as file:
            file.write(line + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encode_lines")
    parser.add_argument("tokenizer_json")
    parser.add_argument("--count", type=int, default=100000, help="number of strings (default: 100000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--summary", help="write the last line to this file too")
    options = parser.parse_args()

    theirs = tokenizers.Tokenizer.from_file(options.tokenizer_json)
    specials = [token.content for token in theirs.get_added_tokens_decoder().values()]
    strings = make_strings(options.count, options.seed, specials)
    rng = random.Random(options.seed + 1)

    expected, requests, shown = [], [], []
    encode_seconds = decode_seconds = 0.0
    known = [i for i in range(theirs.get_vocab_size() + 100) if theirs.id_to_token(i) is not None]
    for i, text in enumerate(strings):
        start = time.thread_time()
        ids = theirs.encode(text).ids
        encode_seconds += time.thread_time() - start
        plain = theirs.encode(text, add_special_tokens=False).ids if i % 4 == 0 else None
        start = time.thread_time()
        back = theirs.decode(ids, skip_special_tokens=False)
        decode_seconds += time.thread_time() - start
        packed = struct.pack(f"<{len(ids)}I", *ids)
        cases = [("e", 1, text.encode(), ids), ("d", 0, packed, back), ("d", 1, packed, theirs.decode(ids))]
        if plain is not None:
            cases.append(("e", 0, text.encode(), plain))
        if i % 2 == 0:  # ids that no text gives
            random_ids = [rng.choice(known) for _ in range(rng.randint(1, 12))]
            cases.append(("d", i // 2 % 2, struct.pack(f"<{len(random_ids)}I", *random_ids),
                          theirs.decode(random_ids, skip_special_tokens=bool(i // 2 % 2))))
        for kind, flags, data, answer in cases:
            requests.append((kind, flags, data))
            expected.append(answer)
            shown.append(text)

    answers, times = ask(options.encode_lines, options.tokenizer_json, requests)
    differences = 0
    for (kind, flags, data), mine, wanted, text in zip(requests, answers, expected, shown):
        if isinstance(mine, RuntimeError) or mine != wanted:
            differences += 1
            if differences <= 10:
                request = ascii(text) if kind == "e" else list(struct.unpack(f"<{len(data) // 4}I", data))
                print(f"{'encode' if kind == 'e' else 'decode'} (flags {flags}) {request}\n  cameo      {mine!r}\n  tokenizers {wanted!r}",
                      file=sys.stderr)
    megabytes = sum(len(s.encode()) for s in strings) / 1e6
    # Cameo's encoding time is over the encodings with and without special tokens.
    report = {
        "tokenizer": options.tokenizer_json, "tokenizers_version": tokenizers.__version__, "strings": len(strings), "megabytes": round(megabytes, 2),
        "comparisons": len(requests), "differences": differences,
        "encode_mb_per_s": {"cameo": round(times["encoded_bytes"] / 1e6 / times["encode_seconds"], 2),
                            "tokenizers": round(megabytes / encode_seconds, 2)},
        "load_seconds": round(times["load_seconds"], 3),
    }
    if options.json:
        print(json.dumps(report))
    else:
        speed = report["encode_mb_per_s"]
        summarize(f"tokenizer: {len(strings)} strings ({megabytes:.1f} MB), {len(requests)} comparisons, {differences} differences; "
                  f"encoding {speed['cameo']} MB/s, the package {speed['tokenizers']} MB/s", options.summary)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
