#!/usr/bin/env python3
"""Llama-like models and GPT-2 from config.json with safetensors, and from GGUF, against the formulas in NumPy.

  language_models_test.py CAMEO        CAMEO: the program
The models are small and their weights drawn; `cameo embed --raw` gives the hidden states, `cameo generate` the tokens and their
log-probabilities, of texts of several lengths in one batch. Needs numpy.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np

CAMEO = sys.argv.pop(1) if len(sys.argv) > 1 else "build/cameo"
VOCABULARY, WIDTH, HEADS, WIDE, LAYERS, POSITIONS = 40, 64, 4, 96, 2, 64
TEXTS = ["w3 w1 w4 w1 w5 w9 w2 w6 w5 w3 w5", "w2", "w7 w1 w8 w2 w8"]
LLAMA = {"model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
         "num_key_value_heads": 2, "intermediate_size": WIDE, "max_position_embeddings": POSITIONS, "rms_norm_eps": 1e-5}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
VARIANTS = {
    "llama": {},
    "llama-tied-theta": {"tie_word_embeddings": True, "rope_theta": 500.0, "num_key_value_heads": 4},
    "llama3-scaling": {"rope_scaling": LLAMA3},
    "mistral-window": {"model_type": "mistral", "sliding_window": 3, "head_dim": 8},
    "qwen2-biases": {"model_type": "qwen2"},
    "qwen3-norms": {"model_type": "qwen3", "head_dim": 32},
    "gpt2": {"model_type": "gpt2", "vocab_size": VOCABULARY, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS},
}


def draw_weights(config):
    """Parameters under the names that transformers gives them."""
    rng = np.random.default_rng(7)
    weights = {}

    def add(name, *dims, mean=0.0, spread=0.25):
        weights[name] = (mean + spread * rng.standard_normal(dims)).astype(np.float32)

    if config["model_type"] == "gpt2":
        add("wte.weight", VOCABULARY, WIDTH), add("wpe.weight", POSITIONS, WIDTH)
        for n in range(LAYERS):
            for name, rows, columns in (("attn.c_attn", WIDTH, 3 * WIDTH), ("attn.c_proj", WIDTH, WIDTH), ("mlp.c_fc", WIDTH, 4 * WIDTH), ("mlp.c_proj", 4 * WIDTH, WIDTH)):
                add(f"h.{n}.{name}.weight", rows, columns), add(f"h.{n}.{name}.bias", columns)
        for name in ["ln_f"] + [f"h.{n}.ln_{i}" for n in range(LAYERS) for i in (1, 2)]:
            add(name + ".weight", WIDTH, mean=1.0), add(name + ".bias", WIDTH)
        return weights
    size = config.get("head_dim", WIDTH // HEADS)
    query, key = HEADS * size, config["num_key_value_heads"] * size
    add("model.embed_tokens.weight", VOCABULARY, WIDTH), add("model.norm.weight", WIDTH, mean=1.0)
    if not config.get("tie_word_embeddings"):
        add("lm_head.weight", VOCABULARY, WIDTH)
    for n in range(LAYERS):
        at = f"model.layers.{n}."
        for name, out, inner in (("self_attn.q_proj", query, WIDTH), ("self_attn.k_proj", key, WIDTH), ("self_attn.v_proj", key, WIDTH), ("self_attn.o_proj", WIDTH, query),
                                 ("mlp.gate_proj", WIDE, WIDTH), ("mlp.up_proj", WIDE, WIDTH), ("mlp.down_proj", WIDTH, WIDE)):
            add(f"{at}{name}.weight", out, inner)
            if config["model_type"] == "qwen2" and name[-6] in "qkv" and "attn" in name:
                add(f"{at}{name}.bias", out)
        for name in ("input_layernorm", "post_attention_layernorm"):
            add(f"{at}{name}.weight", WIDTH, mean=1.0)
        if config["model_type"] == "qwen3":
            add(at + "self_attn.q_norm.weight", size, mean=1.0), add(at + "self_attn.k_norm.weight", size, mean=1.0)
    return weights


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v, heads, window=0):
    """q [length, heads * size]; k and v may have fewer heads."""
    length = len(q)
    split = lambda x: x.reshape(length, -1, q.shape[1] // heads).transpose(1, 0, 2)
    q, k, v = split(q), split(k), split(v)
    k, v = (np.repeat(x, heads // len(x), 0) for x in (k, v))
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2])
    far = np.arange(length)[:, None] - np.arange(length)[None]
    scores[:, (far < 0) | ((far >= window) if window else False)] = -np.inf
    return (softmax(scores) @ v).transpose(1, 0, 2).reshape(length, -1)


def gpt2(w, ids):
    def norm(x, at):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * w[at + ".weight"] + w[at + ".bias"]

    x = w["wte.weight"][ids] + w["wpe.weight"][: len(ids)]
    for n in range(LAYERS):
        linear = lambda y, name: y @ w[f"h.{n}.{name}.weight"] + w[f"h.{n}.{name}.bias"]
        x = x + linear(attention(*np.split(linear(norm(x, f"h.{n}.ln_1"), "attn.c_attn"), 3, -1), HEADS), "attn.c_proj")
        up = linear(norm(x, f"h.{n}.ln_2"), "mlp.c_fc")
        x = x + linear(0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3))), "mlp.c_proj")
    return norm(x, "ln_f"), w["wte.weight"]


def llama(config, w, ids):
    size, eps = config.get("head_dim", WIDTH // HEADS), config["rms_norm_eps"]
    norm = lambda x, name: x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w[name + ".weight"]
    frequencies = config.get("rope_theta", 10000.0) ** (-np.arange(0, size, 2) / size)
    if "rope_scaling" in config:
        turns = 32 * frequencies / (2 * np.pi)
        ramp = np.clip((turns - 1) / (4 - 1), 0, 1)
        frequencies = ramp * frequencies + (1 - ramp) * frequencies / 8
    angles = np.arange(len(ids))[:, None] * frequencies
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]

    def turn(x, norm_name):
        x = x.reshape(len(ids), -1, size)
        if norm_name + ".weight" in w:
            x = norm(x, norm_name)
        a, b = x[..., : size // 2], x[..., size // 2 :]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1).reshape(len(ids), -1)

    x = w["model.embed_tokens.weight"][ids]
    for n in range(LAYERS):
        at = f"model.layers.{n}."
        linear = lambda y, name: y @ w[f"{at}{name}.weight"].T + w.get(f"{at}{name}.bias", 0)
        y = norm(x, at + "input_layernorm")
        q, k, v = (linear(y, f"self_attn.{c}_proj") for c in "qkv")
        q, k = turn(q, at + "self_attn.q_norm"), turn(k, at + "self_attn.k_norm")
        x = x + linear(attention(q, k, v, HEADS, config.get("sliding_window", 0)), "self_attn.o_proj")
        y = norm(x, at + "post_attention_layernorm")
        gate = linear(y, "mlp.gate_proj")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(y, "mlp.up_proj"), "mlp.down_proj")
    return norm(x, "model.norm"), w.get("lm_head.weight", w["model.embed_tokens.weight"])


def save_safetensors(weights, path):
    header, at = {}, 0
    for name, a in weights.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(a.tobytes() for a in weights.values()))


def save_gguf(config, weights, path, tokenizer=None):
    """As llama.cpp's converter does: float32, rows of queries and keys of "llama" reordered for pairs of neighbours.
    `tokenizer`: texts, scores and types of the tokens, for SentencePiece's BPE."""
    kind = config["model_type"]
    size = config.get("head_dim", WIDTH // HEADS)
    text = lambda s: struct.pack("<Q", len(s)) + s.encode()
    entries = [text("general.architecture") + struct.pack("<I", 8) + text(kind)]
    for key, value in (("embedding_length", WIDTH), ("block_count", LAYERS), ("attention.head_count", HEADS), ("attention.head_count_kv", config["num_key_value_heads"]),
                       ("attention.key_length", size), ("rope.dimension_count", size), ("feed_forward_length", WIDE), ("context_length", POSITIONS)):
        entries.append(text(f"{kind}.{key}") + struct.pack("<II", 4, value))
    for key, value in (("attention.layer_norm_rms_epsilon", config["rms_norm_eps"]), ("rope.freq_base", config.get("rope_theta", 10000.0))):
        entries.append(text(f"{kind}.{key}") + struct.pack("<If", 6, value))
    if tokenizer:
        texts, scores, types = tokenizer
        entries.append(text("tokenizer.ggml.model") + struct.pack("<I", 8) + text("llama"))
        entries.append(text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, len(texts)) + b"".join(struct.pack("<Q", len(t.encode())) + t.encode() for t in texts))
        entries.append(text("tokenizer.ggml.scores") + struct.pack(f"<IIQ{len(scores)}f", 9, 6, len(scores), *scores))
        entries.append(text("tokenizer.ggml.token_type") + struct.pack(f"<IIQ{len(types)}i", 9, 5, len(types), *types))
        for key, value in (("bos", 1), ("eos", 2)):
            entries.append(text(f"tokenizer.ggml.{key}_token_id") + struct.pack("<II", 4, value))
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
             "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
             "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "post_attention_layernorm": "ffn_norm", "input_layernorm": "attn_norm", "model.layers": "blk"}
    tensors, infos, at = [], [], 0
    for name, a in weights.items():
        if kind == "llama" and ("q_proj" in name or "k_proj" in name):
            a = a.reshape(-1, 2, size // 2, WIDTH).swapaxes(1, 2).reshape(a.shape)
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        infos.append(text(name) + struct.pack(f"<I{a.ndim}QIQ", a.ndim, *a.shape[::-1], 0, at))
        data = a.tobytes()
        data += b"\0" * (-len(data) % 32)
        tensors.append(data)
        at += len(data)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(entries)) + b"".join(entries) + b"".join(infos)
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32) + b"".join(tensors))


def save_tokenizer(path):
    vocabulary = {f"w{i}": i for i in range(VOCABULARY)}
    with open(path, "w") as f:
        json.dump({"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"}}, f)


class LanguageModels(unittest.TestCase):
    def ok(self, *args):
        done = subprocess.run([CAMEO, *map(str, args), "--opt-level", "0"], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def compare(self, model, hidden_states):
        """`hidden_states` of ids gives those and the matrix for logits."""
        folder = os.path.dirname(model) if model.endswith(".gguf") else model
        raw = os.path.join(folder, "raw.npy")
        self.ok("embed", model, *TEXTS, "--raw", "-o", raw)
        ids = [[int(word[1:]) for word in text.split()] for text in TEXTS]
        states = np.load(raw)
        for row, got in zip(ids, states):
            want = hidden_states(row)[0]
            np.testing.assert_allclose(got[: len(row)], want, atol=2e-4 * np.abs(want).max())
        prompts = [part for text in TEXTS for part in ("--prompt", text)]
        rows = json.loads(self.ok("generate", model, *prompts, "--max-new-tokens", "6", "--logprobs", "--json"))["completions"]
        for row, got in zip(ids, rows):
            self.assertEqual(got["prompt_token_ids"], row)
            for token, log_probability in zip(got["token_ids"], got["log_probabilities"]):
                states, head = hidden_states(row)
                logits = states[-1] @ head.T
                self.assertEqual(token, logits.argmax())
                self.assertAlmostEqual(log_probability, np.log(softmax(logits))[token], places=3)
                row.append(token)

    def test_variants(self):
        for name, changes in VARIANTS.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                config = changes if name == "gpt2" else {**LLAMA, **changes}
                weights = draw_weights(config)
                forward = (lambda ids: gpt2(weights, ids)) if name == "gpt2" else (lambda ids: llama(config, weights, ids))
                save_tokenizer(os.path.join(folder, "tokenizer.json"))
                save_safetensors(weights, os.path.join(folder, "model.safetensors"))
                with open(os.path.join(folder, "config.json"), "w") as f:
                    json.dump(config, f)
                self.compare(folder, forward)
                self.assertIn(f"architecture {config['model_type']}", self.ok_inspect(folder))
                if config["model_type"] not in ("gpt2", "mistral") and "rope_scaling" not in config:
                    model = os.path.join(folder, "m.gguf")
                    save_gguf(config, weights, model)
                    self.compare(model, forward)
                    self.assertIn(f"{len(weights)} F32", self.ok_inspect(model))

    def test_sentence_piece(self):
        """The neighbours that make the token of the highest score are joined first, the leftmost of equal ones; the rest are bytes."""
        words = ["▁", "a", "b", "c", "▁a", "ab", "bc", "abc", "▁ab", "ca", "aa", "é", "▁é"]
        texts = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *words, "<|x|>"]
        types = [2, 3, 3] + [6] * 256 + [1] * len(words) + [4]
        scores = [0.0] * 259 + [-9.0, -9.0, -9.0, -9.0, -3.0, -2.0, -1.0, -4.0, -5.0, -6.0, -7.0, -9.0, -8.0] + [0.0]
        score = {t: s for t, s, kind in zip(texts, scores, types) if kind == 1}

        def pieces(part):
            symbols = list("▁" + part.replace(" ", "▁"))
            while True:
                pairs = [(score[a + b], -i) for i, (a, b) in enumerate(zip(symbols, symbols[1:])) if a + b in score]
                if not pairs:
                    return [texts.index(p) for s in symbols for p in ([s] if s in score else [f"<0x{b:02X}>" for b in s.encode()])]
                at = -max(pairs)[1]
                symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]

        global VOCABULARY
        kept, VOCABULARY = VOCABULARY, len(texts)
        config = {**LLAMA, "vocab_size": VOCABULARY}
        prompts = ["abc", "a", "ab abcab", "  a", "aaaa b", "cab é😀 a", "ab<|x|>ab"]
        with tempfile.TemporaryDirectory() as folder:
            model = os.path.join(folder, "m.gguf")
            save_gguf(config, draw_weights(config), model, (texts, scores, types))
            VOCABULARY = kept
            out = json.loads(self.ok("generate", model, *(a for p in prompts for a in ("--prompt", p)), "--max-new-tokens", "1", "--json"))
            for prompt, row in zip(prompts, out["completions"]):
                want = [1]
                for n, part in enumerate(prompt.split("<|x|>")):
                    want += [texts.index("<|x|>")] * (n > 0) + pieces(part)
                self.assertEqual(row["prompt_token_ids"], want, prompt)

    def ok_inspect(self, model):
        done = subprocess.run([CAMEO, "inspect", model], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("every node can be run", done.stdout)
        return done.stdout


if __name__ == "__main__":
    unittest.main()
