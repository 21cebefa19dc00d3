#!/usr/bin/env python3
"""What a lower precision does to the results of real models.

  quality.py --build build sentences FOLDER [-- flags of cameo build]
  quality.py --build build graph NAME --models FOLDER [-- flags of cameo build]

sentences   FOLDER holds model.onnx and tokenizer.json of a sentence encoder (for instance all-mpnet-base-v2). It is built in float and
            with the flags (default: --int8), calibrated on 24 sentences; then the cosine similarities of 24 other pairs of sentences are
            compared. Fails when one differs by more than 0.02, or an embedding's cosine with its float self is below 0.99.
graph       A graph of tests/models, with drawn weights: the cosine of its outputs with those in float on inputs that calibration has not
            seen. Fails below 0.99.
Needs numpy, onnx, and tokenizers for sentences.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import cameo_api
from workloads import fill_weights, images, text

CALIBRATION = [
    "The committee will publish its report on water quality next spring.", "My sister plays the cello in a small orchestra.",
    "How do I reset the password of my account?", "Heavy rain is expected in the north during the night.",
    "The recipe needs two eggs, a cup of flour and a pinch of salt.", "Researchers found a new species of frog in the rain forest.",
    "Click the button in the upper right corner to save your changes.", "The train to the airport leaves every twenty minutes.",
    "Prices of electricity fell for the third month in a row.", "He could not remember where he had parked the car.",
    "A group of children is playing football in the park.", "The museum is closed on Mondays and on public holidays.",
    "Please find attached the invoice for the month of March.", "The telescope sent its first images of a distant galaxy.",
    "I would rather stay at home and read a good book tonight.", "The court ruled that the contract was not valid.",
    "Mix the paint well before you use it.", "The company hired three hundred people last year.", "What is the capital of Australia?",
    "Dogs need a walk at least twice a day.", "The bridge was built in 1932 and is still in use today, although trucks may no longer cross it.",
    "Nobody knew the answer.", "Her new novel tells the story of two brothers who meet again after forty years.", "Yes.",
    "Guten Morgen, wie geht es Ihnen?", "Il fait beau aujourd'hui.", "¿Dónde está la estación de tren?", "Merci beaucoup!", "Hello, how are you?",
    "A man sits on a bench and reads the newspaper.", "A woman walks her dog.", "Someone cooks dinner.", "The girl watches the birds.", "A boy rides a bicycle.",
    "He finished second.", "She lost her keys.", "We won the match.", "They came late.", "The minister resigned on Tuesday.",
    "The senate rejected the amendment.", "Oil prices rose again.", "Interest rates were cut by the central bank.", "The vote was postponed.", "Apples are red.",
    "Fish live in water.", "The sky is blue.", "Music is the language of the soul.", "Chemistry is hard.", "How do I sort a list in Java?", "for (int i = 0; i < n; ++i) sum += a[i];",
    "The movie was boring.", "What a wonderful concert!", "The coffee is too hot.", "My head hurts.", "Is there a pharmacy around here?", "The shop closes at six.",
    "When was the telephone invented?", "Why is the sea salty?", "Wind turbines make electricity.", "The boat sank in the storm.", "The flight leaves at noon.",
    "Nurses and doctors work at night.", "The village lies in a valley.", "In a short statement the king thanked the people.",
]
PAIRS = [
    ("A man is playing a guitar.", "Someone plays an instrument."), ("The cat sits outside.", "A woman watches television."),
    ("The new film is awesome.", "The new movie is so great."), ("Where can I buy fresh bread?", "Is there a bakery nearby?"),
    ("The stock market crashed yesterday.", "Share prices fell sharply on Tuesday."), ("She is cutting onions.", "A woman slices vegetables."),
    ("The plane landed two hours late.", "The flight was delayed."), ("I love pizza with mushrooms.", "The engine of the car is broken."),
    ("The doctor advised him to stop smoking.", "His physician told him to give up cigarettes."),
    ("Two boys are swimming in the lake.", "Children swim in cold water."), ("How old is the universe?", "When did the Big Bang happen?"),
    ("The parliament passed the law.", "The bill was rejected by the assembly."), ("It is snowing in the mountains.", "The beach is crowded in July."),
    ("Convert a string to an integer in Python.", "How can I parse a number from text with Python?"),
    ("The soup is too salty.", "There is too much salt in this soup."), ("A dog runs across the field.", "A dog sleeps on the sofa."),
    ("He won the race.", "He came in first."), ("He won the race.", "He lost the race."), ("The library opens at nine.", "At what time does the library open?"),
    ("Solar panels turn light into electricity.", "Photovoltaic cells produce power from the sun."),
    ("The river flooded the village.", "Mathematics is the language of science."), ("Can you recommend a good dentist?", "I have a toothache."),
    ("The president gave a long speech about education, health and the state of the roads.", "In a lengthy address the head of state spoke of schools."),
    ("Bananas are yellow.", "Bonjour, comment allez-vous?"),
]


def build(args, model, plan, shapes, *flags):
    command = [args.build / "cameo", "build", model, "-o", plan, "--threads", args.threads, *shapes, *flags]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr.strip())
    return cameo_api.Cameo(cameo_api.library_in(args.build), plan, args.threads), done.stdout.strip().split("\n")


def cosine(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300))


def sentences(args, folder):
    import tokenizers

    path = pathlib.Path(args.what)
    tokenizer = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(128)

    def feeds(sentence):
        ids = np.array([tokenizer.encode(sentence).ids], np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    for i, sentence in enumerate(CALIBRATION):
        np.savez(folder / f"{i:02}.npz", **feeds(sentence))
    shapes = [f for s, v in (("--min-shapes", 1), ("--opt-shapes", 24), ("--max-shapes", 128)) for f in (s, f"input_ids:1x{v},attention_mask:1x{v}")]
    plain, _ = build(args, path / "model.onnx", folder / "float.plan", shapes)
    low, messages = build(args, path / "model.onnx", folder / "low.plan", shapes, "--calib", folder, *args.flags)

    def embedding(engine, sentence):
        mean = np.array(engine.run(feeds(sentence))[0][0]).mean(0)
        return mean / np.linalg.norm(mean)

    worst, least = 0, 1
    print(f"{'float':>8} {'lowered':>8} {'off':>8}  pair")
    for a, b in PAIRS:
        want, got = [[embedding(engine, s) for s in (a, b)] for engine in (plain, low)]
        before, after = float(want[0] @ want[1]), float(got[0] @ got[1])
        worst = max(worst, abs(after - before))
        least = min([least] + [cosine(x, y) for x, y in zip(want, got)])
        print(f"{before:8.4f} {after:8.4f} {after - before:8.4f}  {a} / {b}")
    print(f"largest difference of {len(PAIRS)} similarities {worst:.4f}; least cosine of an embedding with its float self {least:.4f}")
    print("\n".join(messages[-2:]))
    return worst <= 0.02 and least >= 0.99


def graph(args, folder):
    path = args.models / args.what / f"{args.what}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fill_weights.fill(args.what, path.parent)
    from compare import input_infos, shapes_text

    infos = input_infos(path)
    make = images(1) if all(len(shape) == 4 for shape, _ in infos.values()) else text(1, 128)
    sets = []
    for seed in range(6):
        feeds = make(infos)
        rng = np.random.default_rng(seed)
        sets.append({n: rng.integers(3, 30000, v.shape) if n == "input_ids" else rng.standard_normal(v.shape, np.float32) if v.dtype == np.float32 else v
                     for n, v in feeds.items()})
    for i, feeds in enumerate(sets[:4]):
        np.savez(folder / f"{i}.npz", **feeds)
    shapes = ["--opt-shapes", shapes_text(sets[0])]
    plain, _ = build(args, path, folder / "float.plan", shapes)
    low, messages = build(args, path, folder / "low.plan", shapes, "--calib", folder, *args.flags)
    least = min(cosine(np.array(a), np.array(b)) for feeds in sets[4:] for a, b in zip(low.run(feeds), plain.run(feeds)))
    print(f"{args.what}: least cosine with float {least:.5f}; {messages[-1]}")
    return least >= 0.99


def main():
    arguments = sys.argv[1:]
    flags = ["--int8"]
    if "--" in arguments:
        at = arguments.index("--")
        arguments, flags = arguments[:at], arguments[at + 1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["sentences", "graph"])
    parser.add_argument("what", help="folder of the encoder, or name of the graph")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="build folder with cameo and libcameo.so")
    parser.add_argument("--models", type=pathlib.Path, default=pathlib.Path("models-bench"), help="folder for graphs with drawn weights")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(arguments)
    args.flags = flags
    with tempfile.TemporaryDirectory() as folder:
        return 0 if (sentences if args.mode == "sentences" else graph)(args, pathlib.Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
