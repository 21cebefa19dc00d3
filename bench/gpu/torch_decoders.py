"""Decoders in PyTorch, as Hugging Face runs them and as the fastest loops that we know."""
import time

import numpy as np
import torch

DEVICE = "cuda"


def weights_of(path):
    """GPT-2's weights by Hugging Face's names, from an exported graph."""
    import onnx
    from onnx import numpy_helper
    graph = onnx.load(path).graph
    held = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    renamed = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity" and n.input[0] in held}
    weights = {}
    for name in list(held) + list(renamed):
        at = name.find("transformer.")
        if at >= 0:
            weights[name[at:]] = held.get(name, held.get(renamed.get(name)))
    head = next(n for n in reversed(graph.node) if n.op_type == "MatMul" and n.input[1] in held)
    weights["lm_head.weight"] = held[head.input[1]].T
    return {k: torch.tensor(np.array(v)) for k, v in weights.items()}


def gpt2(weights):
    """Hugging Face's model of these weights, in float32 on the CPU."""
    from transformers import GPT2Config, GPT2LMHeadModel
    layers = 1 + max(int(n.split(".")[2]) for n in weights if n.startswith("transformer.h."))
    vocabulary, hidden = weights["transformer.wte.weight"].shape
    config = GPT2Config(vocab_size=vocabulary, n_positions=weights["transformer.wpe.weight"].shape[0], n_embd=hidden, n_layer=layers, n_head=hidden // 64,
                        bos_token_id=0, eos_token_id=None, pad_token_id=0, tie_word_embeddings=False)
    model = GPT2LMHeadModel(config).eval()
    missing, _ = model.load_state_dict(weights, strict=False)
    if [m for m in missing if not m.endswith((".attn.bias", ".attn.masked_bias"))]:
        raise RuntimeError(f"no weights for {missing[:3]}")
    return model


class HuggingFace:
    """model.generate(), greedy, in float16."""

    def __init__(self, model):
        self.model = model.half().to(DEVICE)
        self.model.generation_config.eos_token_id = None

    def run(self, rows, count):
        ids = torch.tensor(rows, device=DEVICE)
        with torch.inference_mode():
            out = self.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, use_cache=True)
        return out[:, ids.shape[1]:].tolist()


class Static(torch.nn.Module):
    """GPT-2 over a cache of fixed size."""

    def __init__(self, weights, capacity):
        super().__init__()
        self.w = {k: v.half().to(DEVICE) for k, v in weights.items()}
        self.layers = 1 + max(int(n.split(".")[2]) for n in weights if n.startswith("transformer.h."))
        self.hidden = weights["transformer.wte.weight"].shape[1]
        self.heads = self.hidden // 64
        self.capacity = capacity

    def caches(self, batch):
        return [torch.zeros(batch, self.heads, self.capacity, 64, dtype=torch.float16, device=DEVICE) for _ in range(2 * self.layers)]

    def forward(self, ids, positions, caches):
        """ids [batch, n] at `positions` [n]; the likeliest next token of each row."""
        w, f = self.w, torch.nn.functional
        batch, n = ids.shape
        x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][positions]
        mask = torch.arange(self.capacity, device=ids.device)[None, :] <= positions[:, None]
        norm = lambda x, at: f.layer_norm(x, (self.hidden,), w[at + ".weight"], w[at + ".bias"])
        linear = lambda x, at: torch.addmm(w[at + ".bias"], x.reshape(-1, x.shape[-1]), w[at + ".weight"]).view(batch, n, -1)
        for i in range(self.layers):
            at = f"transformer.h.{i}."
            q, k, v = linear(norm(x, at + "ln_1"), at + "attn.c_attn").view(batch, n, 3, self.heads, 64).permute(2, 0, 3, 1, 4)
            keys, values = caches[2 * i], caches[2 * i + 1]
            keys.index_copy_(2, positions, k)
            values.index_copy_(2, positions, v)
            y = f.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
            x = x + linear(y.transpose(1, 2).reshape(batch, n, -1), at + "attn.c_proj")
            x = x + linear(f.gelu(linear(norm(x, at + "ln_2"), at + "mlp.c_fc"), approximate="tanh"), at + "mlp.c_proj")
        return (norm(x[:, -1], "transformer.ln_f") @ w["lm_head.weight"].T).argmax(-1)


class StaticLlama(torch.nn.Module):
    """A Llama over a cache of fixed size: rotary positions, RMS norms, SwiGLU, shared heads. `model` is Hugging Face's."""

    def __init__(self, model, capacity):
        super().__init__()
        config, self.capacity = model.config, capacity
        self.heads, self.kv, self.size, self.epsilon = config.num_attention_heads, config.num_key_value_heads, config.hidden_size // config.num_attention_heads, config.rms_norm_eps
        half = lambda t: t.detach().half().to(DEVICE)
        self.table, self.last, self.head = half(model.model.embed_tokens.weight), half(model.model.norm.weight), half(model.lm_head.weight)
        self.blocks = []
        for layer in model.model.layers:
            a, m = layer.self_attn, layer.mlp
            self.blocks.append([half(w) for w in (layer.input_layernorm.weight, torch.cat([a.q_proj.weight, a.k_proj.weight, a.v_proj.weight]), a.o_proj.weight,
                                                  layer.post_attention_layernorm.weight, torch.cat([m.gate_proj.weight, m.up_proj.weight]), m.down_proj.weight)])
        base = getattr(config, "rope_theta", None) or config.rope_parameters["rope_theta"]
        angles = torch.arange(capacity)[:, None] * base ** (-torch.arange(0, self.size, 2) / self.size)[None]
        self.cos, self.sin = half(angles.cos().repeat(1, 2)), half(angles.sin().repeat(1, 2))

    def caches(self, batch):
        return [torch.zeros(batch, self.kv, self.capacity, self.size, dtype=self.table.dtype, device=DEVICE) for _ in range(2 * len(self.blocks))]

    def forward(self, ids, positions, caches):
        """ids [batch, n] at `positions` [n]; the likeliest next token of each row."""
        f, (batch, n) = torch.nn.functional, ids.shape
        shared = self.heads // self.kv
        x = self.table[ids]
        cos, sin = self.cos[positions], self.sin[positions]
        mask = (torch.arange(self.capacity, device=ids.device)[None, :] <= positions[:, None]).repeat(shared, 1)
        norm = lambda x, w: f.rms_norm(x.float(), (x.shape[-1],), eps=self.epsilon).to(x.dtype) * w
        turn = lambda v: v * cos + torch.cat([-v[..., self.size // 2:], v[..., :self.size // 2]], -1) * sin
        for i, (before, qkv, out, after, gate_up, down) in enumerate(self.blocks):
            q, k, v = f.linear(norm(x, before), qkv).view(batch, n, -1, self.size).transpose(1, 2).split([self.heads, self.kv, self.kv], 1)
            keys, values = caches[2 * i], caches[2 * i + 1]
            keys.index_copy_(2, positions, turn(k))
            values.index_copy_(2, positions, v)
            # The heads that share keys are so many more queries.
            y = f.scaled_dot_product_attention(turn(q).reshape(batch, self.kv, shared * n, self.size), keys, values, attn_mask=mask)
            y = y.reshape(batch, self.heads, n, self.size).transpose(1, 2).reshape(batch, n, -1)
            x = x + f.linear(y, out)
            gate, up = f.linear(norm(x, after), gate_up).chunk(2, -1)
            x = x + f.linear(f.silu(gate) * up, down)
        return f.linear(norm(x[:, -1], self.last), self.head).argmax(-1)


def make_llama(folder, seed=0):
    """A model of SmolLM2-135M's shape with drawn weights, as Hugging Face saves it."""
    import transformers
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
                                      max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=100000.0, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
                                      initializer_range=0.04)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


class Compiled:
    """Static, each step one replay of a CUDA graph."""

    def __init__(self, model, step, batch, prompt):
        self.model, self.compiled = model, step
        self.caches = model.caches(batch)
        self.ids = torch.zeros(batch, prompt, dtype=torch.long, device=DEVICE)
        self.token = torch.zeros(batch, 1, dtype=torch.long, device=DEVICE)
        self.position = torch.zeros(1, dtype=torch.long, device=DEVICE)
        self.made = torch.zeros(model.capacity, batch, dtype=torch.long, device=DEVICE)
        self.all = torch.arange(prompt, device=DEVICE)
        self.prompt = prompt
        with torch.inference_mode():
            self.fill = self.graph(self.first)
            self.step = self.graph(self.next)

    def first(self):
        self.token.copy_(self.model(self.ids, self.all, self.caches)[:, None])  # not compiled, but a graph too
        self.position.fill_(self.prompt)
        self.made.index_copy_(0, self.position, self.token.T)

    def next(self):
        self.token.copy_(self.compiled(self.token, self.position, self.caches)[:, None])
        self.position.add_(1)
        self.made.index_copy_(0, self.position, self.token.T)

    def graph(self, call):
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.position.fill_(self.prompt)
                call()
        torch.cuda.current_stream().wait_stream(stream)
        self.position.fill_(self.prompt)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return graph

    def run(self, rows, count):
        self.ids.copy_(torch.tensor(rows))
        self.fill.replay()
        for _ in range(count - 1):
            self.step.replay()
        return self.made[self.prompt:self.prompt + count].T.tolist()

    def step_us(self, rows, count):
        self.run(rows, 1)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            self.step.replay()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / count * 1e6
