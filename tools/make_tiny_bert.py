#!/usr/bin/env python3
"""Makes models/tiny-bert: a BERT sentence encoder small enough to be kept in the repository, with drawn weights.

  make_tiny_bert.py --text bench/text/sentences.txt --output models/tiny-bert

The tokenizer (WordPiece, lower case) is trained on the text. The weights are drawn from a seed, not trained: vectors mean nothing, but
everything is laid out as sentence-transformers publishes models. model.onnx is the graph as torch.onnx writes it without
folding constants; its weights are the bytes of model.safetensors. reference.json holds vectors that this script computes with
numpy from the formulas. Needs numpy, onnx, safetensors and tokenizers.
"""
import argparse
import json
import math
import os
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

WIDTH, HEADS, LAYERS, WIDE, POSITIONS, EPSILON = 48, 4, 2, 192, 128, 1e-12
SENTENCES = ["In the beginning God created the heaven and the earth.", "The waters were upon the face of the deep.", "Moses",
             "And the LORD spake unto Moses, saying, Speak unto the children of Israel, that they bring me an offering: of every man that giveth it "
             "willingly with his heart ye shall take my offering.", "", "naïve café — 42 ❤"]


def make_tokenizer(lines):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=700, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                             special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_truncation(64)
    tokenizer.enable_padding(length=64)
    return tokenizer


def make_weights(vocabulary):
    random = np.random.default_rng(1)
    draw = lambda *shape: random.normal(0, 1 / math.sqrt(shape[-1]), shape).astype(np.float32)
    norm = lambda: (1 + random.normal(0, 0.1, WIDTH)).astype(np.float32)
    bias = lambda n: random.normal(0, 0.1, n).astype(np.float32)
    w = {"embeddings.word_embeddings.weight": draw(vocabulary, WIDTH), "embeddings.position_embeddings.weight": draw(POSITIONS, WIDTH),
         "embeddings.token_type_embeddings.weight": draw(2, WIDTH), "embeddings.LayerNorm.weight": norm(), "embeddings.LayerNorm.bias": bias(WIDTH)}
    for n in range(LAYERS):
        at = f"encoder.layer.{n}."
        for name, out, into in (("attention.self.query", WIDTH, WIDTH), ("attention.self.key", WIDTH, WIDTH), ("attention.self.value", WIDTH, WIDTH),
                                ("attention.output.dense", WIDTH, WIDTH), ("intermediate.dense", WIDE, WIDTH), ("output.dense", WIDTH, WIDE)):
            w[at + name + ".weight"], w[at + name + ".bias"] = draw(out, into), bias(out)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            w[at + name + ".weight"], w[at + name + ".bias"] = norm(), bias(WIDTH)
    return w


def run(w, ids):
    """The hidden states of one text, by the formulas."""
    w = {k: v.astype(np.float64) for k, v in w.items()}

    def norm(x, at):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * w[at + ".weight"] + w[at + ".bias"]

    linear = lambda x, at: x @ w[at + ".weight"].T + w[at + ".bias"]
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:len(ids)] + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    for n in range(LAYERS):
        at = f"encoder.layer.{n}."
        q, k, v = (linear(x, at + "attention.self." + part).reshape(len(ids), HEADS, -1).transpose(1, 0, 2) for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        seen = (scores / scores.sum(-1, keepdims=True)) @ v
        x = norm(linear(seen.transpose(1, 0, 2).reshape(len(ids), WIDTH), at + "attention.output.dense") + x, at + "attention.output.LayerNorm")
        up = linear(x, at + "intermediate.dense")
        up = up * 0.5 * (1 + np.vectorize(math.erf)(up / math.sqrt(2)))
        x = norm(linear(up, at + "output.dense") + x, at + "output.LayerNorm")
    return x


def make_onnx(w, safetensors):
    """The graph, its weights in the safetensors file."""
    with open(safetensors, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(size))
    nodes, tensors = [], []
    for name, value in w.items():
        t = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=value.shape, data_location=TensorProto.EXTERNAL)
        begin, end = header[name]["data_offsets"]
        for key, text in (("location", os.path.basename(safetensors)), ("offset", 8 + size + begin), ("length", end - begin)):
            t.external_data.add(key=key, value=str(text))
        tensors.append(t)

    def const(name, value):
        tensors.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(kind, *inputs, at="", **attributes):
        out = f"{at}{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [out], out, **attributes))
        return out

    def linear(x, at):
        return op("Add", op("MatMul", x, op("Transpose", at + ".weight", perm=[1, 0], at=at + "/"), at=at + "/"), at + ".bias", at=at + "/")

    def norm(x, at):
        return op("LayerNormalization", x, at + ".weight", at + ".bias", axis=-1, epsilon=EPSILON, at=at + "/")

    heads, packed = const("heads", np.array([0, 0, HEADS, WIDTH // HEADS])), const("packed", np.array([0, 0, WIDTH]))
    mask = op("Sub", const("one", np.float32(1)), op("Cast", op("Unsqueeze", "attention_mask", const("axes", np.array([1, 2]))), to=TensorProto.FLOAT))
    mask = op("Mul", mask, const("lowest", np.float32(np.finfo(np.float32).min)))
    length = op("Shape", "input_ids", start=1, end=2)
    positions = op("Slice", "embeddings.position_embeddings.weight", const("zero", np.array([0])), length, "zero")
    x = op("Add", op("Gather", "embeddings.word_embeddings.weight", "input_ids"), op("Gather", "embeddings.token_type_embeddings.weight", "token_type_ids"))
    x = norm(op("Add", x, positions), "embeddings.LayerNorm")
    for n in range(LAYERS):
        at = f"encoder.layer.{n}."
        split = lambda part, perm: op("Transpose", op("Reshape", linear(x, at + "attention.self." + part), heads), perm=perm)
        q, k, v = split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1]), split("value", [0, 2, 1, 3])
        scores = op("Div", op("MatMul", q, k), const(f"scale_{n}", np.float32(math.sqrt(WIDTH // HEADS))))
        seen = op("MatMul", op("Softmax", op("Add", scores, mask), axis=-1), v)
        seen = op("Reshape", op("Transpose", seen, perm=[0, 2, 1, 3]), packed)
        x = norm(op("Add", linear(seen, at + "attention.output.dense"), x), at + "attention.output.LayerNorm")
        up = linear(x, at + "intermediate.dense")
        half = op("Mul", up, op("Add", op("Erf", op("Div", up, const(f"root_{n}", np.float32(math.sqrt(2))))), "one"))
        x = norm(op("Add", linear(op("Mul", half, const(f"half_{n}", np.float32(0.5))), at + "output.dense"), x), at + "output.LayerNorm")
    nodes[-1].output[0] = "last_hidden_state"
    info = lambda name: helper.make_tensor_value_info(name, TensorProto.INT64, ["batch_size", "sequence_length"])
    out = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch_size", "sequence_length", WIDTH])
    graph = helper.make_graph(nodes, "tiny-bert", [info("input_ids"), info("attention_mask"), info("token_type_ids")], [out], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="make_tiny_bert.py")
    model.ir_version = 8
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    path = lambda name: os.path.join(args.output, name)
    os.makedirs(path("1_Pooling"), exist_ok=True)
    with open(args.text, encoding="utf-8") as f:
        tokenizer = make_tokenizer(f.read().splitlines())
    tokenizer.save(path("tokenizer.json"), pretty=False)
    w = make_weights(tokenizer.get_vocab_size())
    save_file(w, path("model.safetensors"))
    with open(path("model.onnx"), "wb") as f:
        f.write(make_onnx(w, path("model.safetensors")).SerializeToString())

    def write(name, value):
        with open(path(name), "w", encoding="utf-8") as f:
            json.dump(value, f, indent=1, ensure_ascii=False)
            f.write("\n")

    write("config.json", {"architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": WIDTH, "intermediate_size": WIDE, "layer_norm_eps": EPSILON,
                          "max_position_embeddings": POSITIONS, "model_type": "bert", "num_attention_heads": HEADS, "num_hidden_layers": LAYERS,
                          "pad_token_id": 0, "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": tokenizer.get_vocab_size()})
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    write("modules.json", [{"idx": i, "name": str(i), "path": at, "type": "sentence_transformers.models." + kind} for i, (at, kind) in enumerate(kinds)])
    write("1_Pooling/config.json", {"word_embedding_dimension": WIDTH, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
                                    "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False})
    write("sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
    tokenizer.no_padding()
    tokenizer.enable_truncation(40)
    cases = []
    for text in SENTENCES:
        ids = tokenizer.encode(text).ids
        states = run(w, ids)
        pooled = {"mean": states.mean(0), "cls": states[0], "max": states.max(0)}
        cases.append({"text": text, "ids": ids, **{k: [round(float(x), 7) for x in v / np.linalg.norm(v)] for k, v in pooled.items()},
                      "last_state": [round(float(x), 7) for x in states[-1]]})
    write("reference.json", cases)


if __name__ == "__main__":
    main()
