#!/usr/bin/env bash
# What `make demo` shows, once Cameo is built: a plan is built from a small language model, completes a sentence,
# and is compared with PyTorch.
set -euo pipefail
cd "$(dirname "$0")/.."
cameo=${1:-build}/cameo
model=models/tiny-gpt2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step() { printf '\n\033[1m%s\033[0m\n' "$1"; }
run() {
  printf '$'
  printf ' %q' "$@"
  printf '\n'
  "$@"
}

step "1. Build a plan from an ONNX file: a GPT-2 of 2.2 million parameters ($model)"
run "$cameo" build "$model/model.onnx" -o "$work/tiny-gpt2.plan" \
  --min-shapes input_ids:1x1,attention_mask:1x1 --opt-shapes input_ids:1x32,attention_mask:1x32 --max-shapes input_ids:8x256,attention_mask:8x256
run "$cameo" build "$model/model.onnx" -o "$work/with-cache.plan" --kv-cache=on

step "2. Complete a sentence, with the cache of keys and values that Cameo added (greedy; the model learned from the King James Bible)"
run "$cameo" generate "$model" --plan "$work/with-cache.plan" --prompt "And the LORD said unto Moses" --max-new-tokens 40

step "3. Compare every token, and the logits of every step, with what PyTorch computed ($model/reference.json)"
run "$cameo" generate "$model" --plan "$work/with-cache.plan" --verify "$model/reference.json"

step "4. What the cache saves: everything again at each token, the same with only the last logits (O1), and with the cache"
run "$cameo" bench generate "$model" --rounds 3

step "5. Where the time goes: 1 sequence of 32 tokens, again and again"
run "$cameo" bench "$work/tiny-gpt2.plan" --duration 2

# With an NVIDIA GPU, and CUDA's compiler to build for it, the same there.
if command -v nvidia-smi > /dev/null && nvidia-smi -L > /dev/null 2>&1; then
  cmake --build "$(dirname "$cameo")" --target cameo_cuda > /dev/null 2>&1 || true
  if "$cameo" devices --json | grep -q '"cuda": true'; then
    step "6. The same on the GPU that was found: $(nvidia-smi -L | head -1)"
    run "$cameo" generate "$model" --device cuda --prompt "And the LORD said unto Moses" --max-new-tokens 40
    run "$cameo" bench generate "$model" --device cuda --rounds 3
  else
    step "6. There is a GPU, but Cameo cannot use it"
    run "$cameo" devices
  fi
else
  printf '\nAll of this ran on the CPU: there is no NVIDIA GPU here.\n'
fi

step "Where to go next"
cat <<EOF
  $cameo generate $model --prompt "The LORD is my"           your own sentence (docs/text.md)
  $cameo inspect $model/model.onnx                           what is in a model
  $cameo inspect $model/model.onnx --passes                  what the optimiser does to it
  $cameo --help                                              all commands
  README.md: your own model from C++ in 20 lines       make test: how Cameo is tested
EOF
