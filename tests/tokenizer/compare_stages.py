#!/usr/bin/env python3
"""Compares every stage that Cameo's tokenizer knows with the PyPI package `tokenizers`.

  compare_stages.py ENCODE_LINES [--only NAME] [--count N]

For each kind of normalizer, pre-tokenizer, model option, post-processor, decoder and added token, and for a list of
regular expressions, a small tokenizer is made with the package, and the strings of compare.py go through both.
"""
import argparse
import json
import os
import random
import sys
import tempfile

import compare
import trained
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
REGEXES = [
    # of published tokenizers: GPT-2, cl100k (Llama 3, Qwen 2), o200k, DeepSeek, BLOOM
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", r"[一-龥ࠀ-一가-퟿]+",
    r" ?[^(\s|[.,!?…。，、।۔،])]+", r"[0-9][0-9][0-9]", r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
    # Properties and classes
    r"\p{L}", r"\P{L}+", r"\p{^L}+", r"\p{Lu}\p{Ll}*", r"[\P{L}a]+", r"[^\p{L}\s]", r"\p{M}+", r"\p{P}|\p{S}", r"\p{Sc}", r"\p{Zs}+", r"\p{Cf}",
    r"\p{Han}+", r"[\p{Hiragana}\p{Katakana}]+", r"\p{Cyrillic}+", r"\p{Latin}+", r"\p{Thai}", r"\p{Letter}", r"\p{Uppercase_Letter}",
    r"[[:alpha:]]+", r"[[:punct:]]", r"[[:^alpha:]]", r"[[:upper:]][[:lower:]]+", r"[[:alnum:]]+", r"[[:digit:]]", r"[[:space:]]+", r"\p{Alpha}+",
    r"\p{punct}", r"\p{Punctuation}", r"\p{Digit}", r"\p{Space}", r"\p{Alnum}", r"\p{Upper}", r"\p{Lower}",
    r"\w+", r"\W+", r"\d+", r"\D+", r"\s", r"\S+", r"\h+", r"\H+", r"[a-z&&[^aeiou]]+", r"[^a-c&&b-z]", r"[a-cx-z&&b-y&&[^z]]", r"[a[bc]d]+", r"[\]a]",
    r"[-a]", r"[a-]", r"[^-a]+", r"[\-\[\]]", r"[\n\t\r]+", r"[^\n]+", r".", r".+", r"(?m:.+)", r"(?m).", r"[.*+?]",
    # Repeats, groups, alternatives
    r"a*", r"a+?", r"a??b", r"(?:ab)+", r"(ab|a)(c|bcd)*", r"(a*)*", r"(?:a|b)*?c", r"a{2}", r"a{2,3}", r"a{,2}b", r"a{2,}", r"a{1,2}?",
    r"a++a", r"a*+b", r"a?+a", r"(?>a+|b)c?", r"(?:ab){2,3}", r"(?:a|ab){2}c?", r"(?<word>\w+)", r"x|", r"|x", r"", r"a{", r"a{1", r"{", r"a{,}", r"a{x}", r"(?:)",
    r"(?:\s|a)*+b", r"(?:a{1,3}){1,2}", r"(?:a?){3}", r"(?:a??){2,4}b", r"(?i)abc", r"(?i)k", r"(?i)s", r"a(?i)b|c", r"(?i:a)B", r"(?-i:a)", r"(?i)a(?-i)b",
    # Anchors and looks
    r"^.", r".$", r"^", r"$", r"\A.", r".\z", r".\Z", r"\b", r"\B", r"\b\w", r"\w\b", r"a(?=b)", r"a(?!b)", r"(?<=a)b", r"(?<!a)b", r"(?<=\s|a)b", r"(?<!ab|c)d",
    r"(?=a)", r"(?!a)", r"(?<=\n)", r"^a|b$", r"\n$", r"$\n", r"^\n", r"(?<=^|,)[^,]*", r"\s+(?=\p{L})", r"(?=(a+))a",
    r"\x41|\x{4e2d}|\u00e9", r"\t|\f|\v|\a|\e", r"\.|\*|\\|\/|\-|\ |\"", r"(?#comment)a", r"é|中|😀",
]


def train(pre_tokenizer, strings, **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizer
    affixes = {k: v for k, v in options.items() if k in ("continuing_subword_prefix", "end_of_word_suffix")}
    trainer = trainers.BpeTrainer(vocab_size=3000, show_progress=False, limit_alphabet=1500,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=[options["unk_token"]] if options.get("unk_token") else [], **affixes)
    tokenizer.train_from_iterator(strings, trainer)
    return tokenizer


def variants(strings):
    """(name, tokenizer) pairs."""
    base = train(pre_tokenizers.ByteLevel(add_prefix_space=False), strings).to_str()

    def fresh():
        tokenizer = Tokenizer.from_str(base)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def with_(**parts):
        tokenizer = fresh()
        for key, value in parts.items():
            setattr(tokenizer, key, value)
        return tokenizer

    def edited(**fields):
        description = json.loads(fresh().to_str())
        description["model"].update(fields)
        return Tokenizer.from_str(json.dumps(description))

    n, p, d = normalizers, pre_tokenizers, decoders
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase"):
        yield form, with_(normalizer=getattr(n, form)())
    for left in (False, True):
        for right in (False, True):
            yield f"Strip {left} {right}", with_(normalizer=n.Strip(left, right))
    yield "Prepend", with_(normalizer=n.Prepend("▁"))
    yield "Replace string", with_(normalizer=n.Replace(" ", "▁"))
    yield "Replace with nothing", with_(normalizer=n.Replace("a", ""))
    yield "Replace regex", with_(normalizer=n.Replace(Regex(r"\s+"), " "))
    # Not Replace with a pattern that matches the empty string at the start: there the package writes the replacement twice.
    yield "Replace empty matches", with_(normalizer=n.Replace(Regex(r"(?<=a)x*"), "-"))
    for name in ("StripAccents", "Nmt", "ByteLevel"):
        yield name, with_(normalizer=getattr(n, name)())
    for clean in (False, True):
        for chinese in (False, True):
            for accents in (None, False, True):
                for lower in (False, True):
                    yield f"BertNormalizer {clean} {chinese} {accents} {lower}", with_(normalizer=n.BertNormalizer(clean, chinese, accents, lower))
    yield "Precompiled", trained.with_normalizer(fresh(), trained.precompiled())
    yield "Precompiled in a Sequence", trained.with_normalizer(fresh(), {"type": "Sequence", "normalizers": [
        trained.precompiled(), {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}, {"type": "Strip", "strip_left": False, "strip_right": True}]})
    yield "normalizer Sequence", with_(normalizer=n.Sequence([n.NFKC(), n.Lowercase(), n.Strip(), n.Replace("e", "é"), n.NFD(), n.Prepend("x")]))

    for prefix in (False, True):
        for regex in (False, True):
            yield f"ByteLevel {prefix} {regex}", with_(pre_tokenizer=p.ByteLevel(add_prefix_space=prefix, use_regex=regex))
    for name, part in [("Digits", p.Digits(False)), ("Digits individual", p.Digits(True)), ("Whitespace", p.Whitespace()),
                       ("WhitespaceSplit", p.WhitespaceSplit()), ("Punctuation", p.Punctuation()), ("BertPreTokenizer", p.BertPreTokenizer()),
                       ("CharDelimiterSplit", p.CharDelimiterSplit("e")), ("UnicodeScripts", p.UnicodeScripts()), ("FixedLength", p.FixedLength(3))]:
        yield name, with_(pre_tokenizer=p.Sequence([part, BYTES]))
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    for behavior in behaviors:
        yield f"Punctuation {behavior}", with_(pre_tokenizer=p.Sequence([p.Punctuation(behavior), BYTES]))
        for invert in (False, True):
            for pattern in (" ", Regex(r"\s+"), Regex("a*"), Regex(r"\w"), "", "a."):
                yield f"Split {pattern} {behavior} {invert}", with_(pre_tokenizer=p.Sequence([p.Split(pattern, behavior, invert), BYTES]))
    yield "ByteLevel first", with_(pre_tokenizer=p.Sequence([p.ByteLevel(add_prefix_space=True), p.Digits(True), p.Punctuation()]))
    for scheme in ("always", "never", "first"):
        for split in (False, True):
            part = p.Metaspace("▁", prepend_scheme=scheme, split=split)
            yield f"Metaspace {scheme} {split}", with_(pre_tokenizer=p.Sequence([part, BYTES]))
            yield f"Metaspace {scheme} {split} after others", with_(normalizer=n.Sequence([n.NFKC(), n.Strip()]), pre_tokenizer=p.Sequence([p.Digits(True), part, BYTES]))
    yield "empty Sequence", with_(pre_tokenizer=p.Sequence([]))
    for pattern in REGEXES:
        yield f"regex {pattern}", with_(pre_tokenizer=p.Sequence([p.Split(Regex(pattern), "isolated"), BYTES]))

    yield "ignore_merges", edited(ignore_merges=True)
    yield "BPE of characters, unk", train(p.Whitespace(), strings, unk_token="[UNK]")
    yield "BPE of characters, no unk", train(p.Whitespace(), strings)
    yield "BPE fuse_unk", train(p.Whitespace(), strings, unk_token="[UNK]", fuse_unk=True)
    yield "BPE prefix", train(p.Whitespace(), strings, unk_token="[UNK]", continuing_subword_prefix="##")
    yield "BPE suffix", train(p.Whitespace(), strings, unk_token="[UNK]", end_of_word_suffix="</w>")
    for fuse in (False, True):
        tokenizer = json.loads(train(p.Whitespace(), strings, unk_token="[UNK]", fuse_unk=fuse).to_str())
        for b in range(256):
            if b not in (0xF0, 0xE2):  # without these some characters fall back and some are unknown
                tokenizer["model"]["vocab"][f"<0x{b:02X}>"] = len(tokenizer["model"]["vocab"])
        tokenizer["model"]["byte_fallback"] = True
        tokenizer["decoder"] = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                                                                 {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
        yield f"byte_fallback, fuse_unk {fuse}", Tokenizer.from_str(json.dumps(tokenizer))
    pairs = json.loads(base)
    pairs["model"]["merges"] = [" ".join(m) for m in pairs["model"]["merges"]]
    yield "merges as strings", Tokenizer.from_str(json.dumps(pairs))
    no_type = json.loads(base)
    del no_type["model"]["type"]
    yield "model without type", Tokenizer.from_str(json.dumps(no_type))

    for name, tokenizer in trained.all_trained(strings):
        yield name, tokenizer
    for byte_fallback in (False, True):
        yield f"Unigram whole text, byte fallback {byte_fallback}", trained.unigram(strings, byte_fallback, prepend_scheme="always", split=False)
    no_unknown = json.loads(trained.unigram(strings).to_str())
    no_unknown["model"]["unk_id"] = None
    yield "Unigram without unk_id", Tokenizer.from_str(json.dumps(no_unknown))
    yield "WordPiece without prefix", Tokenizer.from_str(trained.word_piece(strings).to_str().replace('"continuing_subword_prefix":"##"', '"continuing_subword_prefix":""'))

    yield "no decoder", Tokenizer.from_str(base)
    for name, part in [("Fuse", d.Fuse()), ("Strip", d.Strip("a", 2, 0)), ("ByteFallback", d.ByteFallback()), ("Replace", d.Replace(Regex("[aeiou]"), "_")),
                       ("Replace string", d.Replace("Ġ", " ")), ("WordPiece", d.WordPiece("Ġ", True)), ("WordPiece plain", d.WordPiece("", False)),
                       ("BPEDecoder", d.BPEDecoder("e")), ("CTC", d.CTC("a", "Ġ", True)), ("CTC plain", d.CTC("Ġ", "a", False)),
                       ("Metaspace", d.Metaspace("Ġ", "always")), ("Metaspace never", d.Metaspace("Ġ", "never")), ("Sequence", d.Sequence([d.Replace("Ġ", " "), d.Fuse(), d.Strip(" ", 3, 0)]))]:
        yield f"decoder {name}", with_(decoder=part)

    template = processors.TemplateProcessing(single="<s> $A:1 </s>:2 <s>", pair="<s> $A $B:1", special_tokens=[("<s>", 1), ("</s>", 2)])
    yield "TemplateProcessing", with_(post_processor=template)
    yield "BertProcessing", with_(post_processor=processors.BertProcessing(("</s>", 2), ("<s>", 1)))
    for trim in (False, True):
        for prefix in (False, True):
            yield f"RobertaProcessing {trim} {prefix}", with_(pre_tokenizer=p.ByteLevel(add_prefix_space=prefix), post_processor=processors.RobertaProcessing(
                ("</s>", 2), ("<s>", 1), trim_offsets=trim, add_prefix_space=prefix))
            yield f"post-processor ByteLevel {trim} {prefix}", with_(pre_tokenizer=p.ByteLevel(add_prefix_space=prefix),
                                                                   post_processor=processors.ByteLevel(trim_offsets=trim, add_prefix_space=prefix))
    post_processors = [None, template, processors.BertProcessing(("</s>", 2), ("<s>", 1)), processors.RobertaProcessing(("</s>", 2), ("<s>", 1))]
    for i, post_processor in enumerate(post_processors):
        for direction in ("left", "right"):
            for strategy, length, stride in (("longest_first", 16, 0), ("longest_first", 30, 5), ("only_first", 40, 1), ("only_second", 25, 0)):
                tokenizer = with_(post_processor=post_processor) if post_processor else fresh()
                tokenizer.enable_truncation(length, stride=stride, strategy=strategy, direction=direction)
                if stride != 1:
                    tokenizer.enable_padding(direction=direction, pad_id=7, pad_type_id=3, pad_token="<s>", length=20 if stride else None,
                                             pad_to_multiple_of=8 if length == 25 else None)
                yield f"truncation {i} {direction} {strategy} {length} {stride}", tokenizer
    yield "post-processor Sequence", with_(post_processor=processors.Sequence([processors.ByteLevel(trim_offsets=False), template]))

    contents = ["<s>", "</s>", "<sep>", "the", "The", "é", " a", "a ", "\n", "aa", "aaaa", "中", "[MASK]", "e\u0301", "Ａ"]
    for word in (False, True):
        for left in (False, True):
            for right in (False, True):
                for normalized in (False, True):
                    tokenizer = with_(normalizer=n.Sequence([n.NFKC(), n.Lowercase()]) if normalized else n.NFC())
                    unique = [c for c in contents if c not in ("The", "é", "Ａ")] if normalized else contents
                    options = {"single_word": word, "lstrip": left, "rstrip": right, "normalized": normalized}
                    tokenizer.add_tokens([AddedToken(c, **options) for c in unique[::2]])
                    tokenizer.add_special_tokens([AddedToken(c, **options) for c in unique[1::2]])
                    yield f"added tokens {options}", tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encode_lines")
    parser.add_argument("--only", help="variants whose name has this")
    parser.add_argument("--count", type=int, default=400, help="strings for each variant (default: 400)")
    parser.add_argument("--summary", help="write the last line to this file too")
    options = parser.parse_args()

    specials = ["<s>", "</s>", "<sep>", "the", "aaaa", "[MASK]", "[UNK]"]
    strings = [s for s in compare.make_strings(9000, 3, specials) if len(s) < 2000]
    texts = strings + [s for s in compare.make_strings(24000, 7, specials)[-12000:] if len(s) < 2000]
    rng = random.Random(5)
    failed = total = comparisons = panics = 0
    for name, tokenizer in variants(strings):
        if options.only and options.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tokenizer.json")
            tokenizer.save(path)
            comparison = compare.Comparison(options.encode_lines, path)
            try:
                comparison.add(rng.sample(texts, options.count), rng)
                wrong = comparison.differences
            except SystemExit as problem:
                print(f"{name}: {problem}", file=sys.stderr)
                wrong = 1
        total += 1
        comparisons += comparison.comparisons
        panics += comparison.panics
        if wrong:
            failed += 1
            print(f"{name}: {wrong} differences", file=sys.stderr)
    compare.summarize(f"tokenizer stages: {total} variants, {comparisons} comparisons, {failed} variants differ; "
                      f"the package failed {panics} times, which was left out", options.summary)
    return 1 if failed or total == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
