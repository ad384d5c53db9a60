"""What each command gives when all is well."""
import json
import struct

from harness import check
from onnx_bytes import attr_ints, good, graph, model, node, npy, small_values, tensor, value

LEVEL_0 = "--builderOptimizationLevel=0"


def floats(path):
    """Shape and numbers of a .npy file of floats."""
    data = path.read_bytes()
    check(data[:6] == b"\x93NUMPY", "no .npy file", path)
    header_bytes = struct.unpack_from("<H", data, 8)[0]
    header = data[10:10 + header_bytes].decode()
    body = data[10 + header_bytes:]
    return header, struct.unpack(f"<{len(body) // 4}f", body)


def expected(x, batch):
    """The model of onnx_bytes.good, computed the slow way."""
    w, b, m = small_values(216), small_values(8), small_values(40)
    out = []
    for n in range(batch):
        means = []
        for k in range(8):
            total = 0.0
            for row in range(6):
                for column in range(6):
                    acc = b[k]
                    for c in range(3):
                        for i in range(3):
                            for j in range(3):
                                y, z = row + i - 1, column + j - 1
                                if 0 <= y < 6 and 0 <= z < 6:
                                    acc += x[((n * 3 + c) * 6 + y) * 6 + z] * \
                                        w[((k * 3 + c) * 3 + i) * 3 + j]
                    total += max(acc, 0.0)
            means.append(total / 36)
        out += [sum(means[k] * m[k * 5 + o] for k in range(8)) for o in range(5)]
    return out


def check_outputs(t, x, batch):
    header, got = floats(t.folder / "o" / "out_y.npy")
    check(f"'shape': ({batch}, 5)" in header and "'<f4'" in header, header)
    want = expected(x, batch)
    span = max(want) - min(want)
    check(all(abs(g - w) <= 1e-5 * span for g, w in zip(got, want)), got, want)


def case_run_is_right(t):
    """Engine, baseline and model on the spot give what the definition gives; / becomes _."""
    t.put("m.onnx", good())
    x = [((i * 53) % 31 - 15) / 16 for i in range(216)]
    t.put("x.npy", npy([2, 3, 6, 6], data=struct.pack("<216f", *x)))
    (t.folder / "o").mkdir()
    t.works("build", "--onnx=m.onnx", "--saveEngine=m.engine", LEVEL_0)
    t.works("build", "--onnx=m.onnx", "--saveEngine=b.engine", "--baseline")
    for source in (["m.engine"], ["b.engine"], ["m.onnx"], ["m.onnx", "--baseline"],
                   ["m.engine", "--threads=1"], ["m.engine", "--threads=3"]):
        text = t.works("run", *source, "--input", "x=x.npy", "--output", "o")
        check(text == "out/y: f32[2, 5]\n", text)
        check({p.name for p in (t.folder / "o").iterdir()} == {"out_y.npy"})
        check_outputs(t, x, 2)
        (t.folder / "o" / "out_y.npy").unlink()


def case_every_instruction_set(t):
    t.put("m.onnx", good())
    x = [((i * 29) % 31 - 15) / 16 for i in range(216)]
    t.put("x.npy", npy([2, 3, 6, 6], data=struct.pack("<216f", *x)))
    (t.folder / "o").mkdir()
    for gone in ("avx2,avx512", "avx512"):
        t.works("run", "m.onnx", "--input=x=x.npy", "--output=o", env={"DYNO_ISA_DISABLE": gone})
        check_outputs(t, x, 2)


def case_same_cache_same_bytes(t):
    t.put("m.onnx", good())
    how = ("build", "--onnx=m.onnx", "--builderOptimizationLevel=2", "--timingCacheFile=times",
           "--threads=2")
    t.works(*how, "--saveEngine=a.engine")
    cache = (t.folder / "times").read_bytes()
    check(len(cache) > 0, "the timing cache is empty")
    t.works(*how, "--saveEngine=b.engine")
    check((t.folder / "times").read_bytes() == cache, "the second build timed again")
    check((t.folder / "a.engine").read_bytes() == (t.folder / "b.engine").read_bytes(),
          "the engines differ")
    report = json.loads((t.folder / "b.engine.json").read_text())
    check(isinstance(report, dict) and report, report)
    check(set(t.files()) == {"m.onnx", "times", "a.engine", "a.engine.json", "b.engine",
                             "b.engine.json"}, t.files())


def case_level_0_same_bytes(t):
    t.put("m.onnx", good())
    for name in ("a", "b"):
        t.works("build", "--onnx=m.onnx", f"--saveEngine={name}.engine", LEVEL_0)
    check((t.folder / "a.engine").read_bytes() == (t.folder / "b.engine").read_bytes())


def case_json_of_every_command(t):
    t.put("m.onnx", good())
    built = json.loads(t.works("build", "--onnx=m.onnx", "--saveEngine=m.engine", LEVEL_0,
                               "--json"))
    check(json.loads((t.folder / "m.engine.json").read_text()) == built)
    short = ("--iterations=3", "--duration=0", "--warmUp=0", "--json")
    bench = json.loads(t.works("bench", "--loadEngine=m.engine", *short))
    check(bench["runs"] >= 3 and bench["latency_ms"]["median"] > 0, bench)
    check(bench["arena_bytes"] > 0 and bench["tensor_bytes"] > 0, bench)
    check("layers" not in bench)
    bench = json.loads(t.works("bench", "--loadEngine=m.engine", *short, "--dumpProfile",
                               "--dumpLayerInfo", "--exportTimes=times.json"))
    check(len(bench["layers"]) == bench["steps"], bench)
    check(all(layer["us"] >= 0 for layer in bench["layers"]), bench)
    origins = {name for layer in bench["layers"] for name in layer["nodes"]}
    check({"conv", "relu", "mean", "product"} <= origins, origins)
    times = json.loads((t.folder / "times.json").read_text())
    check(len(times) == bench["runs"], times)
    json.loads(t.works("bench", "--onnx=m.onnx", "--baseline", *short, "--streams=2"))
    check(json.loads(t.works("run", "m.engine", "--json")) == {"out/y": "f32[2, 5]"})
    rows = json.loads(t.works("compare", "m.onnx", "m.engine", "--json", "--layers"))
    check(rows["outputs"][0]["ok"] is True and rows["layers"], rows)
    model = json.loads(t.works("inspect", "model", "m.onnx", "--json"))
    check(model["nodes"] == 5 and model["ops"]["Conv"] == 1, model)
    engine = json.loads(t.works("inspect", "engine", "m.engine", "--json"))
    check(len(engine["sha256"]) == 64 and engine["steps"], engine)
    able = json.loads(t.works("inspect", "capability", "m.onnx", "--json"))
    check(able["steps"] >= 3, able)


def case_text_of_every_command(t):
    t.put("m.onnx", good())
    text = t.works("build", "--onnx=m.onnx", "--saveEngine=m.engine", LEVEL_0, "--verbose")
    check("m.onnx -> m.engine" in text and "2x3x6x6" in text, text)
    text = t.works("bench", "--loadEngine=m.engine", "--iterations=3", "--duration=0",
                   "--warmUp=0", "--dumpProfile", "--dumpLayerInfo")
    check("Throughput: " in text and "Latency: min = " in text and "total of " in text, text)
    check("Conv" in t.works("inspect", "model", "m.onnx"))
    check("sha256" in t.works("inspect", "engine", "m.engine"))
    check("steps have a fast kernel" in t.works("inspect", "capability", "m.onnx"))
    check(t.works("compare", "baseline:m.onnx", "m.engine").startswith("ok "))


def case_printed_graph(t):
    t.put("m.onnx", good())
    text = t.works("build", "--onnx=m.onnx", "--saveEngine=m.engine", LEVEL_0, "--printGraph=import")
    check(text.count("// after import") == 1 and "// after" in text, text)
    text = t.works("build", "--onnx=m.onnx", "--saveEngine=m.engine", LEVEL_0, "--printGraph=all")
    check(text.count("// after ") > 2, text)


def case_what_a_larger_workspace_would_buy(t):
    """A limited build says it; which candidates are faster is the machine's to say, what they want is not."""
    conv = node("Conv", ["x", "w"], ["y"], [attr_ints("pads", [1, 1, 1, 1])])
    t.put("m.onnx", model(graph([conv], [value("x", [1, 64, 56, 56])], [value("y", [1, 64, 56, 56])],
                                [tensor("w", [64, 64, 3, 3], small_values(64 * 64 * 9))])))
    how = ("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--builderOptimizationLevel=1", "--json")
    check("larger_workspace" not in json.loads(t.works(*how)))
    told = json.loads(t.works(*how, "--memPoolSize=workspace:1"))["larger_workspace"]
    if told["steps"] == 0:
        check(told == {"steps": 0, "saves_us": 0, "bytes": 0}, told)
    else:
        check(told["steps"] == 1 and told["saves_us"] > 0 and told["bytes"] > 1 << 20, told)


def case_a_limit_holds_for_known_times(t):
    """What wants more workspace than is allowed is not taken because a build without a limit has timed it."""
    conv = node("Conv", ["x", "w"], ["y"], [attr_ints("pads", [1, 1, 1, 1])])
    t.put("m.onnx", model(graph([conv], [value("x", [1, 64, 56, 56])], [value("y", [1, 64, 56, 56])],
                                [tensor("w", [64, 64, 3, 3], small_values(64 * 64 * 9))])))
    how = ("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--builderOptimizationLevel=1", "--timingCacheFile=times")
    t.works(*how)
    lines = (t.folder / "times").read_text().splitlines()
    check(any("winograd" in line for line in lines), lines)
    best = [" ".join((line.split()[0], "0.01", line.split()[2])) if "winograd" in line else line for line in lines]
    for limit, is_taken in (((), True), (("--memPoolSize=workspace:0.0001",), False)):
        t.put("times", ("\n".join(best) + "\n").encode())
        t.works(*how, *limit)
        steps = json.loads(t.works("inspect", "engine", "m.engine", "--json"))["steps"]
        check(any("winograd" in step["TacticName"] for step in steps) == is_taken, limit, steps)
