#!/usr/bin/env python3
"""The command line, as a person uses it: what it prints, its files, its exit codes, its errors.

  cli_test.py CAMEO        CAMEO: the program
Needs numpy.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
MODEL = os.path.join(ROOT, "models", "tiny-gpt2")
ONNX = os.path.join(MODEL, "model.onnx")
CAMEO = sys.argv.pop(1) if len(sys.argv) > 1 else "build/cameo"
IDS, MASK = "input_ids=[[1155,259,2070]]", "attention_mask=[[1,1,1]]"


def cameo(*args):
    return subprocess.run([CAMEO, *map(str, args)], capture_output=True, text=True, timeout=120)


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.plan = cls.path("m.plan")
        shapes = ["input_ids:{0},attention_mask:{0}".format(s) for s in ("1x1", "1x8", "2x16")]
        done = cameo("build", ONNX, "-o", cls.plan, "--min-shapes", shapes[0], "--opt-shapes", shapes[1], "--max-shapes", shapes[2])
        assert done.returncode == 0, done.stderr

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content)
        return self.path(name)

    def ok(self, *args):
        done = cameo(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def ok_json(self, *args):
        return json.loads(self.ok(*args, "--json"))

    def fails(self, code, parts, *args):
        """The exit code, all parts in the message, and with --json an object on stdout."""
        done = cameo(*args)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)
        return done

    def test_help_and_version(self):
        self.assertIn("Exit codes", self.ok("--help"))
        for command in ("build", "run", "inspect", "bench", "profile", "explain", "exec", "generate"):
            self.assertIn("--json", self.ok(command, "--help"))
        self.assertRegex(self.ok("--version"), r"^\d+\.\d+\.\d+\n$")
        self.fails(2, ["subcommand"])
        self.fails(2, ["subcommand"], "bild")
        self.fails(2, ["--outptu"], "build", ONNX, "-o", self.path("x.plan"), "--outptu", "x")

    def test_timing_cache(self):
        """The second build measures nothing and gives the same bytes; a miss is an error when that is asked for."""
        shapes = ("--opt-shapes", "input_ids:1x8,attention_mask:1x8")
        cache = self.path("kernel_times.json")
        self.fails(2, ["timing cache", "forbidden"], "build", ONNX, "-o", self.path("a.plan"), *shapes, "--timing-cache", cache, "--error-on-miss")
        self.ok("build", ONNX, "-o", self.path("a.plan"), *shapes, "--timing-cache", cache)
        with open(cache) as f:
            self.assertEqual(json.load(f)["format"], "cameo timing cache")
        self.ok("build", ONNX, "-o", self.path("b.plan"), *shapes, "--timing-cache", cache, "--error-on-miss")
        with open(self.path("a.plan"), "rb") as a, open(self.path("b.plan"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.fails(2, ["broken.json", "damaged"], "build", ONNX, "-o", self.path("c.plan"), "--timing-cache", self.write("broken.json", b"{"))
        out = self.ok("exec", f"--onnx={ONNX}", "--shapes=input_ids:1x8,attention_mask:1x8", f"--timingCacheFile={cache}", "--errorOnTimingCacheMiss",
                      "--duration=0", "--warmUp=0", "--dumpProfile", f"--exportProfile={self.path('profile.json')}")
        self.assertIn("Median(ms)", out)
        with open(self.path("profile.json")) as f:
            self.assertGreater(len(json.load(f)), 5)

    def test_profile_and_explain(self):
        out = self.ok_json("profile", self.plan, "--duration", "0")
        self.assertGreater(len(out["nodes"]), 5)
        self.assertLessEqual(sum(n["milliseconds"] for n in out["nodes"]), out["milliseconds"])
        self.assertIn("operator [kernel]", self.ok("profile", self.plan, "--duration", "0", "--threads", "1"))
        nodes = self.ok_json("explain", self.plan)["nodes"]
        products = [n for n in nodes if "MatMul" in n["op"]]
        self.assertTrue(products)
        for n in products:
            self.assertTrue(n["onnx_nodes"])
            self.assertIn("float32", n["precision"])
        self.assertIn("runs with", self.ok("explain", self.plan, "0"))
        self.assertIn(products[0]["onnx_nodes"][0], self.ok("explain", self.plan, products[0]["onnx_nodes"][0]))
        self.fails(2, ["no_such_node", "inspect --layers"], "explain", self.plan, "no_such_node")

    def test_build(self):
        out = self.ok_json("build", ONNX, "-o", self.path("json.plan"))
        self.assertEqual(out["bytes"], os.path.getsize(self.path("json.plan")))
        self.assertTrue(out["passes"])
        self.fails(3, ["missing.onnx"], "build", self.path("missing.onnx"), "-o", self.path("x.plan"))
        self.fails(3, ["no/such/folder"], "build", ONNX, "-o", self.path("no/such/folder/x.plan"))
        self.fails(2, ["no_such_pass", "dead_code"], "build", ONNX, "-o", self.path("x.plan"), "--disable-pass", "no_such_pass")
        shapes = [("input_ids", "no name:shape"), ("input_ids:1xq", "1xq"), ("input_ids:1x1,input_ids:1x1", "twice"), ("z:1x1", "'z'"),
                  ("input_ids:3", "rank 1"), ("input_ids:1x99999999999999999999", "no shape")]
        for text, part in shapes:
            self.fails(2, [part], "build", ONNX, "-o", self.path("x.plan"), "--opt-shapes", text)
        self.assertFalse(os.path.exists(self.path("x.plan")))

    def test_run(self):
        out = self.ok("run", self.plan, "--input", IDS, "--input", MASK, "--output-dir", self.path("out"))
        self.assertIn("logits: float32[1x3x4096]", out)
        logits = np.load(self.path("out/logits.npy"))
        self.assertEqual((logits.shape, logits.dtype, int(logits[0, -1].argmax())), ((1, 3, 4096), np.float32, 269))
        # The same from .npy files, of another integer type and in Fortran order, and straight from the model.
        np.save(self.path("ids.npy"), np.asfortranarray(np.array([[1155, 259, 2070]] * 2, np.int32)))
        np.save(self.path("mask.npy"), np.ones((2, 3), ">i8"))
        for source in (self.plan, ONNX):
            self.ok("run", source, "--input", "input_ids=" + self.path("ids.npy"), "--input", "attention_mask=" + self.path("mask.npy"), "--output-dir", self.path("out2"))
            np.testing.assert_allclose(np.load(self.path("out2/logits.npy"))[1], logits[0], atol=1e-4)
        made_up = self.ok_json("run", self.plan, "--shapes", "input_ids:2x5,attention_mask:2x5", "--random-seed", "3")
        self.assertEqual(made_up["outputs"][0]["shape"], [2, 5, 4096])
        self.assertEqual(made_up["outputs"][0]["nan"], 0)

    def test_run_errors(self):
        run = lambda code, parts, *more: self.fails(code, parts, "run", self.plan, *more)
        run(2, ["'input_ids'", "'attention_mask'"], "--input", "ids=[[1]]")
        run(2, ["given twice"], "--input", IDS, "--input", IDS)
        run(2, ["ragged"], "--input", "input_ids=[[1,2],[3]]")
        run(2, ["neither"], "--input", "input_ids=[[1,2")
        run(2, ["no integer"], "--input", "input_ids=[[1.5]]")
        run(2, ["no number"], "--input", 'input_ids=[["a"]]')
        run(2, ["'z'"], "--shapes", "z:1x1")
        run(3, ["'input_ids'", "rank 1"], "--input", "input_ids=[1]")
        run(3, ["dimension 1", "is 17", "1 to 16"], "--shapes", "input_ids:1x17,attention_mask:1x17")
        run(3, ["seq_len", "3 and 4"], "--shapes", "input_ids:1x3,attention_mask:1x4")
        run(2, ["profile 7"], "--profile", "7")
        run(3, ["out of range", "4096"], "--input", "input_ids=[[4096,0,0]]", "--input", MASK)
        run(3, ["no/such.npy"], "--input", "input_ids=" + self.path("no/such.npy"))

    def test_damaged_npy(self):
        np.save(self.path("good.npy"), np.ones((1, 3), np.int64))
        with open(self.path("good.npy"), "rb") as f:
            good = f.read()
        header = good[10:128]
        cases = {
            "empty": (b"", "not a .npy file"),
            "text": (b"1,2,3\n" * 10, "not a .npy file"),
            "future version": (b"\x93NUMPY\x09\x00" + good[8:], "version 9"),
            "cut in the header": (good[:40], "cut off"),
            "cut in the data": (good[:-1], "cut off"),
            "header length past the end": (good[:8] + b"\xff\xff" + good[10:], "cut off"),
            "no shape": (good[:10] + header.replace(b"'shape'", b"'shade'") + good[128:], "'shape'"),
            "object type": (good[:10] + header.replace(b"'<i8'", b"'|O' ") + good[128:], "'|O'"),
            "records": (good[:10] + header.replace(b"'<i8'", b"[(1)]") + good[128:], "records"),
            "huge shape": (good[:10] + header.replace(b"(1, 3), }          ", b"(999999999999, 3), }") + good[128:], "cut off"),
            "float values for integers": (good[:10] + header.replace(b"'<i8'", b"'<f8'") + good[128:], "float64"),
        }
        for name, (content, part) in cases.items():
            with self.subTest(name):
                self.fails(3, [part], "run", self.plan, "--input", "input_ids=" + self.write("bad.npy", content))

    def test_damaged_plans(self):
        with open(self.plan, "rb") as f:
            good = f.read()
        cases = {
            "cut off": (good[:-1], "cut off"),
            "cut in the header": (good[:100], "cut off"),
            "longer": (good + b"\0", "too long"),
            "metadata changed": (good[:1000] + bytes([good[1000] ^ 1]) + good[1001:], "metadata is damaged"),
            "weights changed": (good[:-1] + bytes([good[-1] ^ 1]), "damaged"),
            "another format": (good[:8] + b"\x07" + good[9:], "format version 7"),
        }
        for name, (content, part) in cases.items():
            with self.subTest(name):
                bad = self.write("bad.plan", content)
                for command in (["run", bad], ["inspect", bad], ["bench", bad], ["exec", "--loadEngine=" + bad]):
                    self.fails(3, [part], *command)

    def test_not_models(self):
        for name, content in {"empty": b"", "text": b"hello\n" * 50, "json": b'{"a": 1}', "zip": b"PK\x03\x04" + b"\0" * 60, "png": b"\x89PNG\r\n\x1a\n" + b"\0" * 40}.items():
            with self.subTest(name):
                bad = self.write("bad.onnx", content)
                self.fails(3, ["bad.onnx"], "inspect", bad)
                self.fails(3, ["bad.onnx"], "build", bad, "-o", self.path("x.plan"))
        os.makedirs(self.path("empty"))
        self.fails(3, ["neither config.json"], "inspect", self.path("empty"))
        self.fails(3, [], "inspect", "/dev/zero")

    def test_types_of_inputs_and_outputs(self):
        plan, out = self.path("types.plan"), self.path("types")
        self.ok("build", ONNX, "-o", plan, "--input-types", "input_ids:uint16,attention_mask:bool", "--output-types", "fp16")
        np.save(self.path("ids16.npy"), np.array([[1155, 259, 2070]], np.uint16))
        np.save(self.path("seen.npy"), np.ones((1, 3), bool))
        self.ok("run", plan, "--input", "input_ids=" + self.path("ids16.npy"), "--input", "attention_mask=" + self.path("seen.npy"), "--output-dir", out)
        self.ok("run", ONNX, "--input", IDS, "--input", MASK, "--output-dir", out + "32")
        narrow, wide = (np.load(folder + "/logits.npy") for folder in (out, out + "32"))
        self.assertEqual((narrow.dtype, wide.dtype), (np.float16, np.float32))
        np.testing.assert_allclose(narrow.astype(np.float32), wide, rtol=1e-3, atol=1e-3)
        self.fails(2, ["no output 'logit'", "'logits'"], "build", ONNX, "-o", plan, "--output-types", "logit:fp16")
        self.fails(2, ["'fp17'", "fp16"], "build", ONNX, "-o", plan, "--output-types", "fp17")
        self.fails(2, ["twice"], "build", ONNX, "-o", plan, "--output-types", "fp16,bf16")
        self.fails(2, ["string"], "build", ONNX, "-o", plan, "--input-types", "input_ids:string")
        self.fails(2, ["cache"], "build", ONNX, "-o", plan, "--output-types", "fp16", "--kv-cache", "on")

    def test_inspect(self):
        text = self.ok("inspect", ONNX)
        for part in ("input_ids: int64[batch_size, seq_len]", "logits: float32[batch_size, seq_len, 4096]", "ai.onnx 17", "MatMul", "parameters: 2243", "every node can be run"):
            self.assertIn(part, text)
        model = self.ok_json("inspect", ONNX, "--layers", "--passes")
        self.assertEqual(model["unsupported"], [])
        self.assertTrue(model["layers"] and model["passes"])
        self.assertEqual(model["optimised_operators"]["Attention"], 5)
        text = self.ok("inspect", ONNX, "--passes", "--disable-pass", "fuse_attention")
        self.assertIn("after the passes, operators:", text)
        self.assertNotIn("pass fuse_attention", text)
        plan = self.ok_json("inspect", self.plan, "--layers")
        self.assertEqual(plan["profiles"][0][0]["max"], "2x16")
        memory = plan["memory"][0]
        self.assertLess(memory["arena_bytes"], memory["without_reuse_bytes"])
        self.assertTrue(all(layer["onnx_nodes"] for layer in plan["layers"]), "every layer names its ONNX nodes")

    def test_surgeon(self):
        out, layers = self.path("optimised.onnx"), {}
        done = self.ok_json("surgeon", ONNX, "-o", out, "--onnx-operators", "--verify-passes")
        self.assertEqual(done["opset"], 23, "the one that has Attention")
        self.assertLess(done["nodes"], done["nodes_before"])
        for layer in self.ok_json("inspect", out, "--layers")["layers"]:
            layers[layer["op"]] = layers.get(layer["op"], 0) + 1
        self.assertEqual((layers["Attention"], layers["LayerNormalization"], layers["Gelu"]), (5, 11, 5))
        outputs = [self.ok_json("run", model, "--input", IDS, "--input", MASK)["outputs"] for model in (ONNX, out)]
        self.assertEqual(outputs[0][0]["shape"], outputs[1][0]["shape"])
        alone = self.ok_json("surgeon", ONNX, "-o", out, "--passes", "dead_code,fuse_gelu")
        self.assertEqual([p["name"] for p in alone["passes"]], ["dead_code", "fuse_gelu"])
        self.assertIn("opset", self.ok("surgeon", ONNX, "-o", self.path("own.onnx")))
        self.assertIn("ai.cameo.MatMul", self.ok_json("inspect", self.path("own.onnx"))["operators"])
        self.fails(2, ["no pass 'fuse_gellu'"], "surgeon", ONNX, "-o", out, "--passes", "fuse_gellu")
        self.fails(4, ["needs opset 23"], "surgeon", ONNX, "-o", out, "--onnx-operators", "--opset", "18")

    def test_bench(self):
        out = self.ok_json("bench", self.plan, "--shapes", "input_ids:1x4,attention_mask:1x4", "--duration", "0.2")
        self.assertGreater(out["throughput_qps"], 0)
        for times in ("latency_ms", "h2d_ms", "compute_ms", "d2h_ms", "enqueue_ms"):
            self.assertEqual(set(out[times]), {"min", "max", "mean", "median", "p90", "p95", "p99"})
        self.assertIn("latency", self.ok("bench", self.plan, "--duration", "0.1", "--streams", "2"))
        self.fails(2, ["'z'"], "bench", self.plan, "--shapes", "z:1")
        self.fails(2, ["--duration"], "bench", self.plan, "--duration", "-1")

    def test_exec(self):
        saved = self.path("exec.plan")
        shapes = ["--minShapes=input_ids:1x1,attention_mask:1x1", "--optShapes=input_ids:8x16,attention_mask:8x16", "--maxShapes=input_ids:16x32,attention_mask:16x32"]
        out = self.ok("exec", "--onnx=" + ONNX, "--saveEngine=" + saved, *shapes, "--skipInference")
        self.assertTrue(out.endswith("[Cameo v0.1.0]\n") and "&&&& PASSED" in out)
        out = self.ok("exec", "--loadEngine=" + saved, "--shapes=input_ids:1x4,attention_mask:1x4", "--iterations=5", "--duration=0", "--warmUp=0", "--avgRuns=2",
                      "--percentile=50,99", "--noTF32", "--useCudaGraph", "--exportTimes=" + self.path("times.json"), "--dumpOutput")
        for part in ("Throughput: ", "Latency: min = ", "percentile(99%) = ", "GPU Compute Time: min", "H2D Latency", "Total Host Walltime", "--noTF32 has no effect"):
            self.assertIn(part, out)
        with open(self.path("times.json")) as f:
            self.assertGreaterEqual(len(json.load(f)), 5)
        self.assertGreater(self.ok_json("exec", "--loadEngine=" + saved, "--duration=0", "--shapes=input_ids:1x4,attention_mask:1x4")["throughput_qps"], 0)
        done = self.fails(4, ["--fp16"], "exec", "--onnx=" + ONNX, "--fp16")
        self.assertIn("&&&& FAILED", done.stdout)
        self.fails(2, ["calibration"], "exec", "--onnx=" + ONNX, "--int8")
        self.fails(3, ["--calib", "nowhere"], "exec", "--onnx=" + ONNX, "--int8", "--calib=nowhere")
        self.fails(2, ["3 formats", "model's 1"], "exec", "--onnx=" + ONNX, "--outputIOFormats=fp16:chw,fp16:chw,fp16:chw")
        self.fails(4, ["fp16:hwc8"], "exec", "--onnx=" + ONNX, "--outputIOFormats=fp16:hwc8")
        self.fails(2, ["no type"], "exec", "--onnx=" + ONNX, "--inputIOFormats=half")
        self.ok("exec", "--onnx=" + ONNX, "--saveEngine=" + saved, "--inputIOFormats=int32:chw,int64:chw", "--outputIOFormats=fp16:chw", "--int4", "--buildOnly")
        text = self.ok("inspect", saved)
        for part in ("input_ids: int32[", "attention_mask: int64[", "logits: float16["):
            self.assertIn(part, text)
        self.fails(2, ["--onnx", "--loadEngine"], "exec")
        self.fails(2, ["--percentile"], "exec", "--loadEngine=" + saved, "--percentile=200")

    def test_generate(self):
        out = self.ok_json("generate", MODEL, "--prompt", "And the LORD said unto Moses", "--max-new-tokens", "8")
        with open(os.path.join(MODEL, "reference.json")) as f:
            case = json.load(f)["cases"][1]
        self.assertEqual(out["prompt_token_ids"], case["prompt_ids"])
        self.assertEqual(out["token_ids"], case["completion_ids"][:8])
        self.assertEqual(out["finish_reason"], "length")
        self.assertTrue(self.ok_json("generate", MODEL, "--verify", os.path.join(MODEL, "reference.json"))["agrees"])
        self.fails(3, ["no tokens"], "generate", MODEL, "--prompt", "")
        self.fails(3, ["3 prompt tokens", "21 new ones", "allows 16", "--max-shapes"], "generate", MODEL, "--plan", self.plan, "--prompt", "In the beginning", "--max-new-tokens", "21")
        self.fails(3, ["tokenizer.json"], "generate", self.folder.name, "--prompt", "x")
        self.fails(2, ["no prompt"], "generate", MODEL)
        self.fails(4, ["no chat template"], "generate", MODEL, "--chat", "--prompt", "x")
        self.fails(2, ["--logit-bias"], "generate", MODEL, "--prompt", "x", "--logit-bias", "5")

    def test_generate_batches_and_modes(self):
        """Each mode gives the same; a batch of prompts from a file gives what each gives alone; drawing repeats."""
        prompts = ["In the beginning", "The LORD is my", "And it came to pass in those days, that"]
        listed = self.write("prompts.txt", "\n".join(prompts).encode())
        for extra in ([], ["--temperature", "0.8", "--top-k", "40", "--top-p", "0.9", "--min-p", "0.01", "--seed", "5"]):
            batch = self.ok_json("generate", MODEL, "--prompt-file", listed, "--max-new-tokens", "12", *extra)
            self.assertEqual(batch["mode"], "cached")
            for mode, flag in (("o1", "--o1"), ("recompute", "--no-cache")):
                other = self.ok_json("generate", MODEL, "--prompt-file", listed, "--max-new-tokens", "12", flag, *extra)
                self.assertEqual(other["mode"], mode)
                self.assertEqual(other["completions"], batch["completions"])
        plain = self.ok_json("generate", MODEL, "--prompt-file", listed, "--max-new-tokens", "12")["completions"]
        for prompt, row in zip(prompts, plain):
            alone = self.ok_json("generate", MODEL, "--prompt", prompt, "--max-new-tokens", "12")
            self.assertEqual(alone["token_ids"], row["token_ids"])
            self.assertEqual(self.ok("generate", MODEL, "--prompt", prompt, "--max-new-tokens", "12"), prompt + row["text"] + "\n")
        stopped = self.ok_json("generate", MODEL, "--prompt", prompts[0], "--stop", "month, i", "--logprobs", "--top-logprobs", "2")
        self.assertEqual((stopped["text"], stopped["finish_reason"]), (" of the first ", "stop"))
        self.assertEqual(len(stopped["top_log_probabilities"][0]), 2)
        self.assertLess(self.ok_json("generate", MODEL, "--prompt", prompts[0], "--num-beams", "4", "--max-new-tokens", "8")["score"], 0)

    def test_generate_refuses(self):
        """Options that mean nothing, or are out of range, are wrong usage and say so."""
        cases = [(["--logprobs"], "--json"), (["--top-logprobs", "3"], "--json"), (["--system", "x"], "--chat"), (["--max-new-tokens", "-1"], "--max-new-tokens"),
                 (["--max-new-tokens", str(1 << 64)], "--max-new-tokens"), (["--num-beams", "0"], "--num-beams"), (["--stop-token", "4096"], "token 4096"),
                 (["--logit-bias", "4096:1"], "token 4096"), (["--logit-bias", "5:nan"], "nan"), (["--temperature", "nan"], "temperature"), (["--top-p", "0"], "top_p"),
                 (["--stop", ""], "stop string"), (["--max-length", "-3"], "--max-length"), (["--num-beams", "2", "--temperature", "1"], "beam search")]
        for options, part in cases:
            with self.subTest(options):
                self.fails(2, [part], "generate", MODEL, "--prompt", "x", "--opt-level", "0", *options)

    def test_generate_bad_text(self):
        quick = ["--opt-level", "0", "--max-new-tokens", "3"]
        self.fails(3, ["UTF-8", "byte 1"], "generate", MODEL, "--prompt-file", self.write("bad.txt", b"a\xffb"), *quick)
        for name, text in {"letters": b"a", "spaces": b" ", "accents": "\u0301".encode(), "ideographs": "中".encode()}.items():
            with self.subTest(name):
                self.fails(3, ["256 positions", "--max-new-tokens"], "generate", MODEL, "--prompt-file", self.write("mega.txt", text * (1 << 20)), *quick)
        special = self.ok_json("generate", MODEL, "--prompt", "<|endoftext|>In", *quick)["prompt_token_ids"]
        self.assertEqual(special[0], 0)
        self.fails(3, ["beside.plan"], "generate", self.path("beside.plan"), "--prompt", "x")
        self.ok("build", ONNX, "-o", self.path("beside.plan"), "--opt-level", "0")
        self.fails(3, ["tokenizer.json", "--tokenizer"], "generate", self.path("beside.plan"), "--prompt", "x")
        # Words of another model's tokenizer.
        words = json.dumps({"model": {"type": "WordLevel", "vocab": {"x": 5000, "[UNK]": 1}, "unk_token": "[UNK]"}, "pre_tokenizer": {"type": "Whitespace"}})
        other = self.write("other.json", words.encode())
        self.fails(3, ["token 5000 ('x')", "below 4096", "belong to this model"], "generate", MODEL, "--tokenizer", other, "--prompt", "x", *quick)
        self.fails(3, ["out of range", "belong to this model"], "embed", os.path.join(ROOT, "models", "tiny-bert"), "--tokenizer", other, "x", "--opt-level", "0")

    def test_chat(self):
        """A chat template is not trusted: whatever it does ends soon, with the template's own words where it refuses."""
        folder = self.path("chat")
        shutil.copytree(MODEL, folder)
        cases = {"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}": "steps", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "nested",
                 "{{ 'x' * 10000000000 }}": "too many", "{{ raise_exception('no such role') }}": "no such role", "{{ messages[5].content }}": "no element 5",
                 "{% if %}": "expression", "{{ messages": "}}", "{% if 1 %}" * 50000: "nested", "{{ range(10**18)|list }}": "range"}
        for template, part in cases.items():
            with self.subTest(template[:60]):
                self.write("chat/chat_template.jinja", template.encode())
                self.fails(3, ["chat_template.jinja", part], "generate", folder, "--chat", "--prompt", "x", "--opt-level", "0")
        self.write("chat/chat_template.jinja", b"\xff")
        self.fails(3, ["UTF-8"], "generate", folder, "--chat", "--prompt", "x", "--opt-level", "0")
        self.write("chat/chat_template.jinja", b"{% for m in messages %}{{ m['content'] }}{% endfor %}")
        chat = self.ok_json("generate", folder, "--chat", "--system", "In the", "--prompt", " beginning", "--max-new-tokens", "4", "--opt-level", "0")
        self.assertEqual(chat["text"], self.ok_json("generate", MODEL, "--prompt", "In the beginning", "--max-new-tokens", "4", "--opt-level", "0")["text"])
        for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
            for text, part in ((b"[" * 1000000, "nested"), (b"{", "valid JSON"), (b"[]", "not a JSON object"), (b'{"eos_token_id": "x", "eos_token": 5}', "eos_token")):
                with self.subTest(name + part):
                    kept = os.path.exists(os.path.join(MODEL, name))
                    self.write("chat/" + name, text)
                    self.fails(3, [name, part], "generate", folder, "--prompt", "x", "--opt-level", "0")
                    shutil.copy(os.path.join(MODEL, name), folder) if kept else os.remove(os.path.join(folder, name))

    def test_bench_generate(self):
        out = self.ok_json("bench", "generate", MODEL, "--configurations", "1x3,2x4", "--rounds", "1", "--fit-tokens", "6", "--svg", self.path("fit.svg"), "--markdown", self.path("fit.md"))
        self.assertEqual([(r["batch"], r["new_tokens"]) for r in out["table"]], [(1, 3), (2, 4)])
        self.assertEqual(out["agreement"]["equal_sequences"], out["agreement"]["sequences"])
        self.assertEqual([f["mode"] for f in out["fits"]], ["no cache", "O1", "with cache"])
        with open(self.path("fit.svg")) as f:
            self.assertIn("</svg>", f.read())
        with open(self.path("fit.md")) as f:
            self.assertIn("| with cache |", f.read())
        self.fails(2, ["--configurations"], "bench", "generate", MODEL, "--configurations", "8by4")
        self.fails(2, ["no plan"], "bench")

    def test_embed(self):
        bert = os.path.join(ROOT, "models", "tiny-bert")
        with open(os.path.join(bert, "reference.json"), encoding="utf-8") as f:
            cases = json.load(f)
        texts = [c["text"] for c in cases]
        build = ["--opt-level", "0"]
        out = self.ok_json("embed", bert, *texts, *build)
        self.assertEqual((out["texts"], out["width"], out["pooling"], out["normalized"], out["truncated"]), (len(texts), 48, "mean", True, 1))
        np.testing.assert_allclose(out["embeddings"], [c["mean"] for c in cases], atol=2e-5)
        lines = self.write("texts.txt", "\n".join(texts).encode())
        plan = self.path("bert.plan")
        names = ("input_ids", "attention_mask", "token_type_ids")
        shapes = {which: ",".join(f"{n}:{shape}" for n in names) for which, shape in (("min", "1x1"), ("opt", "2x8"), ("max", "4x64"))}
        for weights, tolerance in (("fp32", 2e-5), ("fp16", 2e-3), ("int8", 0.1)):
            built = self.ok_json("build", bert, "-o", plan, "--weights", weights, *(f"--{k}-shapes={v}" for k, v in shapes.items()), *build)
            self.assertEqual(built["profiles"], 1)
            self.ok("embed", plan, "--tokenizer", os.path.join(bert, "tokenizer.json"), "--file", lines, "-o", self.path("v.npy"))
            np.testing.assert_allclose(np.load(self.path("v.npy")), [c["mean"] for c in cases], atol=tolerance)
        self.ok("embed", os.path.join(bert, "model.onnx"), "--file", lines, "--pooling", "cls", "--output", self.path("v.jsonl"), *build)
        with open(self.path("v.jsonl"), encoding="utf-8") as f:
            rows = [json.loads(line) for line in f]
        self.assertEqual([r["text"] for r in rows], texts)
        np.testing.assert_allclose([r["embedding"] for r in rows], [c["cls"] for c in cases], atol=2e-5)
        self.ok("embed", bert, texts[1], "--raw", "--pad-to", "32", "-o", self.path("raw.npy"), *build)
        raw = np.load(self.path("raw.npy"))
        self.assertEqual(raw.shape, (1, 32, 48))
        np.testing.assert_allclose(raw[0, len(cases[1]["ids"]) - 1], cases[1]["last_state"], atol=1e-4)
        alike = self.ok_json("embed", bert, texts[1], texts[1], texts[2], "--similarities", *build)["similarities"]
        self.assertAlmostEqual(alike[0][1], 1, places=5)
        self.assertLess(alike[0][2], 0.99)
        # A text is cut off where the model's positions end, though no other file says so.
        shutil.copytree(bert, self.path("unlimited"))
        os.remove(self.path("unlimited/sentence_bert_config.json"))
        with open(os.path.join(bert, "tokenizer.json"), encoding="utf-8") as f:
            self.write("unlimited/tokenizer.json", json.dumps({**json.load(f), "truncation": None}).encode())
        out = self.ok_json("embed", self.path("unlimited"), "the king " * 200, *build)
        self.assertEqual((out["tokens"], out["truncated"]), (128, 1))
        self.fails(2, ["129", "128 positions"], "embed", self.path("unlimited"), "x", "--pad-to", "129", *build)
        self.fails(2, ["65"], "embed", plan, "x", "--tokenizer", os.path.join(bert, "tokenizer.json"), "--pad-to", "65")
        self.fails(2, [".npy"], "embed", bert, "x", "-o", "x.txt")
        self.fails(3, ["tokenizer.json"], "embed", self.folder.name, "x")
        self.fails(3, ["UTF-8"], "embed", bert, "--file", self.write("bad.txt", b"a\xffb\n"), *build)
        self.fails(4, ["not one of an encoder"], "embed", os.path.join(MODEL, "model_with_past.onnx"), "x", *build)

    def test_inspect_folders(self):
        bert = os.path.join(ROOT, "models", "tiny-bert")
        out = self.ok_json("inspect", bert)
        self.assertEqual((out["kind"], out["architecture"]), ("folder", "bert"))
        self.assertEqual(out["beside"]["model"], os.path.join(bert, "model.onnx"))
        self.assertEqual(out["outputs"][0]["type"], "float32[batch_size, sequence_length, 48]")
        text = self.ok("inspect", MODEL)
        for part in ("ONNX model", "tokenizer: " + os.path.join(MODEL, "tokenizer.json"), "end tokens: 0", "positions: 256"):
            self.assertIn(part, text)
        # An architecture that is not known does not matter where there is a model.onnx; without one it is named.
        os.makedirs(self.path("other"))
        self.write("other/config.json", b'{"model_type": "whisper"}')
        self.write("other/model.safetensors", b"\x02" + b"\0" * 7 + b"{}")
        self.fails(4, ["'whisper'"], "inspect", self.path("other"))
        with open(ONNX, "rb") as f:
            self.write("other/model.onnx", f.read())
        self.assertEqual(self.ok_json("inspect", self.path("other"))["kind"], "onnx")
        self.fails(4, ["logits", "--hidden-states"], "embed", MODEL, "x", "--opt-level", "0")

    def test_build_from_folders(self):
        folder = os.path.join(self.folder.name, "hf")
        os.makedirs(folder)
        out = self.path("x.plan")
        self.fails(3, ["neither config.json"], "build", folder, "-o", out)
        self.write("hf/model.safetensors", b"\x10" + b"\0" * 7 + b"{}")
        self.write("hf/config.json", b'{"model_type": "whisper"}')
        self.fails(3, ["model.safetensors", "cut off"], "build", folder, "-o", out)
        self.write("hf/model.safetensors", b"\x02" + b"\0" * 7 + b"{}")
        self.fails(4, ["'whisper'", "bert", "llama"], "build", folder, "-o", out)
        self.write("hf/config.json", b'{"model_type": "bert", "vocab_size": -1}')
        self.fails(3, ["'vocab_size'"], "build", folder, "-o", out)
        os.makedirs(self.path("gguf"))
        self.fails(3, ["bad.gguf", "cut off"], "build", self.write("gguf/bad.gguf", b"GGUF\x03\0\0\0" + b"\xff" * 16), "-o", out)

    def test_json_errors(self):
        done = cameo("inspect", self.path("missing.onnx"), "--json")
        self.assertEqual(json.loads(done.stdout)["error"]["code"], "file error")


if __name__ == "__main__":
    unittest.main()
