#!/usr/bin/env python3
"""Writes unicode_tables.inc: what the PyPI package `tokenizers` takes each code point for.

The package gets its Unicode data from five places (Oniguruma, Rust's standard library, the crates regex,
unicode_categories and unicode-normalization-alignments), each with a Unicode version of its own. So the tables are
not taken from the Unicode database but asked from the package itself, one code point at a time.

  make_unicode_tables.py > unicode_tables.inc        (needs: pip install tokenizers)
"""
import base64
import json
import struct
import sys

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
ALL = "".join(map(chr, CODE_POINTS))
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()
SCRIPTS = """Arabic Armenian Bengali Cyrillic Devanagari Ethiopic Georgian Greek Han Hangul Hebrew Hiragana Katakana Khmer Lao
Latin Myanmar Tamil Telugu Thai Tibetan""".split()
POSIX = "alpha alnum digit lower punct space upper".split()


def oniguruma(pattern):
    """The code points that a pattern for one character matches."""
    kept = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(ALL)
    missing = set(map(ord, ALL))
    for text, _ in kept:
        missing.difference_update(map(ord, text))
    return missing


def ranges(code_points):
    """Sorted [first, last] pairs."""
    out = []
    for c in sorted(code_points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def write(declaration, items):
    print(f"{declaration} = {{")
    line = ""
    for item in items:
        if len(line) + len(item) > 138:
            print(line)
            line = ""
        line += item + ","
    if line:
        print(line)
    print("};")


def write_set(name, code_points):
    """A set as [gap, count, gap, count, ...]: gap code points outside, count inside, and so on from 0."""
    items, at = [], 0
    for first, last in ranges(code_points):
        items += [str(first - at), str(last - first + 1)]
        at = last + 1
    write(f"constexpr uint32_t {name}[]", items)


def between_letters(pre_tokenizer):
    """For each code point c, the pieces of "aca"."""
    return {c: [p for p, _ in pre_tokenizer.pre_tokenize_str("a" + chr(c) + "a")] for c in CODE_POINTS}


def charsmap(key, value):
    """A SentencePiece charsmap, as tokenizer.json has it, that maps one ASCII character."""
    units = [0] * 512
    units[0] = 256 << 10
    node = 256 ^ ord(key)
    units[node] = (node ^ (node + 1)) << 10 | 1 << 8 | ord(key)
    blob = struct.pack("<I512I", 2048, *units) + value.encode() + b"\0"
    return base64.b64encode(blob).decode()


def bert(**options):
    chosen = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False, **options}
    return normalizers.BertNormalizer(**chosen)


def removed_by(normalizer):
    return [c for c in CODE_POINTS if normalizer.normalize_str(chr(c)) == ""]


def grapheme_extenders():
    """Code points that belong to one grapheme cluster with an "a" before them: a short cluster whose start is in a
    charsmap is replaced whole."""
    empty = json.loads(tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a")).to_str())
    empty["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": charsmap("a", "X")}
    normalizer = tokenizers.Tokenizer.from_str(json.dumps(empty)).normalizer
    return [c for c in CODE_POINTS if normalizer.normalize_str("a" + chr(c)) == "X"]


def script_runs():
    """[first, last, number] of code points of the same script, as the pre-tokenizer UnicodeScripts takes them; scripts
    are numbered as they come. Code points that go with any script are left out."""
    scripts = pre_tokenizers.UnicodeScripts()
    same = lambda a, b: len(scripts.pre_tokenize_str(chr(a) + chr(b))) == 1
    runs, examples = [], []
    for c in CODE_POINTS:
        if not scripts.pre_tokenize_str(chr(c)):
            continue
        if runs and runs[-1][1] == c - 1 and same(c - 1, c):
            runs[-1][1] = c
            continue
        number = next((i for i, e in enumerate(examples) if same(e, c)), len(examples))
        if number == len(examples):
            examples.append(c)
        runs.append([c, c, number])
    return runs


def main():
    print(f"// Written by make_unicode_tables.py from the PyPI package tokenizers {tokenizers.__version__}; do not edit.")
    print("// clang-format off")

    print("\n// Oniguruma: general categories, \\w, scripts and POSIX brackets.")
    named = [(n.lower(), f"k{n}", rf"\p{{{n}}}") for n in CATEGORIES]
    named += [("\\\\w", "kOnigWord", r"\w")]
    named += [(n.lower(), f"k{n}", rf"\p{{{n}}}") for n in SCRIPTS]
    named += [(f"[:{n}:]", f"kPosix_{n}", f"[[:{n}:]]") for n in POSIX]
    for _, variable, pattern in named:
        write_set(variable, oniguruma(pattern))
    write("constexpr NamedSet kNamedSets[]", [f'{{"{name}",{variable}}}' for name, variable, _ in named])

    print("\n// The crate regex: \\w.")
    pieces = between_letters(pre_tokenizers.Whitespace())
    write_set("kRegexWord", [c for c, p in pieces.items() if len(p) == 1])
    print("\n// Rust's char::is_numeric and char::is_whitespace (White_Space, which is Oniguruma's \\s too).")
    write_set("kRustNumeric", [c for c, p in between_letters(pre_tokenizers.Digits(True)).items() if len(p) == 3 and p[1] == chr(c)])
    space = {c for c, p in between_letters(pre_tokenizers.WhitespaceSplit()).items() if len(p) == 2}
    assert space == oniguruma(r"\s") == {c for c, p in pieces.items() if len(p) == 2}
    write_set("kSpace", space)
    print("\n// Punctuation: ASCII punctuation and the crate unicode_categories.")
    write_set("kPunctuation", [c for c, p in between_letters(pre_tokenizers.Punctuation("removed")).items() if len(p) == 2])

    print("\n// Rust's char::to_lowercase where it is one other code point; {first, last, step, difference}.")
    lower = {c: normalizers.Lowercase().normalize_str(chr(c)) for c in CODE_POINTS}
    several = sorted(c for c, s in lower.items() if len(s) != 1)
    assert several == [0x130] and lower[0x130] == "i\u0307", several  # written out in unicode.cc
    runs = []
    for c, s in sorted(lower.items()):
        if len(s) != 1 or s == chr(c):
            continue
        difference = ord(s) - c
        if runs and runs[-1][3] == difference and c - runs[-1][1] <= 2 and (runs[-1][2] in (0, c - runs[-1][1])):
            runs[-1][2] = c - runs[-1][1]
            runs[-1][1] = c
        else:
            runs.append([c, c, 0, difference])
    write("constexpr LowercaseRun kLowercaseRuns[]", [f"{{{a:#x},{b:#x},{s or 1},{d}}}" for a, b, s, d in runs])

    print("\n// Code points that the crate unicode-normalization-alignments does not know (newer than its data): they stand")
    print("// as they are, and nothing is reordered or composed across them.")
    write_set("kNormalizationInert", inert())

    print("\n// Combining marks (of the crate unicode-normalization-alignments), and non-spacing marks and control characters (of the")
    print("// crate unicode_categories), as StripAccents and BertNormalizer take them off.")
    write_set("kCombiningMark", removed_by(normalizers.StripAccents()))
    write_set("kNonspacingMark", removed_by(bert(strip_accents=True)))
    write_set("kBertControl", removed_by(bert(clean_text=True)))
    print("\n// What continues a grapheme cluster (of the crate unicode-segmentation).")
    write_set("kGraphemeExtend", grapheme_extenders())
    print("\n// Scripts of the pre-tokenizer UnicodeScripts; {first, last, number}.")
    write("constexpr ScriptRun kScriptRuns[]", [f"{{{a:#x},{b:#x},{n}}}" for a, b, n in script_runs()])


def inert():
    """Code points that Unicode (as Python has it) decomposes, reorders or composes, and the package leaves alone."""
    import unicodedata
    nfd, nfkd, nfc = normalizers.NFD(), normalizers.NFKD(), normalizers.NFC()
    unknown = set()
    for c in CODE_POINTS:
        s = chr(c)
        if unicodedata.category(s) == "Cn":  # newer than Python's data, which is newer than the crate's
            unknown.add(c)
            continue
        for form, normalizer in (("NFD", nfd), ("NFKD", nfkd), ("NFC", nfc)):
            mine = normalizer.normalize_str(s)
            if mine != unicodedata.normalize(form, s):
                assert mine == s, hex(c)
                unknown.add(c)
        order = unicodedata.combining(s)
        if order:
            # U+0334 has class 1, U+0345 class 240: one of them changes places with every reordered mark.
            low, high = nfd.normalize_str("a" + s + "\u0334"), nfd.normalize_str("a\u0345" + s)
            if low != unicodedata.normalize("NFD", "a" + s + "\u0334") or high != unicodedata.normalize("NFD", "a\u0345" + s):
                unknown.add(c)
        decomposed = unicodedata.normalize("NFD", s)
        if decomposed != s and unicodedata.normalize("NFC", decomposed) == s and nfc.normalize_str(decomposed) != s:
            unknown.add(c)
    return unknown


if __name__ == "__main__":
    sys.exit(main())
