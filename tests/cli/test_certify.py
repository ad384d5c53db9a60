"""dyno certify: trials (seconds, not minutes), what it refuses, and that nothing can be edited."""
import hashlib
import json
import os
import pathlib
import re
import struct
import time
import xml.dom.minidom

from harness import EXIT, check
from onnx_bytes import (attr_ints, block, good, graph, model, node, npy, number, small_values,
                        tensor, value)

UNDECIDED = 75
LEVEL_0 = "--builderOptimizationLevel=0"
HASH = re.compile(r"[0-9a-f]{64}")


def build(t, name="m", batch=2, *more):
    t.put(f"{name}.onnx", good(batch))
    t.works("build", f"--onnx={name}.onnx", f"--saveEngine={name}.engine", LEVEL_0, *more)


def certify(t, *more, name="m"):
    """A trial; returns its report."""
    return json.loads(t.works("certify", f"{name}.onnx", f"--engine={name}.engine", "--trial",
                              "--threads=1", "--json", *more))


def case_trial(t):
    """Both certificates, their names, addresses, what they hold."""
    build(t)
    report = certify(t, "--svg=m.svg")
    for kind in ("reference", "engine"):
        path = pathlib.Path(t.folder / report[kind]["file"])
        data = path.read_bytes()
        address = hashlib.sha256(data).hexdigest()
        check(path.name == f"{address}.{kind}.json" and report[kind]["address"] == address, path)
        cert = json.loads(data)
        check(json.dumps(cert, separators=(",", ":"), ensure_ascii=False) + "\n" == data.decode(),
              "not canonical")
        check(cert["trial"] is True and cert["outcome"] == "trial", cert["outcome"])
        check(cert["model"]["sha256"] ==
              hashlib.sha256((t.folder / "m.onnx").read_bytes()).hexdigest())
        check(len(cert["attempts"]) == 1 and len(cert["attempts"][0]["points"]) == 1)
        check(len(cert["attempts"][0]["points"][0]["control"]) == 3, "fresh processes")
    check(cert["engine"]["sha256"] ==
          hashlib.sha256((t.folder / "m.engine").read_bytes()).hexdigest())
    check(cert["engine"]["precision"] == "fp32" and cert["energy"] is None, cert["engine"])
    check(cert["reference"] == report["reference"]["address"], "cites another")
    check(cert["accuracy"]["agreement_1e6"] >= 999990, cert["accuracy"])
    picture = xml.dom.minidom.parse(str(t.folder / "m.svg"))
    check(len(picture.getElementsByTagName("circle")) > 10)
    check(not [f for f in os.listdir("/tmp") if f.startswith(f"dyno-certify-{os.getpid()}")])


def case_cites_the_one_that_is_there(t):
    build(t)
    first = certify(t)
    second = certify(t)
    check("reference" not in second, "made another reference certificate")
    check(second["engine"]["reference"] == first["reference"]["address"])
    third = certify(t, "--new-reference")
    check(third["reference"]["address"] != first["reference"]["address"])


def case_show(t):
    build(t)
    report = certify(t)
    engine, reference = report["engine"]["file"], report["reference"]["file"]
    text = t.works("certify", f"--show={engine}", f"--reference={reference}")
    for what in ("Engine certificate, trial", "Reference certificate, trial", "3 fresh processes",
                 "A/A ", "GHz", "SingleStream", "s_slo", "accuracy", "t_ref", "billed as", "fp32"):
        check(what in text or what == "s_slo", what, text)
    shown = json.loads(t.works("certify", f"--show={engine}", "--json"))
    check(shown["certificate"]["address"] == report["engine"]["address"])
    check(shown["verdict"].startswith("in force since "), shown["verdict"])
    address = t.tool("make_cert", ".", 4, "biased").split()[1]
    text = t.works("certify", f"--show={address}.refused.json")
    check(text.startswith("Engine certificate, refused: the A/A control is -1."), text)
    check(text.endswith("refused: never in force\n") and "billed as" not in text, text)
    scenarios = shown["certificate"]["scenarios"]
    check(len(scenarios["offline_items_s"]) == 2 and scenarios["server_bound_ms"] > 0, scenarios)


def case_the_picture(t):
    """Dots stay inside of their row, of as many processes as there may be; a trial that would be refused says it."""
    for processes in (5, 16):
        engine = t.tool("make_cert", ".", 4, f"processes={processes}").split()[1]
        t.works("certify", f"--show={engine}.engine.json", f"--svg={processes}.svg")
        picture = xml.dom.minidom.parse(t.path(f"{processes}.svg"))
        rows = {}
        for dot in picture.getElementsByTagName("circle"):
            rows.setdefault(dot.getAttribute("class"), set()).add(float(dot.getAttribute("cy")))
        check({name: len(row) for name, row in rows.items()} == dict.fromkeys("abr", processes), rows)
        check(all(max(row) - min(row) <= 34 for row in rows.values()), rows)  # of 40, and a dot has 6
        check(max(rows["a"]) < min(rows["b"]) and max(rows["b"]) < min(rows["r"]), rows)
    for more, says in ((["trial"], "trial</text>"), (["trial", "biased"], "trial, would be refused</text>")):
        engine = t.tool("make_cert", ".", 4, *more).split()[1]
        t.dyno("certify", f"--show={engine}.engine.json", f"--svg={len(more)}.svg")
        check(says in (t.folder / f"{len(more)}.svg").read_text(), says)


def case_scenarios_of_a_large_batch(t):
    """A query is as many items as the smallest batch has, also where that is more than other engines are asked for."""
    build(t, "m", 32)
    report = certify(t)["engine"]
    cert = json.loads(pathlib.Path(t.folder / report["file"]).read_text())
    check(cert["batch"] == 32 and [row["batch"] for row in cert["scenarios"]["runs"]] == [32], cert["scenarios"]["runs"])
    check(report["scenarios"]["server_bound_ms"] > 0, report["scenarios"])
    check(all(value is not None and value > 0 for value in report["scenarios"]["offline_items_s"]), report["scenarios"])
    text = t.works("certify", f"--show={report['file']}")
    check("runs at batch 32)" in text and re.search(r"blocks +[0-9]+ kept, 0 dropped\n", text), text)


def case_anchor(t):
    """What a framework takes is kept beside the reference certificate, once, told with it, and held against its subject."""
    (t.folder / "certs").mkdir()
    reference, engine = t.tool("make_cert", "certs", 4, "device=d", "item_ns=20e6").split()
    paths = {a: str(next((t.folder / "certs").glob(f"{a}.*.json"))) for a in (reference, engine)}
    cert = json.loads((t.folder / "certs" / f"{reference}.reference.json").read_text())
    batch, at_least = cert["batch"], cert["segment_ns"]
    good = {"dyno_anchor": 1, "framework": "PyTorch 2.4 eager, FP32", "by": "a lab", "made": "2026-01-31T12:00:00Z",
            "model_sha256": cert["model"]["sha256"], "device": {"class": "d", "threads": cert["device"]["threads"]},
            "batch": batch, "at": [], "segments": [[batch, at_least + 1000 * i] for i in range(11)] * 2}
    show = lambda *args: t.works("certify", f"--show={paths[reference]}", *args)
    plain = show()

    def bad(status, says, **change):
        t.put("bad.json", json.dumps({**good, **change}).encode())
        t.fails(status, says, "certify", f"--show={paths[reference]}", "--anchor=bad.json")
    bad("E_FORMAT", '*"bad.json": it is no anchor, version 1', dyno_anchor=2)
    bad("E_FORMAT", '*framework must be a text of 1 to 255 bytes without control characters', framework="a\nb")
    bad("E_FORMAT", "*by must be a text*", by="")
    bad("E_FORMAT", "*made must be a time like 2026-01-31T12:00:00Z", made="today")
    bad("E_FORMAT", "*device must be an object with class and threads", device=7)
    bad("E_FORMAT", "*at must be an array of 0 to 0", at=[1])
    bad("E_FORMAT", "*segments must be an array of 20 to 10000", segments=good["segments"][:19])
    bad("E_FORMAT", "*each of segments must be [items, ns]", segments=[[1]] * 20)
    bad("E_FORMAT", "*segment 20 has * items in 5 ns, wants whole batches*", segments=good["segments"][:19] + [[batch, 5]])
    bad("E_MISMATCH", "*the anchor is of another model than the certificate", model_sha256="0" * 64)
    bad("E_MISMATCH", "*the anchor is of another class of device *", device={**good["device"], "class": "e"})
    bad("E_MISMATCH", "*the anchor is of another number of threads *", device={"class": "d", "threads": 77})
    bad("E_MISMATCH", "*the anchor is of another batch *", batch=batch + 1)
    t.put("good.json", json.dumps(good).encode())
    t.fails("E_ARG", "*--anchor is for --show", "certify", "m.onnx", "--anchor=good.json")
    t.fails("E_ARG", "*--anchor is kept beside a reference certificate*", "certify", f"--show={paths[engine]}",
            "--anchor=good.json")
    text = show("--anchor=good.json")
    check("  anchor     PyTorch 2.4 eager, FP32, told by a lab, 2026-01-31T12:00:00Z; never billed\n" in text, text)
    check(show() == text == show("--anchor=good.json") and plain != text)  # from now on; the certificate is as it was
    before = plain.splitlines()
    more = [line for line in text.splitlines() if line not in before]
    check(len(more) == 3 and [line for line in text.splitlines() if line not in more] == before, more)
    shown = json.loads(show("--json"))["anchor"]
    median = (at_least + 5000) / batch
    check(shown["segments"] == 22 and shown["median_ns"] == median and shown["point"] == 1, shown)
    low, value, high = cert["attempts"][-1]["points"][0]["baseline_item_ns"]
    check(abs(shown["unoptimised_ratio"] / (value / median) - 1) < 1e-6, shown, value, median)
    check("never billed" in t.works("certify", f"--show={paths[engine]}", f"--reference={paths[reference]}"))
    t.put("other.json", json.dumps({**good, "by": "another"}).encode())
    t.fails("E_EXISTS", '*.anchor.json" is another anchor of this certificate, which has one for good', "certify",
            f"--show={paths[reference]}", "--anchor=other.json")
    (t.folder / "certs" / f"{reference}.anchor.json").write_text("{")
    t.fails("E_FORMAT", '*.anchor.json": *', "certify", f"--show={paths[reference]}")


def case_suspended(t):
    """Said beside the certificate; what is suspended is cited by nothing new."""
    build(t)
    report = certify(t)
    reference = report["reference"]["file"]
    before = (t.folder / reference).read_bytes()
    t.fails("E_ARG", "dyno certify: --reason=TEXT is missing", "certify", f"--suspend={reference}")
    t.works("certify", f"--suspend={reference}", "--reason=it drifted by 7 %")
    check((t.folder / reference).read_bytes() == before, "the certificate was changed")
    shown = t.works("certify", f"--show={reference}")
    check(re.search(r"^suspended since \S+Z: it drifted by 7 %$", shown, re.M), shown)
    time.sleep(1.1)  # the next one shall be younger, in whole seconds
    check("reference" in certify(t), "a suspended certificate was cited")
    t.works("certify", f"--reinstate={reference}")
    check(certify(t)["engine"]["reference"] == report["reference"]["address"])
    address = report["reference"]["address"]
    t.put(f"{address}.state.json", b'{"certificate": "0", "state": "in force"}')
    t.fails("E_CORRUPT", "dyno certify: *.state.json: the state is of another certificate",
            "certify", f"--show={reference}")


def case_points_of_a_range(t):
    """Open dimensions are a grid; the batch is swept."""
    nodes = [node("Conv", ["x", "w"], ["c"], [attr_ints("pads", [1, 1, 1, 1])], "conv"),
             node("Relu", ["c"], ["y"], name="relu")]
    net = graph(nodes, [value("x", ["n", 3, "h", "h"])], [value("y", ["n", 4, "h", "h"])],
                [tensor("w", [4, 3, 3, 3], small_values(108))])
    t.put("r.onnx", model(net))
    t.works("build", "--onnx=r.onnx", "--saveEngine=r.engine", LEVEL_0, "--minShapes=x:1x3x4x4",
            "--optShapes=x:2x3x8x8", "--maxShapes=x:4x3x32x32")
    report = certify(t, "--points=x[2]:4,16,32", name="r")
    cert = json.loads((t.folder / report["reference"]["file"]).read_text())
    check(cert["axes"] == [{"places": [[0, 2], [0, 3]], "points": [4, 16, 32]}], cert["axes"])
    check([row[0] for row in cert["sweep"]] == [1, 2, 4], cert["sweep"])
    points = cert["attempts"][0]["points"]
    check([p["at"] for p in points] == [[4], [16], [32]])
    check(all(p["t_ref_ns"] > 0 for p in points if p["blocks_kept"]), points)
    for wrong in ("x[0]:1,2", "x[2]:8,4", "x[2]:4,64", "y[2]:4", "x[2]", "x[2]:4,", "x[2]:4;8"):
        got = t.dyno("certify", "r.onnx", "--engine=r.engine", "--trial", f"--points={wrong}",
                     "--new-reference")
        check(got.returncode == EXIT["E_ARG"], wrong, got.stderr)


def case_inputs_share_a_dimension(t):
    """One axis, measured at sizes that agree; the batch of all inputs is one."""
    net = graph([node("Add", ["x", "y"], ["z"], name="a")],
                [value("x", ["n", "s", 4]), value("y", ["n", "s", 4])],
                [value("z", ["n", "s", 4])])
    t.put("a.onnx", model(net))
    sizes = [f"--{k}Shapes=x:{n}x{s}x4,y:{n}x{s}x4"
             for k, n, s in (("min", 1, 8), ("opt", 2, 16), ("max", 4, 64))]
    t.works("build", "--onnx=a.onnx", "--saveEngine=a.engine", LEVEL_0, *sizes)
    report = certify(t, "--points=y[1]:8,64", name="a")
    cert = json.loads((t.folder / report["reference"]["file"]).read_text())
    check(cert["axes"] == [{"places": [[0, 1], [1, 1]], "points": [8, 64]}], cert["axes"])
    check([p["at"] for p in cert["attempts"][0]["points"]] == [[8], [64]])


def case_given_data(t):
    build(t, "m", "n", "--minShapes=x:1x3x6x6", "--optShapes=x:2x3x6x6", "--maxShapes=x:4x3x6x6")
    t.put("x.npy", npy([10, 3, 6, 6]))
    report = certify(t, "--loadInputs=x:x.npy", "--top1")
    cert = json.loads((t.folder / report["engine"]["file"]).read_text())
    check(cert["accuracy"]["data"] == "given" and cert["accuracy"]["judged_by"] == "top-1", cert)
    check(cert["accuracy"]["outputs"][0]["rows"] == 10, cert["accuracy"])


def case_model_with_data_beside_it(t):
    """Its identity covers the weights, wherever they lie."""
    raw = struct.pack("<40f", *small_values(40))
    entry = block(1, "location") + block(2, "w.bin")
    outside = (b"".join(number(1, d) for d in (8, 5)) + number(2, 1) + block(8, "m") +
               block(13, entry) + number(14, 1))
    inside = tensor("m", [8, 5], small_values(40))
    net = graph([node("MatMul", ["x", "m"], ["y"], name="p")], [value("x", [1, 8])],
                [value("y", [1, 5])], [inside])
    net = net.replace(block(5, inside), block(5, outside))
    t.put("w.bin", raw)
    t.put("m.onnx", model(net))
    t.works("build", "--onnx=m.onnx", "--saveEngine=m.engine", LEVEL_0)
    parts = [hashlib.sha256((t.folder / name).read_bytes()).digest() for name in ("m.onnx", "w.bin")]
    want = hashlib.sha256(b"dyno model 1\n" + b"".join(parts)).hexdigest()
    check(certify(t)["engine"]["model"] == want)


def case_edited(t):
    """A number, a sample, a name: one sentence, and the exit code of damage."""
    build(t)
    report = certify(t)
    path = t.folder / report["engine"]["file"]
    text = path.read_text()
    for what, old, new in (
            ("speedup", r'"energy":null,"s_1e6":\[\d+', '"energy":null,"s_1e6":[9000000'),
            ("accuracy", r'"agreement_1e6":\d+', '"agreement_1e6":1000001'),
            ("trial", r'"outcome":"trial"', '"outcome":"accepted"'),
            ("blank", r'"kind":', '"kind": ')):
        changed = re.sub(old, new, text, count=1)
        check(changed != text, what)
        t.put(f"{what}.json", changed.encode())
        t.fails("E_CORRUPT", f"dyno certify: {what}.json: edited: from byte * it does not follow "
                "from its samples, which give *", "certify", f"--show={what}.json")
    # Every digit of a derived number that a person would look at.
    at = text.index('"s_1e6":[', text.index('"energy"'))
    for i in range(at + 9, text.index("]", at)):
        if text[i].isdigit():
            other = str((int(text[i]) + 1) % 10)
            t.put("digit.json", (text[:i] + other + text[i + 1:]).encode())
            check(t.dyno("certify", "--show=digit.json").returncode != 0, "digit", i)
    # A sample, under the certificate's own name: even one of a block that was dropped.
    changed = re.sub(r'"speedup":\[\[\[\[(\d+),', r'"speedup":[[[[\g<1>0,', text, count=1)
    (t.folder / "copy").mkdir()
    t.put(f"copy/{path.name}", changed.encode())
    check(t.dyno("certify", f"--show=copy/{path.name}").returncode == EXIT["E_CORRUPT"])
    # Another certificate under this one's name.
    other = t.folder / report["reference"]["file"]
    other.write_bytes(path.read_bytes())
    t.fails("E_CORRUPT", "dyno certify: *.reference.json: edited: its text has the address *",
            "certify", f"--show={other.name}")


def case_a_trial_is_not_made_billable(t):
    """Its samples are too short, whatever it says."""
    build(t)
    text = (t.folder / certify(t)["engine"]["file"]).read_text()
    t.put("c.json", text.replace('"trial":true', '"trial":false').encode())
    t.fails("E_FORMAT", "dyno certify: c.json: * and the certificate is no trial: *", "certify",
            "--show=c.json")


def case_of_another(t):
    """Another model, engine, device; an expired one; a pair that is none."""
    build(t)
    report = certify(t)
    engine, reference = report["engine"]["file"], report["reference"]["file"]
    t.put("other.onnx", good(2, "z"))
    t.works("build", "--onnx=other.onnx", "--saveEngine=other.engine", LEVEL_0)
    t.fails("E_MISMATCH", "dyno certify: the certificate is of another model: of *, not of *",
            "certify", "other.onnx", "--engine=m.engine", f"--verify={engine}", "--threads=1")
    t.fails("E_MISMATCH", "dyno certify: the certificate is of another engine: of *, not of *",
            "certify", "m.onnx", "--engine=other.engine", f"--verify={engine}", "--threads=1")
    t.fails("E_TARGET", "dyno certify: the certificate is of the device class *, this is 'H200'",
            "certify", "m.onnx", "--engine=m.engine", f"--verify={engine}",
            "--device-class=H200")
    t.fails("E_MISMATCH", "dyno certify: the certificate is of another model: *", "certify",
            "other.onnx", "--engine=other.engine", f"--reference={reference}", "--trial",
            "--threads=1")
    t.fails("E_MISMATCH", "dyno certify: other.engine is not an engine of m.onnx: *", "certify",
            "m.onnx", "--engine=other.engine", "--trial", "--new-reference")
    t.fails("E_ARG", "dyno certify: *.engine.json is an engine certificate, not a reference *",
            "certify", "m.onnx", "--engine=m.engine", f"--reference={engine}", "--trial")
    again = certify(t, "--new-reference")
    t.fails("E_MISMATCH", "dyno certify: the engine certificate cites the reference certificate *",
            "certify", f"--show={again['engine']['file']}", f"--reference={reference}")
    # A trial is not cited by what shall be billed.
    t.fails("E_DENIED", "dyno certify: the certificate is a trial: nothing is billed by it",
            "certify", "m.onnx", "--engine=m.engine", f"--reference={reference}", "--threads=1")


def case_verify_says_what_is_so(t):
    """Stands, falls, or too noisy to tell: the machine decides, the exit code follows."""
    build(t)
    engine = certify(t)["engine"]["file"]
    got = t.dyno("certify", "m.onnx", "--engine=m.engine", f"--verify={engine}", "--threads=1")
    says = {0: "the certificate stands", 1: "the certificate falls", 75: "undecided"}
    check(got.returncode in says, got.returncode, got.stderr)
    check(says[got.returncode] in got.stdout + got.stderr, got.stdout, got.stderr)


def case_verify_a_trial(t):
    build(t)
    engine = certify(t)["engine"]["file"]
    t.fails("E_ARG", f"dyno certify: {engine} is a trial, which is measured in three processes: no --processes", "certify",
            "m.onnx", "--engine=m.engine", f"--verify={engine}", "--threads=1", "--processes=6")


def case_watch(t):
    """It stands, or it is suspended, or nobody can tell: exit code and state agree."""
    build(t)
    engine = certify(t)["engine"]
    got = t.dyno("certify", "m.onnx", "--engine=m.engine", f"--watch={engine['file']}",
                 "--threads=1", "--json")
    check(got.returncode in (0, 1, 75), got.returncode, got.stderr)
    told = json.loads(got.stdout)
    check(told["verdict"] == {0: "stands", 1: "falls", 75: "undecided"}[got.returncode], told)
    state = t.folder / f"{engine['address']}.state.json"
    check(state.exists() == (got.returncode == 1), got.returncode)
    if state.exists():
        check("it drifted: s is" in t.works("certify", f"--show={engine['file']}"))


def case_watch_sees_drift(t):
    """An engine that is the unoptimised execution, under a certificate that promises four times."""
    build(t, "m", 2, "--threads=1")
    t.works("build", "--onnx=m.onnx", "--saveEngine=b.engine", "--baseline", "--threads=1",
            "--shapes=x:2x3x6x6")
    report = json.loads(t.works("certify", "m.onnx", "--engine=b.engine", "--trial", "--threads=1",
                                "--json"))
    path = t.tool("make_cert", ".", 4, "trial", f"like={report['engine']['file']}").split()[0]
    for _ in range(20):  # on a busy machine a look may tell nothing
        got = t.dyno("certify", "m.onnx", "--engine=b.engine", f"--watch={path}", "--threads=1")
        if got.returncode != UNDECIDED:
            break
    check(got.returncode == EXIT["E_MISMATCH"], got.returncode, got.stderr, got.stdout)
    check("the certificate is suspended" in got.stderr, got.stderr)
    check(re.search(r"^suspended since .*it drifted: s is", t.works("certify", f"--show={path}"),
                    re.M))


def live_data():
    """Folders of it, of whoever looks at a certificate on this machine."""
    return {f for place in ("/tmp", "/dev/shm") for f in os.listdir(place) if "dyno-live" in f}


def case_watch_with_what_was_served(t):
    """Without the model: a kept baseline, and rows that were served, repeated to a batch."""
    shapes = ("--minShapes=x:1x3x6x6", "--optShapes=x:2x3x6x6", "--maxShapes=x:4x3x6x6")
    build(t, "m", "n", "--threads=1", *shapes)
    report = certify(t, "--keep-baseline")
    engine, baseline = report["engine"]["file"], f"{report['engine']['baseline']}.engine"
    check(hashlib.sha256((t.folder / baseline).read_bytes()).hexdigest() ==
          report["engine"]["baseline"], "kept under another name")
    t.put("live.npy", npy([3, 3, 6, 6], data=bytes(range(256)) * 5 + bytes(16)))
    before = live_data()
    watch = ("certify", f"--watch={engine}", "--engine=m.engine", "--threads=1")
    got = t.dyno(*watch, f"--baseline={baseline}", "--loadInputs=x:live.npy", "--json")
    check(got.returncode in (0, 1, 75), got.returncode, got.stderr)
    check(json.loads(got.stdout)["blocks"] > 0 or got.returncode == 75, got.stdout)
    came, end = live_data() - before, time.monotonic() + 120
    while came & live_data():  # another's goes by itself
        check(time.monotonic() < end, "live data was left behind", came)
        time.sleep(0.05)
    t.put("wide.npy", npy([1, 3, 6, 7]))
    t.fails("E_ARG", "dyno certify: the data of --loadInputs has the sizes of no point of the "
            "certificate", *watch, f"--baseline={baseline}",
            "--loadInputs=x:wide.npy")
    t.fails("E_ARG", "dyno certify: --loadInputs has no data for input 'x'", *watch, f"--baseline={baseline}",
            "--loadInputs=z:live.npy")
    got = t.dyno(*watch, "--baseline=m.engine")
    check(got.returncode == EXIT["E_MISMATCH"] and "another baseline" in got.stderr, got.stderr)
    t.fails("E_ARG", "dyno certify: give either the model or --baseline", *watch, f"--baseline={baseline}",
            "m.onnx")
    t.fails("E_ARG", "dyno certify: --baseline is for --watch: elsewhere the unoptimised execution is "
            "built", "certify", "m.onnx", "--engine=m.engine",
            f"--baseline={baseline}")


def case_nobody_chooses_the_baseline(t):
    """Neither by hiding instruction sets, nor by a file of one's own, nor in fused operators."""
    build(t)
    t.fails("E_ARG", "dyno certify: DYNO_ISA_DISABLE=avx512 would slow the baseline down: nobody "
            "chooses it", "certify", "m.onnx", "--engine=m.engine", "--trial",
            env={"DYNO_ISA_DISABLE": "avx512"})
    # Kept for inspection, it is made anew each time, over whatever lies there.
    t.put("b.engine", b"mine")
    report = certify(t, "--saveBaseline=b.engine")
    check(hashlib.sha256((t.folder / "b.engine").read_bytes()).hexdigest() ==
          report["engine"]["baseline"])
    t.works("build", "--onnx=m.onnx", "--saveEngine=c.engine", "--baseline", "--threads=1",
            "--shapes=x:2x3x6x6")
    check((t.folder / "b.engine").read_bytes() == (t.folder / "c.engine").read_bytes(),
          "the baseline is not the one that anybody builds")
    fused = graph([node("FusedConv", ["x"], ["y"])], [value("x", [1, 3])], [value("y", [1, 3])])
    t.put("f.onnx", model(fused))
    t.fails("E_UNSUPPORTED", "dyno certify: f.onnx: *FusedConv*not known*", "certify", "f.onnx",
            "--engine=m.engine", "--trial")


def case_accuracy_gate(t):
    """An engine of other weights gives other answers: refused before it is measured."""
    build(t)
    other = good(2).replace(tensor("m", [8, 5], small_values(40)),
                            tensor("m", [8, 5], [v + 0.1 for v in small_values(40)]))
    t.put("w.onnx", other)
    t.works("build", "--onnx=w.onnx", "--saveEngine=w.engine", LEVEL_0)
    t.fails("E_MISMATCH", "dyno certify: refused before it was measured: w.engine agrees with FP32 "
            "to * %, 99.0000 % are wanted", "certify", "m.onnx", "--engine=w.engine", "--trial")


def case_reference_alone(t):
    """Without an engine: what a second device wants for its factor.  An engine certificate cites it afterwards."""
    build(t)
    alone = lambda *more: ("certify", "m.onnx", "--trial", "--threads=1", *more)
    report = json.loads(t.works(*alone("--json", "--svg=r.svg", "--keep-baseline")))
    check(list(report) == ["reference"], report)
    cert = json.loads((t.folder / report["reference"]["file"]).read_text())
    check(cert["kind"] == "reference" and cert["outcome"] == "trial" and cert["batch"] == 2, cert)
    check((t.folder / f"{cert['baseline_sha256']}.engine").exists() and (t.folder / "r.svg").exists())
    t.fails("E_ARG", f"dyno certify: . has the reference certificate of this model and device, {report['reference']['address'][:16]}...; *",
            *alone())
    again = json.loads(t.works(*alone("--json", "--new-reference")))
    check(again["reference"]["address"] != report["reference"]["address"])
    check("reference" not in certify(t), "the reference certificate was made anew")
    for flag in ("--reference=c.json", "--loadInputs=x:x.npy", "--top1"):
        t.fails("E_ARG", f"dyno certify: {flag.split('=')[0]} is for an engine certificate: --engine=FILE is missing", *alone(flag))


def case_reference_alone_of_open_shapes(t):
    """The flags say the range, and must bound it; the same range by an engine is the same baseline."""
    build(t, "n", "n", "--minShapes=x:1x3x6x6", "--optShapes=x:2x3x6x6", "--maxShapes=x:4x3x6x6")
    t.fails("E_ARG", "dyno certify: input 'x': size 0 is open without a bound: --maxShapes must give one", "certify", "n.onnx",
            "--trial", "--threads=1")
    report = json.loads(t.works("certify", "n.onnx", "--trial", "--threads=1", "--json", "--minShapes=x:1x3x6x6", "--optShapes=x:2x3x6x6",
                                "--maxShapes=x:4x3x6x6"))
    check("reference" not in certify(t, name="n"), "another baseline")
    cert = json.loads((t.folder / report["reference"]["file"]).read_text())
    check(cert["sweep"][0][0] == 1 and cert["batch"] <= 4, cert["sweep"])


def case_flags(t):
    t.fails("E_ARG", "dyno certify: MODEL.onnx is missing", "certify")
    t.put("m.onnx", good())
    t.fails("E_IO", "dyno certify: cannot write into folder 'nowhere': *", "certify", "m.onnx",
            "--engine=m.engine", "--out=nowhere")
    t.fails("E_ARG", "dyno certify: the model is given twice", "certify", "m.onnx",
            "--onnx=m.onnx")
    t.fails("E_ARG", "dyno certify: give only one of --show, --verify, --watch, --suspend and --reinstate", "certify",
            "--show=a", "--verify=b")
    t.fails("E_ARG", "dyno certify: --factors wants more than a trial: nothing is billed by one", "certify", "m.onnx", "--trial",
            "--factors=f.json")
    t.fails("E_ARG", "dyno certify: --accuracy=0.5: *", "certify", "m.onnx", "--accuracy=0.5")
    t.fails("E_ARG", "dyno certify: --processes=4: *", "certify", "m.onnx", "--processes=4")
    t.fails("E_ARG", "dyno certify: --processes is not for a trial, which is measured in three", "certify", "m.onnx",
            "--engine=m.engine", "--processes=6", "--trial")
    for mode in ("--show=a", "--watch=a", "--suspend=a", "--reinstate=a"):
        t.fails("E_ARG", "dyno certify: --processes is for making a certificate and for --verify", "certify", mode,
                "--processes=6")
    t.fails("E_NOT_FOUND", "dyno certify: *nothing.json*", "certify", "--show=nothing.json")
    t.fails("E_ARG", "dyno certify-worker: only 'dyno certify' starts this command",
            "certify-worker")
    check("certify-worker" not in t.works("--help") + t.works("man"))
