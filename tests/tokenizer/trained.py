"""Small tokenizers of every model, trained with the PyPI package `tokenizers`, and a SentencePiece charsmap."""
import base64
import collections
import json
import struct
import unicodedata

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers


def charsmap(rules):
    """SentencePiece's precompiled_charsmap in base64: a double-array trie of the keys, as Darts lays it out, then the
    replacements."""
    replacements, places = bytearray(), {}
    for value in rules.values():
        if value not in places:
            places[value] = len(replacements)
            replacements += value.encode() + b"\0"
    tree = {}
    for key, value in rules.items():
        node = tree
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = places[value]
    units, used, first_free = {0: 0}, {0}, 1
    todo = [(0, tree)]
    while todo:
        place, children = todo.pop()
        while first_free in used:
            first_free += 1
        base = first_free ^ min(children)
        while any(base ^ label in used for label in children) or (place ^ base) >= 1 << 21 or base == 0:
            base += 1
        used.update(base ^ label for label in children)
        units[place] |= (place ^ base) << 10
        for label, child in children.items():
            if label == 0:
                units[place] |= 1 << 8
                units[base] = child | 1 << 31
            else:
                units[base ^ label] = label
                todo.append((base ^ label, child))
    size = (max(units) // 256 + 1) * 256
    trie = struct.pack(f"<{size}I", *(units.get(i, 0) for i in range(size)))
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + bytes(replacements)).decode()


def charsmap_rules():
    """Compatibility forms, as SentencePiece's rules nmt_nfkc have them, some clusters and some removed controls."""
    rules = {"e\u0301": "é", "ｶﾞ": "ガ", "\r\n": " ", "\t": " ", "\n": " ", "\u200b": "", "\u00ad": "", "\x07": "", "a\u0308": "ä", "©": "(c)",
             "x\u0302": "x-hat", "\u3000": " ", "ﷺ": "صلى"}
    for c in [*range(0xA0, 0x250), *range(0x2100, 0x2190), *range(0x2460, 0x2500), *range(0xFB00, 0xFB07), *range(0xFF01, 0xFFE0), *range(0x1D400, 0x1D480)]:
        normalized = unicodedata.normalize("NFKC", chr(c))
        if normalized != chr(c):
            rules.setdefault(chr(c), normalized)
    return rules


def with_normalizer(tokenizer, description):
    whole = json.loads(tokenizer.to_str())
    whole["normalizer"] = description
    return Tokenizer.from_str(json.dumps(whole))


def precompiled():
    return {"type": "Precompiled", "precompiled_charsmap": charsmap(charsmap_rules())}


def unigram(strings, byte_fallback=False, **options):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(**options)
    tokenizer.decoder = decoders.Metaspace(**options)
    common = {c for c, _ in collections.Counter("".join(strings)).most_common(700)}
    strings = ["".join(c for c in s if c in common) for s in strings]
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256) if byte_fallback and b != 0xF3]
    tokenizer.train_from_iterator(strings, trainers.UnigramTrainer(vocab_size=2000, show_progress=False, special_tokens=special, unk_token="<unk>",
                                                                   n_sub_iterations=1))
    whole = json.loads(tokenizer.to_str())
    whole["model"]["byte_fallback"] = byte_fallback
    if byte_fallback:  # they are part of the text's vocabulary, not added tokens
        whole["added_tokens"] = whole["added_tokens"][:3]
        whole["decoder"] = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                                                             {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    return Tokenizer.from_str(json.dumps(whole))


def metaspace_bpe(strings, **options):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(**options)
    tokenizer.decoder = decoders.Metaspace(**options)
    tokenizer.train_from_iterator(strings, trainers.BpeTrainer(vocab_size=3000, show_progress=False, limit_alphabet=800, special_tokens=["<unk>", "<s>", "</s>"]))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)])
    return tokenizer


def word_piece(strings):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=50))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.train_from_iterator(strings, trainers.WordPieceTrainer(vocab_size=3000, show_progress=False, limit_alphabet=800,
                                                                     special_tokens=["[UNK]", "[CLS]", "[SEP]", "[PAD]"]))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.enable_truncation(40, stride=7)
    tokenizer.enable_padding(pad_id=3, pad_token="[PAD]", pad_to_multiple_of=8)
    return tokenizer


def word_level(strings):
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(strings, trainers.WordLevelTrainer(vocab_size=3000, show_progress=False, special_tokens=["[UNK]", "<s>", "</s>"]))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    return tokenizer


def all_trained(strings):
    """(name, tokenizer) of each model."""
    yield "unigram", unigram(strings)
    yield "unigram-charsmap", with_normalizer(unigram(strings, byte_fallback=True), precompiled())
    yield "metaspace-bpe", metaspace_bpe(strings, prepend_scheme="first")
    yield "word-piece", word_piece(strings)
    yield "word-level", word_level(strings)
