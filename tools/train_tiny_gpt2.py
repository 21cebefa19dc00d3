#!/usr/bin/env python3
"""Trains models/tiny-gpt2 from nothing and writes everything that folder holds but its model card.

The text is the King James Bible as Debian's package bible-kjv prints it. The steps, in order:

  1. read the text, one document per chapter, and hold out a share of the chapters for validation
  2. train a byte-level BPE tokenizer on the rest                     -> tokenizer.json
  3. train a GPT2LMHeadModel and keep the weights with the best validation loss
  4. export it with torch.onnx, plainly and with past keys and values -> model.onnx, model_with_past.onnx
     and move the tensors of both exports into one file               -> model.weights
  5. record what PyTorch computes for a few prompts, step by step     -> reference.json

  apt-get install bible-kjv
  pip install torch transformers tokenizers onnx
  tools/train_tiny_gpt2.py --output models/tiny-gpt2

Step 3 takes minutes on a GPU; everything else runs on the CPU. The seed fixes the split, the tokenizer, the initial
weights and the batches. Some kernels of a GPU (attention's backward pass) add in an order of their own, so a second
training ends near the first, not in the same weights; with --checkpoint, the exports come out byte for byte the same.
"""
import argparse
import json
import math
import os
import random
import re
import subprocess
import time

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by deterministic matrix products

import onnx
import onnx.numpy_helper
import tokenizers
import torch
import torch.nn.functional as F
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, DynamicCache, GPT2Config

END_OF_TEXT = "<|endoftext|>"
OPSET = 17
EXTERNAL_FROM_BYTES = 1024  # smaller tensors stay inside the .onnx files
EXTERNAL_ALIGNMENT = 64
REFERENCE_PROMPTS = [
    "In the beginning",
    "And the LORD said unto Moses",
    "Blessed are the",
    "Now it came to pass in the days of",
    "The LORD is my",
    "And Jesus answered and said unto them",
]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", required=True, help="folder to write to")
    add("--text", help="file with one 'Book1:2 words' verse a line; without it the program bible is run")
    add("--checkpoint", help="weights to export instead of training: OUTPUT/checkpoint.pt of an earlier run")
    add("--seed", type=int, default=1611, help="seed of the split, the weights and the batches (default %(default)s)")
    add("--validation", type=float, default=0.05, help="share of the chapters held out (default %(default)s)")
    add("--vocab", type=int, default=4096, help="tokens in the vocabulary (default %(default)s)")
    add("--context", type=int, default=256, help="positions the model has (default %(default)s)")
    add("--layers", type=int, default=5, help="transformer blocks (default %(default)s)")
    add("--width", type=int, default=160, help="size of the hidden state (default %(default)s)")
    add("--heads", type=int, default=5, help="attention heads (default %(default)s)")
    add("--dropout", type=float, default=0.15, help="dropout of embeddings, attention, residuals (default %(default)s)")
    add("--steps", type=int, default=4500, help="optimizer steps (default %(default)s)")
    add("--batch", type=int, default=128, help="windows of --context tokens a step (default %(default)s)")
    add("--learning-rate", type=float, default=3e-3, help="peak, after a warm-up of 100 steps (default %(default)s)")
    add("--weight-decay", type=float, default=0.5, help="AdamW's, on matrices alone (default %(default)s)")
    add("--evaluate-every", type=int, default=100, help="steps between validations (default %(default)s)")
    return parser.parse_args()


def read_chapters(path):
    """Returns the chapters in their order, each one string with a verse a line, the references taken off."""
    if path:
        text = open(path, encoding="ascii").read()
    else:
        text = subprocess.run(["bible", "-f", "Gen1:1-Rev22:21"], check=True, capture_output=True, text=True).stdout
    chapters = {}
    for line in text.splitlines():
        book, chapter, verse = re.fullmatch(r"(\w+?)(\d+):\d+ (.*)", line.strip()).groups()
        chapters.setdefault((book, chapter), []).append(verse)
    return ["\n".join(verses) for verses in chapters.values()]


def split_chapters(chapters, share, seed):
    """Returns (training, validation), both in the order of the text."""
    held_out = set(random.Random(seed).sample(range(len(chapters)), round(share * len(chapters))))
    return (
        [c for i, c in enumerate(chapters) if i not in held_out],
        [c for i, c in enumerate(chapters) if i in held_out],
    )


def train_tokenizer(chapters, vocab_size):
    """A byte-level BPE tokenizer laid out as GPT-2's own: every string can be encoded, and decodes to itself."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END_OF_TEXT],
        show_progress=False,
    )
    tokenizer.train_from_iterator(chapters, trainer)
    return tokenizer


def encode_chapters(tokenizer, chapters):
    """Returns one long int64 tensor: each chapter's tokens after an end-of-text token."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    return torch.tensor([t for e in tokenizer.encode_batch(chapters) for t in [end, *e.ids]], dtype=torch.int64)


def next_token_loss(model, windows, reduction):
    """Cross entropy in nats of windows[:, 1:] given what stands before; windows is int64 [batch, length + 1]."""
    logits = model(input_ids=windows[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten(), reduction=reduction)


@torch.no_grad()
def evaluate(model, tokens, context):
    """Mean loss in nats a token over windows that lie end to end; the rest past the last whole window is left out."""
    was_training = model.training
    model.eval()
    count = (len(tokens) - 1) // context
    windows = torch.stack([tokens[i * context : (i + 1) * context + 1] for i in range(count)])
    total = sum(next_token_loss(model, w, "sum").item() for w in windows.split(64))
    model.train(was_training)
    return total / (count * context)


def train(args, config, training, validation):
    """Returns (weights with the best validation loss, a dictionary of figures for the model card)."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("high")
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").to(device).train()
    training, validation = training.to(device), validation.to(device)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": args.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=args.learning_rate,
        betas=(0.9, 0.98),
        fused=device == "cuda",
    )

    def learning_rate_factor(step):  # linear warm-up, then half a cosine down to a hundredth
        if step < 100:
            return (step + 1) / 100
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 100) / max(1, args.steps - 100)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_factor)
    batches = torch.Generator().manual_seed(args.seed)
    offsets = torch.arange(args.context + 1, device=device)
    best = {"validation_loss": math.inf}
    started = time.monotonic()
    for step in range(1, args.steps + 1):
        starts = torch.randint(len(training) - args.context, (args.batch,), generator=batches).to(device)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = next_token_loss(model, training[starts[:, None] + offsets], "mean")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % args.evaluate_every == 0 or step == args.steps:
            validation_loss = evaluate(model, validation, args.context)
            print(f"step {step}: batch {loss.item():.4f}, validation {validation_loss:.4f} nats a token", flush=True)
            if validation_loss < best["validation_loss"]:
                best = {"step": step, "validation_loss": validation_loss}
                weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    best["seconds"] = round(time.monotonic() - started, 1)
    model.load_state_dict(weights)
    best["training_loss"] = evaluate(model, training, args.context)
    return weights, best


class PlainExport(torch.nn.Module):
    """input_ids, attention_mask -> logits. Positions count from 0 in every row, padded or not."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits


class PastExport(torch.nn.Module):
    """As PlainExport, with the positions given and keys and values of earlier tokens taken in and handed on."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids, *past):
        cache = DynamicCache(list(zip(past[0::2], past[1::2])))
        out = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        presents = [tensor for layer in out.past_key_values.layers for tensor in (layer.keys, layer.values)]
        return (out.logits, *presents)


def export(model, args):
    """Exports both graphs, then lets them share one file of weights."""
    # The wrappers need eval() of their own: the exporter restores their mode, and with it the model's, when it is done.
    batch, length, past_length = 2, 5, 3
    ids = torch.randint(1, args.vocab, (batch, length))
    axes = {0: "batch_size", 1: "seq_len"}
    plain = os.path.join(args.output, "model.onnx")
    # Without folding, the LM head stays a Transpose of the embeddings it is tied to; folded, the file would hold a copy.
    options = {"opset_version": OPSET, "dynamo": False, "do_constant_folding": False}
    torch.onnx.export(
        PlainExport(model).eval(),
        (ids, torch.ones_like(ids)),
        plain,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": axes},
        **options,
    )

    pairs = [f"{i}.{kind}" for i in range(args.layers) for kind in ("key", "value")]
    sequence = {0: "batch_size", 1: "sequence_length"}
    with_past = os.path.join(args.output, "model_with_past.onnx")
    past = [torch.randn(batch, args.heads, past_length, args.width // args.heads) for _ in pairs]
    position_ids = torch.arange(past_length, past_length + length).expand(batch, length).contiguous()
    torch.onnx.export(
        PastExport(model).eval(),
        (ids, torch.ones(batch, past_length + length, dtype=torch.int64), position_ids, *past),
        with_past,
        input_names=["input_ids", "attention_mask", "position_ids", *(f"past_key_values.{p}" for p in pairs)],
        output_names=["logits", *(f"present.{p}" for p in pairs)],
        dynamic_axes={
            "input_ids": sequence,
            "attention_mask": {0: "batch_size", 1: "total_sequence_length"},
            "position_ids": sequence,
            "logits": sequence,
            **{f"past_key_values.{p}": {0: "batch_size", 2: "past_sequence_length"} for p in pairs},
            **{f"present.{p}": {0: "batch_size", 2: "total_sequence_length"} for p in pairs},
        },
        **options,
    )
    share_weights([plain, with_past], os.path.join(args.output, "model.weights"))


def share_weights(paths, weights_path):
    """Moves the larger initializers of several models into one external file, equal bytes stored once."""
    offsets = {}
    with open(weights_path, "wb") as out:
        for path in paths:
            model = onnx.load(path)
            for tensor in model.graph.initializer:
                data = onnx.numpy_helper.to_array(tensor).tobytes()
                if len(data) < EXTERNAL_FROM_BYTES:
                    continue
                if data not in offsets:
                    out.write(b"\0" * (-out.tell() % EXTERNAL_ALIGNMENT))
                    offsets[data] = out.tell()
                    out.write(data)
                tensor.ClearField("raw_data")
                tensor.data_location = onnx.TensorProto.EXTERNAL
                del tensor.external_data[:]
                location = {"location": os.path.basename(weights_path), "offset": offsets[data], "length": len(data)}
                for key, value in location.items():
                    tensor.external_data.add(key=key, value=str(value))
            with open(path, "wb") as f:
                f.write(model.SerializeToString())
    for path in paths:
        onnx.checker.check_model(path)


@torch.no_grad()
def complete(model, prompt_ids, count, temperature=0.0, generator=None):
    """Returns (new ids, the logits each was chosen from); temperature 0 takes the largest, else the 40 largest count."""
    ids, steps = list(prompt_ids), []
    for _ in range(count):
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        steps.append(logits)
        if temperature == 0:
            ids.append(int(logits.argmax()))
        else:
            values, candidates = logits.topk(40)
            ids.append(int(candidates[torch.multinomial((values / temperature).softmax(-1), 1, generator=generator)]))
    return ids[len(prompt_ids) :], steps


def reference(model, tokenizer, vocab_size, steps=32):
    """What PyTorch computes for REFERENCE_PROMPTS in float32 on the CPU; the model card describes the fields."""
    probe_ids = [round(i * (vocab_size - 1) / 15) for i in range(16)]

    def numbers(tensor):
        return [round(float(v), 5) for v in tensor]

    cases = []
    for prompt in REFERENCE_PROMPTS:
        prompt_ids = tokenizer.encode(prompt).ids
        completion_ids, logits_of_steps = complete(model, prompt_ids, steps)
        records = []
        for logits in logits_of_steps:
            top = logits.topk(5)
            records.append(
                {
                    "argmax": int(logits.argmax()),
                    "max": round(float(logits.max()), 5),
                    "log_sum_exp": round(float(logits.double().logsumexp(-1)), 5),
                    "top_ids": top.indices.tolist(),
                    "top_logits": numbers(top.values),
                    "probe_logits": numbers(logits[probe_ids]),
                }
            )
        cases.append(
            {
                "prompt": prompt,
                "prompt_ids": prompt_ids,
                "completion_ids": completion_ids,
                "completion": tokenizer.decode(completion_ids),
                "steps": records,
            }
        )
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "vocab_size": vocab_size,
        "probe_ids": probe_ids,
        "cases": cases,
    }


def main():
    args = parse_arguments()
    os.makedirs(args.output, exist_ok=True)
    in_output = lambda name: os.path.join(args.output, name)

    training_text, validation_text = split_chapters(read_chapters(args.text), args.validation, args.seed)
    tokenizer = train_tokenizer(training_text, args.vocab)
    tokenizer.save(in_output("tokenizer.json"))
    training, validation = encode_chapters(tokenizer, training_text), encode_chapters(tokenizer, validation_text)
    print(f"{len(training)} training tokens in {len(training_text)} chapters, {len(validation)} for validation")

    end = tokenizer.token_to_id(END_OF_TEXT)
    config = GPT2Config(
        architectures=["GPT2LMHeadModel"],
        vocab_size=args.vocab,
        n_positions=args.context,
        n_embd=args.width,
        n_layer=args.layers,
        n_head=args.heads,
        embd_pdrop=args.dropout,
        attn_pdrop=args.dropout,
        resid_pdrop=args.dropout,
        bos_token_id=end,
        eos_token_id=end,
    )
    config.save_pretrained(args.output)

    figures = {}
    if args.checkpoint:
        weights = torch.load(args.checkpoint, weights_only=True)
    else:
        weights, figures = train(args, config, training, validation)
        torch.save(weights, in_output("checkpoint.pt"))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    model.load_state_dict(weights)
    figures["parameters"] = sum(p.numel() for p in model.parameters())
    figures["final_validation_loss"] = evaluate(model, validation, args.context)
    tokens_per_byte = len(validation) / sum(len(c.encode()) + 1 for c in validation_text)
    figures["validation_bits_per_byte"] = figures["final_validation_loss"] * tokens_per_byte / math.log(2)

    export(model, args)
    with open(in_output("reference.json"), "w", encoding="utf-8") as f:
        f.write(compact_lists(json.dumps(reference(model, tokenizer, args.vocab), indent=1)) + "\n")

    print(json.dumps(figures))
    generator = torch.Generator().manual_seed(args.seed)
    for prompt in REFERENCE_PROMPTS:
        for temperature in (0.0, 0.8):
            ids, _ = complete(model, tokenizer.encode(prompt).ids, 60, temperature, generator)
            print(f"[temperature {temperature}] {prompt}|{tokenizer.decode(ids)!r}")


def compact_lists(text):
    """Joins each list of plain numbers in indented JSON into one line."""
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"), text)


if __name__ == "__main__":
    main()
