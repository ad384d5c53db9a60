"""Engines that are damaged, foreign, or none at all."""
import json
import random

from harness import EXIT, check
from onnx_bytes import good


def build(t, *more, batch=2):
    t.put("m.onnx", good(batch))
    t.works("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--builderOptimizationLevel=0",
            *more)
    return (t.folder / "m.engine").read_bytes()


def refuse(t, status, says, data):
    t.put("bad.engine", data)
    t.fails(status, "dyno run: engine 'bad.engine': " + says, "run", "bad.engine")
    t.fails(status, "dyno bench: engine 'bad.engine': " + says, "bench", "--loadEngine=bad.engine")
    t.fails(status, "dyno inspect: engine 'bad.engine': " + says, "inspect", "engine", "bad.engine")
    t.fails(status, "dyno compare: engine 'bad.engine': " + says, "compare", "bad.engine",
            "m.engine")


def case_not_there(t):
    for args in (["run", "no.engine"], ["bench", "--loadEngine=no.engine"],
                 ["inspect", "engine", "no.engine"], ["compare", "no.engine", "no.engine"]):
        t.fails("E_NOT_FOUND", f'dyno {args[0]}: cannot open "no.engine": No such file or directory', *args)


def case_no_engine(t):
    build(t)
    refuse(t, "E_FORMAT", "not an engine: *", b"")
    refuse(t, "E_FORMAT", "not an engine: *", good())


def case_flipped_bit(t):
    whole = build(t)
    rng = random.Random(5)
    places = [0, 9, 16, 33, 63, 64, 100, len(whole) - 1]
    places += [rng.randrange(len(whole)) for _ in range(60)]
    for place in places:
        bad = bytearray(whole)
        bad[place] ^= 1 << rng.randrange(8)
        t.put("bad.engine", bad)
        got = t.dyno("run", "bad.engine")
        check(got.returncode in (EXIT["E_CORRUPT"], EXIT["E_FORMAT"], EXIT["E_UNSUPPORTED"]), place,
              got.returncode, got.stderr)
        check(got.stderr.count("\n") == 1 and "engine 'bad.engine': " in got.stderr, place,
              got.stderr)
    bad = bytearray(whole)
    bad[len(bad) // 2] ^= 1
    refuse(t, "E_CORRUPT", "the engine is damaged: bytes * differ from their checksum", bad)


def case_truncated(t):
    whole = build(t)
    refuse(t, "E_CORRUPT", f"the engine has {len(whole) - 1} bytes, its header says {len(whole)}: *",
           whole[:-1])
    refuse(t, "E_CORRUPT", "the engine is cut short: 40 bytes", whole[:40])
    refuse(t, "E_CORRUPT", "the engine has *", whole + b"\0")


def case_other_machine(t):
    """Built with all that this machine has, loaded where nothing of it is there."""
    build(t)
    engine = json.loads(t.works("inspect", "engine", "m.engine", "--json"))
    fast = any("avx" in step["TacticName"] for step in engine["steps"])
    bare = {"DYNO_ISA_DISABLE": "avx2,avx512"}
    if not fast:
        t.works("run", "m.engine", env=bare)
        return
    for args in (["run", "m.engine"], ["bench", "--loadEngine=m.engine"],
                 ["inspect", "engine", "m.engine"]):
        t.fails("E_TARGET", f"dyno {args[0]}: engine 'm.engine': the engine was built on * and "
                "wants avx*; this machine, *, has portable: build it here", *args, env=bare)


def case_portable_engine_runs_anywhere(t):
    """The other way round is fine: built without extensions, run with them."""
    t.put("m.onnx", good())
    t.works("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--builderOptimizationLevel=0",
            env={"DYNO_ISA_DISABLE": "avx2,avx512"})
    t.works("run", "m.engine")


def case_outside_the_profile(t):
    build(t, "--minShapes=x:2x3x6x6", "--maxShapes=x:4x3x6x6", batch="n")
    for size in (2, 3, 4):
        check(t.works("run", "m.engine", f"--shapes=x:{size}x3x6x6") == f"out/y: f32[{size}, 5]\n")
    for size in (1, 5):
        t.fails("E_ARG", f"dyno run: input 'x': dimension 0 is {size}, outside the profile's 2..4",
                "run", "m.engine", f"--shapes=x:{size}x3x6x6")
    t.fails("E_ARG", "dyno run: input 'x': dimension 3 is 7, wants 6", "run", "m.engine",
            "--shapes=x:2x3x6x7")
    t.fails("E_ARG", "dyno run: input 'x': a shape of 2 sizes, wants 4", "run", "m.engine",
            "--shapes=x:2x3")
    t.fails("E_ARG", "dyno run: a shape is given for 'q', which is not an input of the engine",
            "run", "m.engine", "--shapes=q:2x3x6x6")


def case_engines_that_differ(t):
    build(t, batch="n")
    t.works("build", "--onnx=m.onnx", "--saveEngine=two.engine", "--builderOptimizationLevel=0",
            "--shapes=x:2x3x6x6")
    t.works("compare", "m.engine", "two.engine", "--shapes=x:2x3x6x6")
    got = t.dyno("compare", "m.engine", "two.engine")
    check(got.returncode == EXIT["E_MISMATCH"], got.returncode, got.stderr)
    check("has 5 elements in one, 10 in the other" in got.stdout, got.stdout)
    check(got.stderr == "dyno compare: 1 of 1 outputs differ by more than 0.0001 of their range\n",
          got.stderr)
